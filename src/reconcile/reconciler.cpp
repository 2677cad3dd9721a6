#include "reconcile/reconciler.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/log.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
Reconciler::Reconciler(store::Store& store, Options options)
    : state_(std::make_unique<State>(store, std::move(options))) {}
Reconciler::~Reconciler() = default;

const fleet::Policy& Reconciler::policy() const { return state_->options.policy; }
const engines::EngineCatalog& Reconciler::catalog() const { return state_->options.catalog; }

std::shared_ptr<const Picture> Reconciler::State::seen() const {
  const std::scoped_lock lock(picture_mutex);
  return picture;
}

std::shared_ptr<const View> Reconciler::view() const { return state_->seen()->view; }

Result<void> Reconciler::load(Time now) {
  const auto lock = state_->enter();
  TRY(auto all, state_->store.read_state({"worker", "deployment", "instance"}));
  for (const auto& o : all.objects) TRY_VOID(state_->take_object(o, now));
  for (auto& [id, instance] : state_->instances) state_->lose(instance, now);
  state_->publish();
  return {};
}

fleet::Decision Reconciler::decide(const fleet::Request& request) const {
  const auto snapshot = view()->snapshot;
  return placement::decide(*snapshot, request, state_->options.policy, state_->options.catalog);
}

std::vector<fleet::Fix> Reconciler::fixes(const fleet::Request& request, const fleet::Decision& decision) const {
  const auto snapshot = view()->snapshot;
  return placement::fixes(*snapshot, request, state_->options.policy, state_->options.catalog, decision);
}

/// True when the step should be followed by another one.
bool Reconciler::State::run_actions(std::vector<controllers::Action> actions, Time now) {
  bool done_any = false;
  for (const auto& action : actions) {
    const auto& object = controllers::object_of(action);
    if (auto done = execute(action, now); done) {
      holds.erase(object);
      done_any = true;
      continue;
    } else {
      hold(object, done.error(), now);
    }
    if (doubt) return false;  // of what the store holds: no further change is built on it
  }
  return done_any;
}

void Reconciler::distrust() {
  const auto lock = state_->enter();
  state_->doubt = true;
}

TickResult Reconciler::tick(Time now) {
  const auto lock = state_->enter();
  TickResult result;
  state_->judge_workers(now, result);
  if (auto settled = state_->settle(now); !settled) {
    log::warn("the store does not answer, nothing is changed", {log::kv("error", settled.error().message)});
    for (auto& [id, hold] : state_->holds) hold.until = std::max(hold.until, now + controllers::kHoldFirst);
    // What is known already reaches the workers all the same.
    for (const auto& i : state_->control_state().instances)
      if (i.untaken_since && controllers::send_again_at(*i.untaken_since) <= now)
        static_cast<void>(state_->execute(controllers::SendAgain{i.id}, now));
    state_->publish();
    result.workers = std::exchange(state_->changed_workers, {});
    result.removed = std::exchange(state_->removed_workers, {});
    return result;
  }
  std::optional<Time> wake_at;
  for (result.steps = 0; result.steps < kStepsPerTickMax; ++result.steps) {
    std::vector<std::string> dirty;
    for (const auto& [id, worker] : state_->workers)
      if (worker.dirty) dirty.push_back(id);
    for (const auto& id : dirty) state_->rebuild(id, now);
    auto step = controllers::step(state_->control_state(), now);
    wake_at = step.wake_at;
    if (step.actions.empty() || !state_->run_actions(std::move(step.actions), now)) break;
  }
  if (wake_at && (!result.wake_at || *wake_at < *result.wake_at)) result.wake_at = wake_at;
  // Tried again by now, or not wanted any more.
  std::erase_if(state_->holds, [now](const auto& entry) { return entry.second.until <= now; });
  if (!state_->doubt) state_->flush(now);
  state_->publish();
  result.workers = std::exchange(state_->changed_workers, {});
  result.removed = std::exchange(state_->removed_workers, {});
  return result;
}

}  // namespace berth::reconcile
