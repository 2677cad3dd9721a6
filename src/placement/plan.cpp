#include "placement/plan.h"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "fleet/hashes.h"
#include "placement/layouts/declared.h"

namespace berth::placement {
namespace {

// Integers in proportion to the layers, in the smallest terms: what --tensor-split takes.
std::vector<std::uint32_t> split_of(std::span<const std::uint32_t> layers) {
  std::uint32_t divisor = 0;
  for (const auto n : layers) divisor = std::gcd(divisor, n);
  std::vector<std::uint32_t> out(layers.begin(), layers.end());
  if (divisor > 1)
    for (auto& n : out) n /= divisor;
  return out;
}

std::vector<std::uint32_t> split_of(const std::vector<Bytes>& rooms) {
  std::uint64_t divisor = 0;
  for (const auto room : rooms) divisor = std::gcd(divisor, room.value);
  // Rooms of odd sizes: in MiB, which is as fine as a layer needs.
  const bool small =
      std::all_of(rooms.begin(), rooms.end(), [&](Bytes b) { return divisor > 0 && b.value / divisor <= UINT32_MAX; });
  std::vector<std::uint32_t> out;
  for (const auto room : rooms)
    out.push_back(static_cast<std::uint32_t>(room.value / (small ? divisor : std::uint64_t(kMiB))));
  return out;
}

fleet::PlanWorker part_of(const Part& c) {
  const auto& worker = c.entry->worker;
  fleet::PlanWorker part;
  part.worker = worker.id;
  part.worker_name = worker.name;
  part.simulated = worker.simulated;
  part.claim.worker = worker.id;
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    const auto& id = worker.devices[c.positions[i]].id;
    part.devices.push_back(id);
    part.claim.devices.push_back({id, c.claims[i]});
  }
  std::sort(part.claim.devices.begin(), part.claim.devices.end(), [](const auto& a, const auto& b) {
    return a.device < b.device;
  });
  part.layers.assign(c.layers.begin(), c.layers.end());
  if (c.layers.size() > 1) part.tensor_split = split_of(c.layers);
  part.claim.memory_bytes = c.memory_claim;
  part.claim.disk_bytes = c.chain->install_bytes;
  return part;
}

/// A need that is one sum is one part on each device and host, which is the claim.
std::vector<fleet::MemoryPart> published_memory(const Candidate& c, const std::vector<fleet::PlanWorker>& workers) {
  std::vector<fleet::MemoryPart> parts;
  for (const auto& worker : workers) {
    const auto add = [&](const std::string& device, Bytes bytes) {
      if (bytes.value == 0) return;
      parts.push_back({.name = "published",
                       .device = device,
                       .low = bytes,
                       .expected = bytes,
                       .high = bytes,
                       .derivation = c.option->published->text,
                       .worker = workers.size() > 1 ? worker.worker_name : ""});
    };
    for (const auto& claim : worker.claim.devices) add(claim.device, claim.bytes);
    add("host", worker.claim.memory_bytes);
  }
  return parts;
}

std::vector<fleet::MemoryPart> memory_of(const Candidate& c, const std::vector<fleet::PlanWorker>& workers) {
  if (c.option->published && !(c.total_layers > 0 && c.split.empty() && c.option->estimates->llama() != nullptr))
    return published_memory(c, workers);
  if (c.option->engine->memory == engines::MemoryModel::kParts) {
    const auto* model = c.option->estimates->llama();
    if (model == nullptr) return {};
    return model->explain(c.layers, c.type->traits, workers.front().devices);
  }
  if (c.option->engine->memory == engines::MemoryModel::kDeclared) return declared_memory(c);
  const auto* rank = c.option->estimates->rank(c.shape, c.type->traits);
  if (rank == nullptr) return {};
  if (workers.size() == 1) return rank->parts;
  // What a rank takes is the same everywhere; what a worker's host takes goes by its ranks.
  std::vector<fleet::MemoryPart> parts;
  for (const auto& part : rank->parts)
    if (part.device.empty()) parts.push_back(part);
  for (const auto& worker : workers) {
    const auto ranks = static_cast<std::uint32_t>(worker.devices.size());
    auto host = rank->host_part(ranks);
    host.worker = worker.worker_name;
    parts.push_back(std::move(host));
  }
  return parts;
}

void set_share(fleet::Plan& plan, const Policy& policy, const Candidate& c) {
  if (c.utilization <= 0) return;
  plan.settings.utilization = c.utilization;
  if (c.option->published) return;  // what is left for KV is not told
  const auto* rank = c.option->estimates->rank(c.shape, c.type->traits);
  if (rank == nullptr || rank->kv_bytes_per_token.value == 0) return;
  const std::uint64_t tokens = c.claims.front().minus_or_zero(rank->besides_kv).value / rank->kv_bytes_per_token.value;
  plan.kv_tokens = tokens;
  const std::uint32_t context = plan.settings.context.value_or(0);
  if (!c.option->sequences_open || context == 0) return;
  const std::uint64_t held = tokens / context;
  plan.settings.sequences =
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(held, 1, std::max(1U, policy.default_sequences)));
}

}  // namespace

fleet::Inputs make_inputs(const FleetSnapshot& snapshot, const Request& canonical, const detail::Rules& rules) {
  return {.snapshot_revision = snapshot.revision(),
          .snapshot_hash = snapshot.hash().text(),
          .request_hash = fleet::hash_of(canonical).text(),
          .policy_hash = rules.policy_hash,
          .catalog_hash = rules.catalog_hash};
}

std::string plan_id(const fleet::Plan& plan, const fleet::Inputs& inputs) {
  Hasher h;
  h.add(inputs.request_hash).add(inputs.policy_hash).add(inputs.catalog_hash).add(fleet::hash_of(plan).text());
  return h.finish().text();
}

fleet::Plan make_plan(const Context& context, const KeyOrder& order, const Candidate& c, const fleet::Inputs& inputs) {
  fleet::Plan plan;
  plan.engine = c.option->engine->id;
  plan.engine_version = c.chain->version;
  plan.layout = c.layout;
  plan.source = context.request.source;
  each_part(c, [&](const Part& part) {
    plan.workers.push_back(part_of(part));
    if (plan.workers.size() > 1) plan.workers.back().role = "follower";
  });
  if (!c.split.empty()) plan.workers.front().tensor_split = split_of(c.split);
  plan.tensor_parallel = c.shape.tensor;
  plan.pipeline_parallel = c.shape.pipeline;
  plan.data_parallel = context.request.restriction.data_parallel.value_or(c.shape.data);
  plan.settings = c.option->settings;
  if (c.option->engine->memory == engines::MemoryModel::kParts || c.total_layers > 0) {
    plan.offload_layers = c.offload_layers;
    plan.total_layers = c.total_layers;
    plan.settings.offload_layers = c.offload_layers;
  }
  set_share(plan, context.policy, c);
  plan.memory = memory_of(c, plan.workers);
  plan.key = order.explain(c);
  for (std::size_t i = 0; i < kRuleCount; ++i)
    if (c.chain->outcomes[i].outcome == Outcome::kWarn)
      plan.warnings.push_back(to_result(static_cast<RuleId>(i), c.chain->outcomes[i]));
  if (c.overcommit)
    plan.warnings.push_back(to_result(RuleId::kMemory, RuleOutcome::warn(Reason::kSelectionOvercommitted)));
  if (c.uncertain) {
    fleet::RuleResult r;
    r.rule = rule_name(RuleId::kMemory);
    r.outcome = Outcome::kWarn;
    r.reason = reason_name(Reason::kMemoryUncertain);
    r.text = "claims the expected bytes, not the worst case, as accepted";
    plan.warnings.push_back(std::move(r));
  }
  plan.id = plan_id(plan, inputs);
  return plan;
}

}  // namespace berth::placement
