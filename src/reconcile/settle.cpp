// Memory and store as one: reading at the start, and again when a commit left open what the store holds.
#include <fmt/format.h>
#include <set>

#include "base/log.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

/// A disk that needs longer is asked again by the next tick.
constexpr Duration kSettleMax{5'000};

Envelope envelope(const store::Object& o) {
  return {o.id, o.name, o.revision, o.generation, o.created_at, o.deleting_at.has_value()};
}

template <class T>
Result<void> read_into(T& out, const std::string& json, const store::Object& object, std::string_view part) {
  auto value = wire::from_json<T>(json, wire::Strictness::kLenient);
  if (!value) return in(fmt::format("stored {} {} ({})", object.kind, object.name, part), std::move(value).error());
  out = std::move(*value);
  return {};
}

/// What the store says about a worker that is known: its spec. What it reported lives in memory.
Result<void> take_worker(WorkerRecord& r, bool fresh, const store::Object& o, Time now) {
  TRY_VOID(read_into(r.object.spec, o.spec, o, "spec"));
  r.object.meta = envelope(o);
  r.object.worker.cordoned = r.object.spec.cordoned;
  r.dirty = true;
  if (!fresh) return {};
  fleet::WorkerStatus status;
  TRY_VOID(read_into(status, o.status, o, "status"));
  r.proved = status.inventory_at.has_value();
  r.object.worker = status.last_report;
  r.object.worker.id = o.id;
  r.object.worker.name = o.name;
  r.object.worker.state = fleet::WorkerState::kPending;
  r.object.worker.cordoned = r.object.spec.cordoned;
  r.object.version = status.version;
  r.signs.joined_ever = true;
  r.signs.last_seen_at = status.last_report.last_report_at;
  r.signs.disconnected_at = now;
  return {};
}

/// What the store says about an instance that is known: its plan, and whether it is to stop. What it does is told by
/// its worker.
Result<void> take_instance(InstanceRecord& r, bool fresh, const store::Object& o, Time now) {
  fleet::InstanceStatus stored;
  TRY_VOID(read_into(r.object.spec, o.spec, o, "spec"));
  TRY_VOID(read_into(stored, o.status, o, "status"));
  r.object.meta = envelope(o);
  if (!fresh && stored.stop == r.object.status.stop) return {};
  r.object.status = std::move(stored);
  r.taken = false;
  r.told_at = now;
  return {};
}

}  // namespace

Result<void> Reconciler::State::take_object(const store::Object& o, Time now) {
  if (o.kind == "worker") {
    const auto [at, fresh] = workers.try_emplace(o.id);
    return take_worker(at->second, fresh, o, now);
  }
  if (o.kind == "deployment") {
    const auto [at, fresh] = deployments.try_emplace(o.id);
    auto& object = at->second.object;
    const auto known = std::move(object.status);
    object.meta = envelope(o);
    TRY_VOID(read_into(object.spec, o.spec, o, "spec"));
    TRY_VOID(read_into(object.status, o.status, o, "status"));
    if (fresh) object.status.decided_at.reset();  // revisions of snapshots start anew with the server
    if (!fresh && known.decision_id == object.status.decision_id) {
      // The same answer on a later snapshot is remembered here alone.
      object.status.decided_at = known.decided_at;
      object.status.decided_revision = known.decided_revision;
    }
    return {};
  }
  const auto [at, fresh] = instances.try_emplace(o.id);
  return take_instance(at->second, fresh, o, now);
}

Result<store::Committed> Reconciler::State::write(store::Batch batch) {
  auto done = store.commit(std::move(batch));
  // An invalid batch is refused unseen. A conflict or a missing object means that memory is not what the store has;
  // after the other errors nobody knows what was written.
  if (!done && done.error().code != Code::kInvalid) doubt = true;
  return done;
}

Result<void> Reconciler::State::settle(Time now) {
  if (!doubt) return {};
  // Commits are made in order: once this one is written, what was open before it is written or never will be.
  store::Batch barrier{.at = now, .epoch = 0, .operations = {}};
  barrier.add(store::Put{
      .kind = "setting", .id = "settled", .name = "settled", .spec = fmt::format(R"({{"at":"{}"}})", to_rfc3339(now))});
  TRY_VOID(store.commit(std::move(barrier), kSettleMax));
  TRY(const auto all, store.read_state({"worker", "deployment", "instance"}));
  std::set<std::string> ids;
  for (const auto& o : all.objects) {
    ids.insert(o.id);
    TRY_VOID(take_object(o, now));
  }
  const auto lost = [&](const auto& entry) { return !ids.contains(entry.first); };
  for (const auto& entry : workers) {
    if (!lost(entry)) continue;
    snapshot = std::make_shared<const fleet::FleetSnapshot>(snapshot->without(entry.first));
    if (entry.second.signs.connected) removed_workers.insert(entry.first);
  }
  std::erase_if(workers, lost);
  std::erase_if(deployments, lost);
  std::erase_if(instances, lost);
  std::erase_if(holds, lost);
  for (auto& [id, worker] : workers) {
    worker.dirty = true;
    changed_workers.insert(id);
  }
  doubt = false;
  log::info("read everything again: the store had not confirmed a change", {log::kv("revision", all.revision)});
  return {};
}

void Reconciler::State::hold(const std::string& object, const Error& error, Time now) {
  auto& hold = holds[object];
  ++hold.failures;
  hold.until = now + controllers::hold_after(hold.failures);
  log::warn("a change was not stored, tried again",
            {log::kv("object", object), log::kv("error", error.message), log::kv("at", to_rfc3339(hold.until))});
  if (hold.failures == 1) hold.since = now;
  hold.why = error.message;
}

}  // namespace berth::reconcile
