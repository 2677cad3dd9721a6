#include "controllers/step.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <tuple>

#include "controllers/states.h"
#include "fleet/hashes.h"

namespace berth::controllers {
namespace {

using fleet::InstanceState;

struct Replicas {
  std::vector<const InstanceView*> live;      // of the present template, not stopping
  std::vector<const InstanceView*> outdated;  // of an older template, not stopping
  std::vector<const InstanceView*> refused;   // of `live`: their worker did not start them, for want of room
  std::size_t all = 0;
};

Replicas replicas_of(const ControlState& state, const DeploymentView& d, const std::string& wanted) {
  Replicas r;
  for (const auto& i : state.instances) {
    if (i.spec.deployment != d.id) continue;
    ++r.all;
    if (i.status.stop) continue;
    (i.spec.template_hash == wanted ? r.live : r.outdated).push_back(&i);
  }
  for (const auto* i : r.live)
    if (i->status.state == InstanceState::kFailed && i->status.last_exit &&
        i->status.last_exit->cause == fleet::kExitRefused)
      r.refused.push_back(i);
  std::sort(r.live.begin(), r.live.end(), [](const InstanceView* a, const InstanceView* b) {
    return a->spec.replica < b->spec.replica;
  });
  return r;
}

std::vector<std::uint32_t> free_ordinals(const ControlState& state, const DeploymentView& d, std::uint32_t count) {
  std::set<std::uint32_t> used;
  for (const auto& i : state.instances)
    if (i.spec.deployment == d.id) used.insert(i.spec.replica);
  std::vector<std::uint32_t> out;
  for (std::uint32_t n = 0; out.size() < count; ++n)
    if (!used.contains(n)) out.push_back(n);
  return out;
}

auto batch_rank(const DeploymentView& d) {
  const auto& r = d.spec.request;
  const Bytes weights = r.facts ? r.facts->weight_bytes.value_or(Bytes()) : Bytes();
  const std::uint64_t devices = r.restriction.devices_per_replica.value_or(1);
  return std::tuple(-std::int64_t(r.priority), ~devices, ~weights.value, d.created_at, std::string_view(d.id));
}

class Stepper {
 public:
  Stepper(const ControlState& state, Time now) : state_(state), now_(now) {}

  Step run() {
    finish_instances();
    send_again();
    std::vector<const DeploymentView*> order;
    for (const auto& d : state_.deployments) order.push_back(&d);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return batch_rank(*a) < batch_rank(*b); });
    for (const auto* d : order) one(*d);
    return std::move(step_);
  }

 private:
  bool full() const { return step_.actions.size() >= kActionsMax; }
  void add(Action action) {
    if (!full() && !held(object_of(action))) step_.actions.push_back(std::move(action));
  }
  bool held(const std::string& object) {
    const auto at = state_.held.find(object);
    if (at == state_.held.end() || at->second <= now_) return false;
    wake(at->second);
    return true;
  }
  void wake(Time at) {
    if (!step_.wake_at || at < *step_.wake_at) step_.wake_at = at;
  }

  void send_again() {
    for (const auto& i : state_.instances) {
      if (!i.untaken_since) continue;
      const auto due = send_again_at(*i.untaken_since);
      if (due <= now_)
        add(SendAgain{i.id});
      else
        wake(due);
    }
  }

  void finish_instances() {
    for (const auto& i : state_.instances)
      if (i.gone || (i.worker_gone && i.status.stop)) add(RemoveInstance{i.id});
    for (const auto& i : state_.instances)
      if (i.worker_gone && !i.status.stop) add(StopInstance{i.id, "its worker was removed"});
  }

  void one(const DeploymentView& d) {
    const auto wanted = template_hash(d.spec.request);
    const auto r = replicas_of(state_, d, wanted);
    if (d.deleting) {
      for (const auto* list : {&r.live, &r.outdated})
        for (const auto* i : *list) add(StopInstance{i->id, "the deployment is being deleted"});
      if (r.all == 0) add(RemoveDeployment{d.id});
      return;
    }
    // An edit replaces: the old ones go first, so that their claims are free for the new.
    for (const auto* i : r.outdated) add(StopInstance{i->id, "the deployment was changed"});
    const std::uint32_t asked = d.spec.request.replicas;
    retire(r, asked);
    const auto missing = static_cast<std::uint32_t>(asked > r.live.size() ? asked - r.live.size() : 0);
    if (missing > 0 && r.outdated.empty()) place(d, missing);
    if (missing == 0 && r.live.size() == asked && r.outdated.empty())
      for (const auto* i : r.refused) replace(d, *i);
    set_status(d, r, missing);
  }

  /// More than are asked for: those go first that their workers refused, as they were replaced.
  void retire(const Replicas& r, std::size_t asked) {
    std::size_t over = r.live.size() > asked ? r.live.size() - asked : 0;
    std::set<const InstanceView*> gone;
    for (std::size_t n = 0; n < r.refused.size() && over > 0; ++n, --over) {
      gone.insert(r.refused[n]);
      const auto& exit = r.refused[n]->status.last_exit;
      add(StopInstance{r.refused[n]->id, "its worker could not start it: " + (exit ? exit->message : "")});
    }
    for (auto at = r.live.rbegin(); at != r.live.rend() && over > 0; ++at) {
      if (gone.contains(*at)) continue;
      add(StopInstance{(*at)->id, fmt::format("scaled to {} replicas: the highest ordinal goes first", asked)});
      --over;
    }
  }

  /// Its claim stays while another place is looked for, so that this is never the same place. Without one its worker
  /// tries again.
  void replace(const DeploymentView& d, const InstanceView& refused) {
    const auto revision = state_.snapshot->revision();
    if (refused.no_place_at == revision || placed_ || full() || held(d.id)) return;
    auto decision = placement::decide(*state_.snapshot, request_for(d, 1), *state_.policy, *state_.catalog);
    if (decision.fit_count == 0) return add(NoOtherPlace{refused.id, revision});
    placed_ = true;
    decided_.insert(d.id);
    add(Place{d.id, d.generation, std::move(decision), free_ordinals(state_, d, 1)});
  }

  void place(const DeploymentView& d, std::uint32_t missing) {
    const bool seen = d.status.observed_generation == d.generation &&
                      d.status.decided_revision == state_.snapshot->revision() && d.status.decided_at.has_value();
    if (seen || placed_ || full() || held(d.id)) return;
    auto decision = placement::decide(*state_.snapshot, request_for(d, missing), *state_.policy, *state_.catalog);
    const bool take = decision.fit_count == decision.asked || (decision.fit_count > 0 && d.spec.request.partial);
    decided_.insert(d.id);
    if (!take) return add(Pend{d.id, d.generation, std::move(decision)});
    placed_ = true;
    add(Place{d.id, d.generation, std::move(decision), free_ordinals(state_, d, missing)});
  }

  void set_status(const DeploymentView& d, const Replicas& r, std::uint32_t missing) {
    if (decided_.contains(d.id)) return;  // the executor writes the status together with the decision
    fleet::DeploymentStatus s = d.status;
    s.ready_replicas = static_cast<std::uint32_t>(std::count_if(
        r.live.begin(), r.live.end(), [](const auto* i) { return i->status.state == InstanceState::kReady; }));
    if (missing == 0) s.observed_generation = d.generation;
    if (s.ready_replicas == d.status.ready_replicas && s.observed_generation == d.status.observed_generation) return;
    add(SetStatus{d.id, std::move(s)});
  }

  const ControlState& state_;
  Time now_;
  Step step_;
  std::set<std::string> decided_;
  bool placed_ = false;
};

}  // namespace

std::string template_hash(const fleet::Request& request) {
  fleet::Request copy = request;
  copy.replicas = 1;
  copy.deployment.clear();
  copy.partial = true;
  copy.priority = 0;
  return fleet::hash_of(copy).text();
}

fleet::Request request_for(const DeploymentView& deployment, std::uint32_t missing) {
  fleet::Request request = deployment.spec.request;
  request.deployment = deployment.id;
  request.replicas = missing;
  return request;
}

const std::string& object_of(const Action& action) {
  struct Of {
    const std::string& operator()(const Place& a) const { return a.deployment; }
    const std::string& operator()(const Pend& a) const { return a.deployment; }
    const std::string& operator()(const SetStatus& a) const { return a.deployment; }
    const std::string& operator()(const RemoveDeployment& a) const { return a.deployment; }
    const std::string& operator()(const StopInstance& a) const { return a.instance; }
    const std::string& operator()(const SendAgain& a) const { return a.instance; }
    const std::string& operator()(const NoOtherPlace& a) const { return a.instance; }
    const std::string& operator()(const RemoveInstance& a) const { return a.instance; }
  };
  return std::visit(Of{}, action);
}

Time send_again_at(Time untaken_since) { return untaken_since + rule_of(InstanceState::kScheduled).deadline; }

Duration hold_after(std::uint32_t failures) {
  Duration hold = kHoldFirst;
  for (std::uint32_t n = 1; n < failures && hold < kHoldMax; ++n) hold *= 2;
  return std::min(hold, kHoldMax);
}

Step step(const ControlState& state, Time now) { return Stepper(state, now).run(); }

}  // namespace berth::controllers
