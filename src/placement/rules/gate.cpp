// Worker state, cordon, labels, selection.
#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "base/time.h"
#include "placement/rules/chain.h"

namespace berth::placement {
namespace {

std::string state_text(fleet::WorkerState state) {
  switch (state) {
    case fleet::WorkerState::kReady:
      return "ready";
    case fleet::WorkerState::kNotReady:
      return "not ready";
    case fleet::WorkerState::kUnreachable:
      return "unreachable";
    case fleet::WorkerState::kPending:
      return "pending";
  }
  return "in an unknown state";
}

RuleOutcome worker_ready(const fleet::Worker& worker) {
  if (worker.state == fleet::WorkerState::kReady) return RuleOutcome::pass();
  const std::string since =
      worker.last_report_at ? fmt::format(", last report at {}", to_rfc3339(*worker.last_report_at)) : "";
  return RuleOutcome::reject(Reason::kWorkerNotReady, {{"state", state_text(worker.state)}, {"since", since}});
}

RuleOutcome cordon(const fleet::Worker& worker) {
  return worker.cordoned ? RuleOutcome::reject(Reason::kCordoned) : RuleOutcome::pass();
}

RuleOutcome labels(const fleet::Restriction& restriction, const fleet::Worker& worker) {
  for (const auto& [key, wants] : restriction.labels) {
    const auto has = worker.labels.find(key);
    if (has != worker.labels.end() && has->second == wants) continue;
    return RuleOutcome::reject(
        Reason::kLabelMismatch,
        {{"label", key}, {"has", has == worker.labels.end() ? "absent" : has->second}, {"wants", wants}});
  }
  return RuleOutcome::pass();
}

RuleOutcome selection(const Context& context, const fleet::Worker& worker) {
  const auto& r = context.request.restriction;
  if (r.cluster && *r.cluster != worker.cluster)
    return RuleOutcome::reject(Reason::kOtherCluster, {{"has", worker.cluster}, {"wants", *r.cluster}});
  const auto named = [&](const std::string& key) {
    return std::binary_search(r.workers.begin(), r.workers.end(), key);
  };
  if (!r.workers.empty() && !named(worker.name) && !named(worker.id)) return RuleOutcome::reject(Reason::kNotSelected);
  if (r.devices.empty()) return RuleOutcome::pass();
  const auto* devices = selected_on(context, worker);
  if (devices == nullptr) return RuleOutcome::reject(Reason::kNotSelected);
  std::vector<std::string> missing;
  for (const auto& id : *devices) {
    const bool exists =
        std::any_of(worker.devices.begin(), worker.devices.end(), [&](const auto& d) { return d.id == id; });
    if (!exists) missing.push_back(worker.name + "/" + id);
  }
  if (missing.empty()) return RuleOutcome::pass();
  // Any of the selected devices will do, so that the others still can.
  if (r.use == fleet::DeviceUse::kAny && missing.size() < devices->size()) return RuleOutcome::pass();
  return RuleOutcome::reject(Reason::kSelectedDeviceMissing, {{"device", join(missing, ", ")}});
}

}  // namespace

bool WorkerGate::open() const {
  for (const auto* o : {&ready, &cordon, &labels, &selection})
    if (o->outcome == Outcome::kReject || o->outcome == Outcome::kUnknown) return false;
  return true;
}

WorkerGate gate(Context& context, const WorkerEntry& entry) {
  return WorkerGate{.ready = worker_ready(entry.worker),
                    .cordon = cordon(entry.worker),
                    .labels = labels(context.request.restriction, entry.worker),
                    .selection = selection(context, entry.worker)};
}

}  // namespace berth::placement
