#include "sim/lifecycle.h"

#include <algorithm>
#include <fmt/format.h>

#include "controllers/states.h"
#include "wire/json.h"

namespace berth::sim {
namespace {

using fleet::InstanceState;

constexpr Duration kDeadlineSlack{2'000};  // the world moves once a second

/// Over any number of rows, whatever the events.
bool way(InstanceState from, InstanceState to) {
  std::vector<InstanceState> seen = {from};
  for (std::size_t at = 0; at < seen.size(); ++at) {
    if (seen[at] == to) return true;
    for (const auto& row : controllers::instance_table())
      if (row.from == seen[at] && std::find(seen.begin(), seen.end(), row.to) == seen.end()) seen.push_back(row.to);
  }
  return false;
}

const FakeWorker* worker_of(const reconcile::InstanceObject& instance, const std::vector<FakeWorker>& workers) {
  const auto& id = instance.spec.plan.workers.front().worker;
  const auto at = std::find_if(workers.begin(), workers.end(), [&](const FakeWorker& w) { return w.id == id; });
  return at == workers.end() ? nullptr : &*at;
}

}  // namespace

bool Heard::alive(Time now) const {
  if (!inventory || !at || now - *at >= controllers::kHeartbeatLate) return false;
  return !disconnected_at || now - *disconnected_at < controllers::kReconnectGrace;
}

void TransitionChecker::delivered(const FakeWorker& worker, const wire::InstanceReport& report) {
  const auto trail = worker.trails().find(report.instance);
  const auto step = trail == worker.trails().end() ? std::nullopt : trail->second.find(report.status);
  if (!step) return;  // the simulation's own invention: said() would find it
  auto& told = told_[report.instance];
  told.ever.insert(*step);
  told.last = step;
}

void TransitionChecker::server_restarted() {
  for (auto& [id, told] : told_) told.last.reset();
  fresh_server_ = true;
}

/// A state that only its worker can have brought about.
Violation TransitionChecker::said(const reconcile::InstanceObject& i, const FakeWorker& worker) const {
  const auto& status = i.status;
  const auto shown = [&] {
    return fmt::format(
        "{} is shown as {} after {} restarts", i.meta.name, wire::enum_name(status.state), status.restarts);
  };
  const auto at = told_.find(i.meta.id);
  const Told told = at == told_.end() ? Told() : at->second;
  if (status.state == InstanceState::kScheduled && !told.last) return std::nullopt;
  const auto trail = worker.trails().find(i.meta.id);
  const auto step = trail == worker.trails().end() ? std::nullopt : trail->second.find(status);
  if (!step) return shown() + ", which it never was";
  if (!told.ever.contains(*step)) return shown() + ", which its worker did not say yet";
  if (told.last.value_or(*step) != *step) return shown() + ", its worker said something else last";
  return std::nullopt;
}

Violation TransitionChecker::one(const reconcile::InstanceObject& i, const FakeWorker* worker, const Look& look) const {
  const auto state = i.status.state;
  const auto name = [](InstanceState s) { return wire::enum_name(s); };
  const auto before = last_.find(i.meta.id);
  const bool known = before != last_.end();
  if (i.status.stop != (state == InstanceState::kStopping))
    return fmt::format("{} is {} and {} to stop", i.meta.name, name(state), i.status.stop ? "told" : "not told");
  if (known && before->second.stop && !i.status.stop)
    return fmt::format("{} was told to stop and is {}", i.meta.name, name(state));
  if (known && !fresh_server_ && !way(before->second.state, state))
    return fmt::format("{} went from {} to {}: no such way", i.meta.name, name(before->second.state), name(state));
  if (state == InstanceState::kStopping) return std::nullopt;
  if (worker == nullptr) return fmt::format("{} is {} on a worker that nobody knows", i.meta.name, name(state));
  const auto heard = look.heard.find(worker->id);
  const bool alive = heard != look.heard.end() && heard->second.alive(look.now);
  if (state == InstanceState::kUnknown) {
    const bool entered = !known || before->second.state != InstanceState::kUnknown;
    if (entered && alive && !fresh_server_)
      return fmt::format("{} became unknown while {} is alive", i.meta.name, worker->name());
    return std::nullopt;
  }
  if (!alive && state != InstanceState::kScheduled)
    return fmt::format("{} is {} while {} is not alive", i.meta.name, name(state), worker->name());
  if (worker->hardware().simulated && state != InstanceState::kScheduled && state != InstanceState::kSimulated)
    return fmt::format("{} is {} on {}, which only plays a machine", i.meta.name, name(state), worker->name());
  return said(i, *worker);
}

Violation TransitionChecker::check(const Look& look) {
  std::map<std::string, Seen> seen;
  Violation found;
  for (const auto& i : look.view.instances) {
    if (!found) found = one(i, worker_of(i, look.workers), look);
    seen[i.meta.id] = {i.status.state, i.status.stop};
  }
  for (const auto& [id, before] : last_)
    if (!seen.contains(id) && !before.stop && !found)
      found = fmt::format("instance {} disappeared while {}", id, wire::enum_name(before.state));
  last_ = std::move(seen);
  fresh_server_ = false;
  return found;
}

Violation WaitingChecker::check(const Look& look) {
  const auto wrong = [&](const std::string& name, const std::optional<fleet::Waiting>& waiting) -> Violation {
    if (!waiting) return name + " waits and does not say for what";
    if (waiting->text.empty() || waiting->next.empty()) return name + " waits without saying for what and what is next";
    if (waiting->next_at && *waiting->next_at + kDeadlineSlack < look.now)
      return fmt::format("{} is {} until {} s ago, then \"{}\"",
                         name,
                         waiting->text,
                         (look.now - *waiting->next_at).count() / 1000,
                         waiting->next);
    return std::nullopt;
  };
  for (const auto& i : look.view.instances)
    if (controllers::rule_of(i.status.state).waiting)
      if (auto found = wrong(i.meta.name, i.status.waiting)) return found;
  for (const auto& d : look.view.deployments)
    if (d.status.waiting)
      if (auto found = wrong(d.meta.name, d.status.waiting)) return found;
  return std::nullopt;
}

}  // namespace berth::sim
