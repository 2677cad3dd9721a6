#include "sim/fake_worker.h"

#include <algorithm>

#include "base/assert.h"
#include "wire/json.h"

namespace berth::sim {
namespace {

using controllers::InstanceEvent;
using fleet::InstanceState;

constexpr std::uint64_t kSlowestMs = 6'000;  // one state takes from half a second to this
constexpr std::uint64_t kQuickestMs = 500;

Time later(Rng& rng, Time now) {
  return now + Duration(static_cast<std::int64_t>(kQuickestMs + rng.below(kSlowestMs - kQuickestMs)));
}

bool holds_memory(const FakeEngine& e) {
  return !e.gone && (e.status.state == InstanceState::kStarting || e.status.state == InstanceState::kReady ||
                     e.status.state == InstanceState::kStopping);
}

const fleet::Claim& claim_of(const FakeEngine& e) { return e.wanted.spec.plan.workers.front().claim; }

}  // namespace

std::optional<std::size_t> Trail::find(const fleet::InstanceStatus& status) const {
  const auto at = std::find(steps_.begin(), steps_.end(), Step{status.state, status.restarts});
  return at == steps_.end() ? std::nullopt : std::optional(static_cast<std::size_t>(at - steps_.begin()));
}

/// A worker that makes a step outside the table is a bug of the simulation.
void FakeWorker::move(FakeEngine& e, InstanceEvent event, Rng& rng, Time now) {
  const auto to = controllers::next(e.status.state, event);
  ASSERT(to.has_value());
  if (e.status.state == InstanceState::kFailed && *to == InstanceState::kPreparing) ++e.status.restarts;
  e.status.state = *to;
  e.next_at = later(rng, now);
  const auto& rule = controllers::rule_of(*to);
  e.status.waiting.reset();
  if (rule.waiting)
    e.status.waiting = fleet::Waiting{.text = "waiting for " + std::string(rule.waits_for),
                                      .since = now,
                                      .next_at = now + rule.deadline,
                                      .next = std::string(rule.then)};
  trails_[e.wanted.instance].add(e.status);
}

void FakeWorker::restart() {
  std::erase_if(engines_, [](const auto& item) { return item.second.status.state == InstanceState::kScheduled; });
}

void FakeWorker::obey(const wire::Desired& desired, Rng& rng, Time now) {
  std::set<std::string> named;
  for (const auto& d : desired.instances) {
    named.insert(d.instance);
    const auto at = engines_.find(d.instance);
    if (at == engines_.end()) {
      FakeEngine e{.wanted = d, .status = {}, .next_at = later(rng, now), .gone = false};
      trails_[d.instance].add(e.status);
      if (!d.run) move(e, InstanceEvent::kStopRequested, rng, now);
      engines_.emplace(d.instance, std::move(e));
      continue;
    }
    auto& e = at->second;
    if (d.run || e.gone || e.status.state == InstanceState::kStopping) continue;
    move(e, InstanceEvent::kStopRequested, rng, now);
  }
  std::erase_if(engines_, [&](const auto& item) { return item.second.gone && !named.contains(item.first); });
}

std::vector<wire::InstanceReport> FakeWorker::advance(Rng& rng, Time now) {
  std::vector<wire::InstanceReport> out;
  for (auto& [id_of_engine, e] : engines_) {
    if (e.gone || now < e.next_at) continue;
    switch (e.status.state) {
      case InstanceState::kScheduled:
        move(e, hardware_.simulated ? InstanceEvent::kSimulated : InstanceEvent::kAccepted, rng, now);
        break;
      case InstanceState::kPreparing:
        move(e, devices_present(e) ? InstanceEvent::kStarted : InstanceEvent::kExited, rng, now);
        break;
      case InstanceState::kStarting:
        move(e, InstanceEvent::kAnswered, rng, now);
        break;
      case InstanceState::kFailed:
        move(e, InstanceEvent::kAccepted, rng, now);
        break;
      case InstanceState::kStopping:
        e.gone = true;
        break;
      case InstanceState::kReady:
      case InstanceState::kSimulated:
      case InstanceState::kUnknown:
        continue;
    }
    out.push_back(report_of(e));
  }
  return out;
}

void FakeWorker::fail_engine(FakeEngine& e, Rng& rng, Time now) {
  move(e, InstanceEvent::kExited, rng, now);
  e.status.message = "the engine exited";
}

std::vector<wire::InstanceReport> FakeWorker::crash(Rng& rng, Time now) {
  std::vector<FakeEngine*> running;
  for (auto& [id_of_engine, e] : engines_)
    if (holds_memory(e) && e.status.state != InstanceState::kStopping) running.push_back(&e);
  if (running.empty()) return {};
  auto& e = *running[rng.below(running.size())];
  fail_engine(e, rng, now);
  return {report_of(e)};
}

bool FakeWorker::lose_device(bool lost, Rng& rng, Time now) {
  if (hardware_.devices.empty() || lost != lost_device_.empty()) return false;
  lost_device_ = lost ? hardware_.devices[rng.below(hardware_.devices.size())].id : std::string();
  for (auto& [id_of_engine, e] : engines_)
    if (holds_memory(e) && e.status.state != InstanceState::kStopping && !devices_present(e)) fail_engine(e, rng, now);
  return true;
}

bool FakeWorker::devices_present(const FakeEngine& e) const {
  return std::none_of(claim_of(e).devices.begin(), claim_of(e).devices.end(), [&](const fleet::DeviceClaim& c) {
    return c.device == lost_device_;
  });
}

Bytes FakeWorker::used_on(const std::string& device) const {
  Bytes used;
  for (const auto& [id_of_engine, e] : engines_)
    for (const auto& c : claim_of(e).devices)
      if (holds_memory(e) && c.device == device) used += c.bytes;
  return used;
}

wire::Hello FakeWorker::hello() const {
  wire::Hello h;
  h.worker_id = id;
  h.name = hardware_.name;
  h.version = "sim";
  h.simulated = hardware_.simulated;
  h.host_id = "host-" + hardware_.name;
  return h;
}

wire::InstanceReport FakeWorker::report_of(const FakeEngine& e) const {
  wire::InstanceReport r{.instance = e.wanted.instance,
                         .attempt = e.wanted.spec.attempt,
                         .status = e.status,
                         .secret = "",
                         .gone = e.gone};
  if (!holds_memory(e)) return r;
  r.status.observed = claim_of(e).devices;
  r.status.observed_memory_bytes = claim_of(e).memory_bytes;
  return r;
}

void FakeWorker::told(const wire::InstanceReport& report) { told_[report.instance] = wire::to_json(report); }

wire::Inventory FakeWorker::inventory() {
  auto out = all();
  told_.clear();
  for (const auto& report : out.instances) told(report);
  return out;
}

wire::Inventory FakeWorker::all() const {
  wire::Inventory out{.worker = hardware_, .instances = {}};
  std::erase_if(out.worker.devices, [&](const fleet::Device& d) { return d.id == lost_device_; });
  for (const auto& [id_of_engine, e] : engines_) {
    // What was not begun yet is no news: the server knows it as scheduled.
    if (e.status.state != InstanceState::kScheduled) out.instances.push_back(report_of(e));
    if (holds_memory(e)) out.worker.memory_used_bytes += claim_of(e).memory_bytes;
  }
  for (auto& d : out.worker.devices) d.memory_used_bytes = used_on(d.id) + stranger_;
  return out;
}

wire::Heartbeat FakeWorker::heartbeat() {
  const auto now = all();
  wire::Heartbeat out{
      .sequence = ++sequence_, .memory_used_bytes = now.worker.memory_used_bytes, .devices_used = {}, .instances = {}};
  for (const auto& report : now.instances) {
    const auto at = told_.find(report.instance);
    if (at != told_.end() && at->second == wire::to_json(report)) continue;
    out.instances.push_back(report);
    told(report);
  }
  for (const auto& d : now.worker.devices) out.devices_used.push_back({d.id, d.memory_used_bytes});
  return out;
}

}  // namespace berth::sim
