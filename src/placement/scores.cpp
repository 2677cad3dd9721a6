#include "placement/scores.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace berth::placement {
namespace {

using Rated = KeyOrder::Rated;

struct ScoreRow {
  std::string_view name;
  std::uint64_t (*spread)(const Context&, const Rated&);
  bool ranks_of_others;  // ranks on further workers count as well, not layers alone
};

/// claim / room in percent.
std::uint64_t percent(Bytes claim, Bytes room) {
  if (claim.value == 0) return 0;
  return std::min(mul_div_ceil(claim.value, 100 * kPoint, std::max<std::uint64_t>(room.value, 1)), kPointsMax);
}

std::uint64_t binpack_device(const Part& part, const Ledger& ledger, std::size_t i, Bytes host) {
  constexpr std::uint64_t kHostWeight = 1, kDeviceWeight = 2;
  const std::uint64_t ram = percent(host, ledger.memory);
  const std::uint64_t device = percent(part.claims[i], ledger.devices[part.positions[i]]);
  return (ram * kHostWeight + device * kDeviceWeight) / (kHostWeight + kDeviceWeight);
}

std::uint64_t binpack(const Rated& rated) {
  const auto& [part, ledger] = rated;
  if (part->positions.empty()) return percent(part->memory_claim, ledger->memory);
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < part->positions.size() && i < part->claims.size(); ++i)
    most = std::max(most, binpack_device(*part, *ledger, i, part->memory_claim));
  return most;
}

/// Instances of ours: of this deployment and of others, on the worker or on one of its devices.
struct OursThere {
  std::uint64_t own = 0;
  std::uint64_t others = 0;
};

OursThere ours_on(const Rated& rated) {
  return {std::uint64_t(rated.ledger->own) + rated.ledger->replicas, rated.ledger->others};
}

OursThere ours_on_device(const Context& context, const Rated& rated, std::uint16_t position) {
  const auto& entry = *rated.part->entry;
  const auto& id = entry.worker.devices[position].id;
  OursThere counts;
  for (const auto& o : entry.occupants) {
    const auto holds = [&](const auto& d) { return d.device == id; };
    if (std::none_of(o.claim.devices.begin(), o.claim.devices.end(), holds)) continue;
    ++(o.deployment == context.request.deployment ? counts.own : counts.others);
  }
  // Those that this very decision placed.
  const std::uint64_t before = entry.instances[position], now = rated.ledger->instances[position];
  counts.own += now > before ? now - before : 0;
  return counts;
}

/// 85 points by what is on the worker, 15 by what is on the devices, where another deployment counts for a fifth.
std::uint64_t spread_main(const Context& context, const Rated& rated) {
  constexpr std::uint64_t kWorker = 85, kDevice = 15, kWhole = 100;
  constexpr std::uint64_t kOthers = 85, kElsewhere = 90, kMixed = 75, kHere = 65, kMixedHere = 50;
  const OursThere worker = ours_on(rated);
  if (worker.own == 0 && worker.others == 0) return 100 * kPoint;
  bool here = false;
  std::uint64_t devices = 0;
  for (const auto p : rated.part->positions) {
    const OursThere counts = ours_on_device(context, rated, p);
    here = here || counts.own > 0;
    devices += kDevice * kPoint * 5 / (5 + 5 * counts.own + counts.others);
  }
  const std::size_t count = rated.part->positions.size();
  const std::uint64_t busy = worker.others == 0 ? (here ? kHere : kElsewhere) : (here ? kMixedHere : kMixed);
  const std::uint64_t grade = worker.own == 0 ? kOthers : busy;
  const std::uint64_t rest = count > 0 ? devices / count : kDevice * kPoint / (1 + worker.own + worker.others);
  return grade * kWorker * kPoint / kWhole + rest;
}

/// Bands by what is on the worker; within one, ten points by what is on the devices.
std::uint64_t spread_06(const Context& context, const Rated& rated) {
  constexpr std::uint64_t kOthers = 90, kOwn = 80, kMixed = 70, kBand = 10;
  const OursThere worker = ours_on(rated);
  if (worker.own == 0 && worker.others == 0) return 100 * kPoint;
  const bool mixed = worker.own > 0 && worker.others > 0;
  const std::uint64_t band = mixed ? kMixed : worker.own > 0 ? kOwn : kOthers;
  const auto share = [&](const OursThere& counts, std::uint64_t parts) {
    // Of both kinds, others count for a fifth.
    const std::uint64_t fifths =
        mixed ? 5 * (counts.own + 1) + counts.others + 1 : 5 * (counts.own + counts.others + 1);
    return kBand * kPoint * 5 / (parts * fifths);
  };
  std::uint64_t rest = 0;
  const std::uint64_t parts = rated.part->positions.size() + 1;
  for (const auto p : rated.part->positions) rest += share(ours_on_device(context, rated, p), parts);
  if (rated.part->positions.empty()) rest = share(worker, 1);
  return band * kPoint + rest;
}

constexpr std::array kScoreRows = {ScoreRow{"gpustack", spread_main, true}, ScoreRow{"gpustack-0.6", spread_06, false}};

const ScoreRow& score_row(const Context& context) {
  const auto named = [&](const ScoreRow& row) { return row.name == context.policy.scores; };
  const auto at = std::find_if(kScoreRows.begin(), kScoreRows.end(), named);
  return at == kScoreRows.end() ? kScoreRows.front() : *at;
}

}  // namespace

std::uint64_t placement_points(const Context& context, const Candidate& candidate, std::span<const Rated> parts) {
  constexpr std::uint64_t kFirst = 5;
  if (parts.empty()) return 0;
  const auto& row = score_row(context);
  const auto points = [&](const Rated& rated) {
    return context.strategy == fleet::Strategy::kBinpack ? binpack(rated) : row.spread(context, rated);
  };
  const std::uint64_t first = points(parts.front());
  const bool layers = candidate.total_layers > 0;
  if (parts.size() == 1 || (!layers && !row.ranks_of_others)) return first;
  std::uint64_t sum = 0, count = 0;
  for (const auto& rated : parts.subspan(1)) {
    // Each device that holds layers for another worker is a server of its own.
    const std::uint64_t servers = layers ? rated.part->positions.size() : 1;
    if (layers && context.strategy == fleet::Strategy::kBinpack)
      for (std::size_t i = 0; i < servers; ++i) sum += binpack_device(*rated.part, *rated.ledger, i, Bytes());
    else
      sum = sat_add(sum, sat_mul(points(rated), servers));
    count += servers;
  }
  // Binpack weighs each of the others by their number.
  if (context.strategy == fleet::Strategy::kBinpack) sum = sat_mul(sum, count);
  return std::min(sat_add(first * kFirst, sum) / (kFirst + count), kPointsMax);
}

std::uint64_t file_points(const Context& context, std::span<const Rated> parts) {
  constexpr std::uint64_t kMost = 5, kMainWeight = 2, kDraftWeight = 1;
  if (!context.carries_files || parts.empty()) return 0;
  const std::uint64_t all = kMainWeight + (context.draft_file.empty() ? 0 : kDraftWeight);
  std::uint64_t there = 0;
  for (const auto& rated : parts) {
    const auto& files = rated.part->entry->worker.model_files;
    if (std::binary_search(files.begin(), files.end(), context.model_file)) there += kMainWeight;
    if (!context.draft_file.empty() && std::binary_search(files.begin(), files.end(), context.draft_file))
      there += kDraftWeight;
  }
  return kMost * kPoint * there / (all * parts.size());
}

std::uint64_t list_stage(const Candidate& c) {
  constexpr std::uint64_t kStep = 1U << 16;
  constexpr std::array<std::string_view, 3> kLast = {"over_workers", "partial_offload", "cpu"};
  for (std::size_t i = 0; i < kLast.size(); ++i)
    if (c.layout == kLast[i]) return (i + 2) * kStep;
  if (c.layout == "single_device") return 0;
  return kStep + (c.total_layers > 0 ? c.positions.size() : 0);
}

}  // namespace berth::placement
