// verify(): the same rule table over the plan's own workers and devices.
#include <algorithm>
#include <fmt/format.h>

#include "placement/decide.h"
#include "placement/plan.h"
#include "placement/search.h"

namespace berth::placement {
namespace {

class Verifier {
 public:
  Verifier(Context& context, const Plan& plan) : context_(context), plan_(plan) {}

  Verification run() {
    const Option* option = nullptr;
    for (const auto& o : context_.options)
      if (o.engine->id == plan_.engine) option = &o;
    if (option == nullptr) {
      add(RuleId::kRequest, RuleOutcome::reject(Reason::kUnknownEngine, {{"engine", plan_.engine}}), "");
    } else if (plan_.workers.empty()) {
      add(RuleId::kRequest, RuleOutcome::reject(Reason::kInvalidRequest, {{"text", "the plan names no worker"}}), "");
    } else {
      for (const auto& part : plan_.workers) check_part(*option, part);
    }
    return {.ok = rejects_.empty(), .rejects = std::move(rejects_)};
  }

 private:
  void add(RuleId rule, RuleOutcome outcome, const std::string& where) {
    outcome = context_.accepted(std::move(outcome));
    const bool short_of = rule == RuleId::kMemory || rule == RuleId::kRam;
    if (short_of && context_.policy.overcommit_selection && !context_.selected.empty() &&
        context_.request.replicas == 1)
      return;
    if (outcome.outcome != Outcome::kReject && outcome.outcome != Outcome::kUnknown) return;
    auto result = to_result(rule, outcome);
    result.args["at"] = where;
    rejects_.push_back(std::move(result));
  }

  void check_part(const Option& option, const fleet::PlanWorker& part) {
    const auto* entry = context_.snapshot.find(part.worker);
    if (entry == nullptr) {
      add(RuleId::kWorkerReady,
          RuleOutcome::reject(Reason::kWorkerNotReady, {{"state", "gone"}, {"since", ""}}),
          part.worker_name);
      return;
    }
    const auto open = gate(context_, *entry);
    add(RuleId::kWorkerReady, open.ready, part.worker_name);
    add(RuleId::kCordon, open.cordon, part.worker_name);
    add(RuleId::kLabels, open.labels, part.worker_name);
    add(RuleId::kSelection, open.selection, part.worker_name);
    for (const auto& type : device_types(entry->worker)) check_type(option, part, *entry, type);
    check_claims_of(part, *entry);
  }

  void check_type(const Option& option,
                  const fleet::PlanWorker& part,
                  const WorkerEntry& entry,
                  const DeviceType& type) {
    const auto used = [&](const std::vector<std::uint16_t>& positions) {
      return std::any_of(positions.begin(), positions.end(), [&](std::uint16_t p) {
        return std::find(part.devices.begin(), part.devices.end(), entry.worker.devices[p].id) != part.devices.end();
      });
    };
    const bool unhealthy = used(type.unhealthy);
    const bool concerned = type.cpu ? part.devices.empty() : unhealthy || used(type.positions);
    if (!concerned) return;
    const auto chain = static_chain({context_, option, plan_.engine_version, entry, type});
    for (std::size_t i = 0; i < kRuleCount; ++i) add(static_cast<RuleId>(i), chain.outcomes[i], part.worker_name);
    if (unhealthy)
      add(RuleId::kHealth, RuleOutcome::reject(Reason::kDeviceUnhealthy, {{"device", type.title}}), part.worker_name);
  }

  void check_claims_of(const fleet::PlanWorker& part, const WorkerEntry& entry) {
    const Ledger ledger = ledger_of(context_, entry);
    const auto* chosen = selected_on(context_, entry.worker);
    Bytes pool = part.claim.memory_bytes;
    bool shared = false;
    for (const auto& claim : part.claim.devices) {
      const auto at = fleet::device_position(entry, claim.device);
      const std::string where = part.worker_name + "/" + claim.device;
      if (at == std::string::npos) {
        add(RuleId::kSelection, RuleOutcome::reject(Reason::kSelectedDeviceMissing, {{"device", where}}), where);
        continue;
      }
      if (chosen != nullptr && std::find(chosen->begin(), chosen->end(), claim.device) == chosen->end())
        add(RuleId::kSelection, RuleOutcome::reject(Reason::kNotSelected), where);
      if (entry.worker.devices[at].unified_memory) {
        pool += claim.bytes;
        shared = true;
      }
      if (claim.bytes > ledger.devices[at])
        add(RuleId::kMemory,
            RuleOutcome::reject(Reason::kFreeMemory, {{"layout", plan_.layout}, {"where", where}})
                .with(claim.bytes, ledger.devices[at]),
            where);
    }
    if (pool > ledger.memory)
      add(RuleId::kRam,
          RuleOutcome::reject(shared ? Reason::kPoolShort : Reason::kRamShort).with(pool, ledger.memory),
          part.worker_name);
  }

  Context& context_;
  const Plan& plan_;
  std::vector<fleet::RuleResult> rejects_;
};

}  // namespace

Verification verify(const FleetSnapshot& snapshot,
                    const Request& request,
                    const Policy& policy,
                    const EngineCatalog& catalog,
                    const Plan& plan) {
  auto canonical = fleet::canonical(request);
  if (!canonical) {
    const auto outcome = RuleOutcome::reject(Reason::kInvalidRequest, {{"text", canonical.error().message}});
    return {.ok = false, .rejects = {to_result(RuleId::kRequest, outcome)}};
  }
  Context context = make_context(snapshot, *canonical, policy, catalog);
  return Verifier(context, plan).run();
}

}  // namespace berth::placement
