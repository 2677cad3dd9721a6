#include "controllers/step.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
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
  std::vector<const InstanceView*> refused;   // of `live`: their workers could not start them; the latest last
  std::size_t started = 0;                    // of `live`: past all checks of their workers
  std::size_t all = 0;
};

/// How much is lost when it goes.
enum class Worth { kNothing, kMayServe, kSoonServes, kServes };
Worth worth(const InstanceView& i) {
  switch (i.status.state) {
    case InstanceState::kReady:
    case InstanceState::kSimulated:
      return Worth::kServes;
    case InstanceState::kStarting:
      return Worth::kSoonServes;
    case InstanceState::kUnknown:
      return Worth::kMayServe;
    case InstanceState::kScheduled:
    case InstanceState::kPreparing:
    case InstanceState::kFailed:
    case InstanceState::kStopping:
      return Worth::kNothing;
  }
  return Worth::kNothing;
}

/// It serves the slower, the more of them.
std::uint32_t layers_on_host(const InstanceView& i) {
  const auto total = i.spec.plan.total_layers.value_or(0);
  return total - std::min(total, i.spec.plan.offload_layers.value_or(total));
}

/// Past all checks that its worker makes before it starts an engine.
bool has_started(const InstanceView& i) {
  return worth(i) != Worth::kNothing || (i.status.state == InstanceState::kFailed && !i.refused_at);
}

Replicas replicas_of(const ControlState& state, const DeploymentView& d, const std::string& wanted) {
  Replicas r;
  for (const auto& i : state.instances) {
    if (i.spec.deployment != d.id) continue;
    ++r.all;
    if (i.status.stop) continue;
    (i.spec.template_hash == wanted ? r.live : r.outdated).push_back(&i);
  }
  for (const auto* i : r.live) {
    if (i->refused_at) r.refused.push_back(i);
    if (has_started(*i)) ++r.started;
  }
  std::sort(r.refused.begin(), r.refused.end(), [](const InstanceView* a, const InstanceView* b) {
    return std::tie(a->spec.refusals, a->spec.replica) < std::tie(b->spec.refusals, b->spec.replica);
  });
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
    const bool short_of = r.live.size() - r.refused.size() < asked;
    if (missing == 0 && short_of && r.outdated.empty()) replace(d, *r.refused.back());
    set_status(d, r, missing);
  }

  /// More than are asked for: those go first that their workers could not start, once others have started.
  void retire(const Replicas& r, std::size_t asked) {
    const std::size_t good = r.live.size() - r.refused.size();
    const std::size_t over = good > asked ? good - asked : 0;
    std::size_t spare = r.live.size() > asked ? std::min(r.live.size() - asked, r.refused.size()) : 0;
    if (r.started < asked) spare = std::min(spare, r.refused.size() - std::min(r.refused.size(), kRefusedKeptMax));
    for (std::size_t n = 0; n < spare; ++n) {
      const auto& exit = r.refused[n]->status.last_exit;
      add(StopInstance{r.refused[n]->id, "its worker could not start it: " + (exit ? exit->message : "")});
    }
    std::vector<const InstanceView*> others;
    std::copy_if(
        r.live.begin(), r.live.end(), std::back_inserter(others), [](const auto* i) { return !i->refused_at; });
    std::sort(others.begin(), others.end(), [](const InstanceView* a, const InstanceView* b) {
      return std::tuple(worth(*a), layers_on_host(*b), b->spec.replica) <
             std::tuple(worth(*b), layers_on_host(*a), a->spec.replica);
    });
    for (std::size_t n = 0; n < over; ++n)
      add(StopInstance{others[n]->id,
                       fmt::format("scaled to {} replicas: what serves stays, the highest ordinal goes first", asked)});
  }

  /// The claims of those that were refused stay while another place is looked for, so that it is never one of theirs.
  /// Without one their workers try again. Each further place is tried later than the one before.
  void replace(const DeploymentView& d, const InstanceView& refused) {
    const auto revision = state_.snapshot->revision();
    if (refused.no_place_at == revision || placed_ || full() || held(d.id)) return;
    if (refused.spec.refusals > 0) {
      const Time due = refused.refused_at.value_or(now_) + hold_after(refused.spec.refusals);
      if (now_ < due) return wake(due);
    }
    auto decision = placement::decide(*state_.snapshot, request_for(d, 1), *state_.policy, *state_.catalog);
    if (decision.fit_count == 0) return add(NoOtherPlace{refused.id, revision});
    placed_ = true;
    decided_.insert(d.id);
    add(Place{d.id, d.generation, std::move(decision), free_ordinals(state_, d, 1), refused.spec.refusals + 1});
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
