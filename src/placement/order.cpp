#include "placement/order.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/text.h"
#include "placement/search.h"

namespace berth::placement {
namespace {

/// A plan as the search has it, with everything that it points to.
struct Taken {
  std::deque<std::vector<DeviceType>> types;
  std::deque<StaticChain> chains;
  std::deque<Ledger> ledgers;
  std::vector<Part> parts;
};

bool has(const DeviceType& type, std::uint16_t position) {
  return std::find(type.positions.begin(), type.positions.end(), position) != type.positions.end() ||
         std::find(type.unhealthy.begin(), type.unhealthy.end(), position) != type.unhealthy.end();
}

Result<Part> part_on(const WorkerEntry& entry, const fleet::PlanWorker& worker) {
  Part part;
  part.entry = &entry;
  part.memory_claim = worker.claim.memory_bytes;
  for (const auto& id : worker.devices) {
    const auto at = fleet::device_position(entry, id);
    if (at == std::string::npos)
      return fail(Code::kNotFound, fmt::format("worker {} has no device {}", entry.worker.name, printable(id)));
    part.positions.push_back(static_cast<std::uint16_t>(at));
    const auto claim = std::find_if(
        worker.claim.devices.begin(), worker.claim.devices.end(), [&](const auto& c) { return c.device == id; });
    part.claims.push_back(claim == worker.claim.devices.end() ? Bytes() : claim->bytes);
  }
  return part;
}

Result<void> take(Context& context, const Option& option, const Plan& plan, Taken& taken) {
  for (const auto& worker : plan.workers) {
    const auto* entry = context.snapshot.find(worker.worker);
    if (entry == nullptr)
      return fail(Code::kNotFound, fmt::format("there is no worker \"{}\"", printable(worker.worker)));
    TRY(auto part, part_on(*entry, worker));
    const auto& types = taken.types.emplace_back(device_types(entry->worker));
    const auto type = std::find_if(types.begin(), types.end(), [&](const DeviceType& t) {
      return part.positions.empty() ? t.cpu : has(t, part.positions.front());
    });
    ASSERT(type != types.end());
    part.type = &*type;
    part.chain = &taken.chains.emplace_back(static_chain({context, option, plan.engine_version, *entry, *type}));
    taken.ledgers.push_back(ledger_of(context, *entry));
    taken.parts.push_back(std::move(part));
  }
  return {};
}

/// Ranks lie in the order of the plan's workers and devices; a group crosses workers when a border is inside it.
std::uint32_t crossed_groups(const Plan& plan) {
  const std::uint32_t tp = std::max(plan.tensor_parallel, 1U);
  std::uint32_t crossed = 0, ranks = 0, last = UINT32_MAX;
  for (const auto& worker : plan.workers) {
    if (ranks % tp != 0 && ranks / tp != last) {
      last = ranks / tp;
      ++crossed;
    }
    ranks += static_cast<std::uint32_t>(worker.devices.size());
  }
  return crossed;
}

}  // namespace

Result<std::vector<fleet::KeyPart>> plan_key(const FleetSnapshot& snapshot,
                                             const Request& request,
                                             const Policy& policy,
                                             const EngineCatalog& catalog,
                                             const Plan& plan) {
  TRY(const auto canonical, fleet::canonical(request));
  if (plan.workers.empty()) return invalid("the plan names no worker");
  Context context = make_context(snapshot, canonical, policy, catalog);
  const auto option = std::find_if(
      context.options.begin(), context.options.end(), [&](const Option& o) { return o.engine->id == plan.engine; });
  if (option == context.options.end())
    return fail(Code::kNotFound, fmt::format("the catalog has no engine \"{}\"", printable(plan.engine)));
  Taken taken;
  TRY_VOID(take(context, *option, plan, taken));
  Candidate candidate;
  static_cast<Part&>(candidate) = taken.parts.front();
  candidate.more.assign(taken.parts.begin() + 1, taken.parts.end());
  candidate.option = &*option;
  candidate.layout = plan.layout;
  candidate.shape = {plan.tensor_parallel, plan.pipeline_parallel, plan.data_parallel};
  candidate.groups_across = crossed_groups(plan);
  candidate.total_layers = plan.total_layers.value_or(0);
  candidate.offload_layers = plan.offload_layers.value_or(candidate.total_layers);
  std::vector<KeyOrder::Rated> rated;
  for (std::size_t i = 0; i < taken.parts.size(); ++i) rated.push_back({&taken.parts[i], &taken.ledgers[i]});
  const KeyOrder order(policy);
  order.fill(context, rated, candidate);
  return order.explain(candidate);
}

std::string model_file_of(const fleet::ModelSource& source) { return file_key(source); }

}  // namespace berth::placement
