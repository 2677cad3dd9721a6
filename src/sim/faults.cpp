#include "sim/faults.h"

#include <algorithm>
#include <fmt/format.h>

namespace berth::sim {
namespace {

constexpr std::uint64_t kMeanGapSeconds = 5;
constexpr std::uint64_t kShortSeconds = 4;  // within the grace of a reconnect
constexpr std::uint64_t kLongSeconds = 90;  // beyond every patience of the server
constexpr Duration kSecond{1'000};
constexpr Duration kUnnoticed{10'000};  // what a connection that breaks can have swallowed

std::int64_t seconds(Duration d) { return d / kSecond; }

}  // namespace

std::string_view fault_name(FaultKind kind) {
  switch (kind) {
    case FaultKind::kDisconnect:
      return "disconnect";
    case FaultKind::kSilent:
      return "silent";
    case FaultKind::kLostReports:
      return "lost_reports";
    case FaultKind::kLostDesired:
      return "lost_desired";
    case FaultKind::kLate:
      return "late";
    case FaultKind::kDuplicates:
      return "duplicates";
    case FaultKind::kEngineCrash:
      return "engine_crash";
    case FaultKind::kDeviceGone:
      return "device_gone";
    case FaultKind::kStranger:
      return "stranger";
    case FaultKind::kWorkerRestart:
      return "worker_restart";
    case FaultKind::kStoreConflict:
      return "store_conflict";
    case FaultKind::kStoreFull:
      return "store_full";
    case FaultKind::kStoreLost:
      return "store_lost";
    case FaultKind::kStoreUnconfirmed:
      return "store_unconfirmed";
    case FaultKind::kServerRestart:
      return "server_restart";
    case FaultKind::kServerDies:
      return "server_dies";
  }
  return "";
}

bool FaultPlan::active(FaultKind kind, std::size_t worker, Duration now) const {
  return std::any_of(faults.begin(), faults.end(), [&](const Fault& f) {
    return f.kind == kind && f.worker == worker && f.at <= now && now < f.at + f.lasts;
  });
}

bool FaultPlan::ends(FaultKind kind, std::size_t worker, Duration now) const {
  return std::any_of(faults.begin(), faults.end(), [&](const Fault& f) {
    return f.kind == kind && f.worker == worker && f.at + f.lasts == now;
  });
}

std::string FaultPlan::text() const {
  std::string out;
  for (const auto& f : faults)
    out += fmt::format(
        "fault at={}s lasts={}s kind={} worker={}\n", seconds(f.at), seconds(f.lasts), fault_name(f.kind), f.worker);
  return out;
}

FaultPlan draw_faults(Rng& rng, std::size_t workers, Duration phase) {
  FaultPlan plan;
  Duration at = kSecond * 5;
  while (at < phase) {
    Fault f;
    f.at = at;
    f.kind = static_cast<FaultKind>(rng.below(kFaultKinds));
    f.worker = rng.below(workers);
    const std::uint64_t longest = rng.chance(1, 2) ? kShortSeconds : kLongSeconds;
    f.lasts = std::min<Duration>(kSecond * static_cast<std::int64_t>(1 + rng.below(longest)), phase - at);
    if (f.kind == FaultKind::kLostReports) f.lasts = std::min(f.lasts, kUnnoticed);
    if (f.kind >= FaultKind::kStoreConflict) f.worker = 0;
    plan.faults.push_back(f);
    at += kSecond * static_cast<std::int64_t>(1 + rng.below(2 * kMeanGapSeconds));
  }
  return plan;
}

}  // namespace berth::sim
