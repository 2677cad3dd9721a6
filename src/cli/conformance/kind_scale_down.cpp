// Which instance goes first.
#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "base/text.h"
#include "cli/conformance/convert.h"
#include "cli/conformance/kind_score.h"
#include "controllers/states.h"
#include "controllers/step.h"
#include "wire/codec.h"

namespace berth::cli::conformance {
namespace {

struct InstanceScore {
  std::int64_t instance_id = 0;
  double score = 0;
};
DESCRIBE(InstanceScore, instance_id, score);

struct InstanceScores {
  std::vector<InstanceScore> scores;
};
DESCRIBE(InstanceScores, scores);

/// The state that an instance is in once its worker is as the case says.
Result<fleet::InstanceState> state_of(const Case& c, const CaseInstance& instance) {
  TRY(const auto state, instance_state(instance.state));
  for (const auto& w : c.fleet.workers) {
    if (w.id != instance.worker_id) continue;
    TRY(const auto worker, worker_state(w.state));
    if (worker == fleet::WorkerState::kReady) return state;
  }
  return controllers::next(state, controllers::InstanceEvent::kWorkerLost).value_or(state);
}

Result<controllers::InstanceView> view_of(const Case& c, const CaseInstance& instance, std::uint32_t ordinal) {
  controllers::InstanceView view;
  view.id = std::to_string(instance.id);
  view.spec.deployment = deployment_id(instance.model_id);
  view.spec.replica = ordinal;
  TRY(view.status.state, state_of(c, instance));
  fleet::PlanWorker part;
  part.worker = part.claim.worker = worker_id(instance.worker_id);
  view.spec.plan.workers.push_back(std::move(part));
  if (instance.claim) {
    view.spec.plan.offload_layers = instance.claim->offload_layers;
    view.spec.plan.total_layers = instance.claim->total_layers;
  }
  return view;
}

/// Every instance, in the order in which they are stopped, one step for each.
Result<std::vector<std::int64_t>> leaving(const Case& c, const World& world) {
  const fleet::Policy policy;
  controllers::ControlState state;
  controllers::DeploymentView d;
  d.id = d.name = world.request.deployment;
  d.spec.request = world.request;
  state.snapshot = std::make_shared<const fleet::FleetSnapshot>(world.snapshot);
  state.policy = &policy;
  state.catalog = &world.catalog;
  // They got their ordinals as they were made.
  std::map<std::int64_t, const CaseInstance*> by_id;
  for (const auto& instance : c.instances) by_id[instance.id] = &instance;
  for (const auto& [id, instance] : by_id) {
    if (deployment_id(instance->model_id) != d.id) return invalid(fmt::format("instance {} is of another model", id));
    TRY(auto view, view_of(c, *instance, static_cast<std::uint32_t>(state.instances.size())));
    view.spec.template_hash = controllers::template_hash(world.request);
    state.instances.push_back(std::move(view));
  }
  std::vector<std::int64_t> out;
  for (auto left = state.instances.size(); left > 0; --left) {
    d.spec.request.replicas = static_cast<std::uint32_t>(left - 1);
    state.deployments = {d};
    for (const auto& action : controllers::step(state, Time{}).actions) {
      const auto* stop = std::get_if<controllers::StopInstance>(&action);
      if (stop == nullptr) continue;
      for (auto& view : state.instances) view.status.stop = view.status.stop || view.id == stop->instance;
      out.push_back(static_cast<std::int64_t>(parse_u64(stop->instance).value_or(0)));
    }
  }
  return out;
}

}  // namespace

CaseResult run_scale_down(const Case& as_written, const engines::EngineCatalog& embedded) {
  const auto strange = [&](const Error& error) {
    return failed_case(as_written.id, fmt::format("not understood: {}", error.message));
  };
  const auto c = with_room(as_written);
  if (!c) return strange(c.error());
  const auto& told = (*c).expected.scores;
  if (!told) return failed_case(c->id, "nothing in it could be compared");
  const auto world = to_world(*c, embedded);
  if (!world) return strange(world.error());
  const auto list =
      wire::from_json<InstanceScores>(fmt::format("{{\"scores\":{}}}", told->text), wire::Strictness::kStrict);
  if (!list) return strange(list.error());
  const auto order = leaving(*c, *world);
  if (!order) return strange(order.error());
  Findings findings;
  const auto position = [&](std::int64_t id) { return std::find(order->begin(), order->end(), id) - order->begin(); };
  for (const auto& a : list->scores) {
    if (position(a.instance_id) == static_cast<std::ptrdiff_t>(order->size()))
      findings.differs(fmt::format("instance {} is never stopped", a.instance_id));
    for (const auto& b : list->scores)
      // Of a tie either may go first.
      if (a.score < b.score && !same_score(a.score, b.score))
        findings.check(position(a.instance_id) < position(b.instance_id),
                       fmt::format("instance {} must go before instance {} ({:.6g} and {:.6g}), but goes after it",
                                   a.instance_id,
                                   b.instance_id,
                                   a.score,
                                   b.score));
  }
  return std::move(findings).result(c->id);
}

}  // namespace berth::cli::conformance
