// What workers say.
#include <algorithm>
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "reconcile/state.h"
#include "wire/json.h"

namespace berth::reconcile {
namespace {

/// Instances of one worker that are shown and counted though nobody knows them.
constexpr std::size_t kOrphansMax = 4096;

bool same_work(const fleet::InstanceStatus& a, const fleet::InstanceStatus& b) {
  return a.state == b.state && a.port == b.port && a.pid == b.pid && a.restarts == b.restarts && a.message == b.message;
}

}  // namespace

Result<std::string> Reconciler::join(const wire::Hello& hello, const std::string& key_digest, Time now) {
  if (hello.protocol != wire::kProtocolVersion)
    return invalid(fmt::format(
        "protocol is {}, this server speaks {}: update the older side", hello.protocol, wire::kProtocolVersion));
  if (!is_name(hello.name))
    return invalid(fmt::format("worker name \"{}\" must be 1 to 63 of a-z, 0-9, '-', '.', '_'", printable(hello.name)));
  const auto lock = state_->enter();
  const auto find = [&] {
    WorkerRecord* known = hello.worker_id.empty() ? nullptr : state_->find_worker(hello.worker_id);
    return known == nullptr ? state_->find_worker(hello.name) : known;
  };
  WorkerRecord* known = find();
  if (known == nullptr || !key_digest.empty()) {
    TRY_VOID(state_->settle(now));  // one that comes back with its own key changes nothing, and need not wait
    known = find();
  }
  if (known != nullptr && known->signs.connected)
    return fail(
        Code::kConflict,
        fmt::format("worker \"{}\" is connected already: give this one another --name, or stop the other", hello.name));
  // Whoever holds a join token may add a worker, not become one that others rely on. One whose key never got there, so
  // that no inventory came with it, may join again.
  if (known != nullptr && !key_digest.empty() && !known->object.spec.key_digest.empty() && known->proved)
    return fail(Code::kConflict,
                fmt::format("worker \"{0}\" has a key of its own, which this one does not bring: start it with the "
                            "--state-dir that holds its key, give it another --name, or remove the old one first: "
                            "`berth delete worker {0}`",
                            known->object.meta.name));
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  if (known == nullptr) {
    WorkerRecord r;
    r.object.meta = {.id = state_->options.new_id(), .name = hello.name, .generation = 1, .created_at = now};
    r.object.spec.key_digest = key_digest;
    r.object.worker.id = r.object.meta.id;
    r.object.worker.name = hello.name;
    r.object.worker.state = fleet::WorkerState::kPending;
    fleet::WorkerStatus status{
        .last_report = r.object.worker, .version = hello.version, .joined_at = now, .inventory_at = std::nullopt};
    batch.add(store::Create{.kind = "worker",
                            .id = r.object.meta.id,
                            .name = hello.name,
                            .spec = wire::to_json(r.object.spec),
                            .status = wire::to_json(status)});
    TRY(const auto committed, state_->write(std::move(batch)));
    r.object.meta.revision = committed.revisions.front();
    known = &state_->workers.emplace(r.object.meta.id, std::move(r)).first->second;
  } else if (!key_digest.empty() && key_digest != known->object.spec.key_digest) {
    auto spec = known->object.spec;
    spec.key_digest = key_digest;
    batch.add(store::Update{.kind = "worker",
                            .id = known->object.meta.id,
                            .expected_revision = std::nullopt,
                            .name = std::nullopt,
                            .spec = wire::to_json(spec),
                            .status = std::nullopt});
    TRY_VOID(state_->write(std::move(batch)));
    known->object.spec = std::move(spec);
    known->proved = false;
    state_->reread("worker", known->object.meta);
  }
  known->object.version = hello.version;
  known->signs = {.joined_ever = true,
                  .connected = true,
                  .inventory_seen = false,
                  .last_seen_at = known->signs.last_seen_at,
                  .disconnected_at = std::nullopt};
  log::info("worker joined", {log::kv("worker", hello.name), log::kv("version", hello.version)});
  state_->publish();
  return known->object.meta.id;
}

Result<std::string> Reconciler::introduce(fleet::Worker report, Time now) {
  const std::optional<Time> reported_at = report.last_report_at;
  wire::Hello hello;
  hello.name = report.name;
  TRY(auto id, join(hello, "", now));
  inventory(id, {.worker = std::move(report), .instances = {}}, reported_at.value_or(now));
  const auto lock = state_->enter();
  const auto at = state_->workers.find(id);
  if (at == state_->workers.end()) return fail(Code::kConflict, "the worker was removed meanwhile");
  auto& r = at->second;
  // No inventory of this life was seen: there is no grace in which it could count as ready.
  r.signs = {.joined_ever = true,
             .connected = false,
             .inventory_seen = false,
             .last_seen_at = reported_at,
             .disconnected_at = reported_at.value_or(now)};
  r.object.connected = false;
  r.object.worker.last_report_at = reported_at;
  state_->publish();
  return id;
}

std::optional<std::string> Reconciler::worker_by_digest(const std::string& key_digest) const {
  const auto picture = state_->seen();
  const auto at = picture->workers_by_digest.find(key_digest);
  return at == picture->workers_by_digest.end() ? std::nullopt : std::optional(at->second);
}

/// What of a report is news to people: events of the deployment, each begins with the instance's name.
void Reconciler::State::tell(const InstanceObject& object, const fleet::InstanceStatus& now) {
  using enum fleet::InstanceState;
  const auto& before = object.status;
  const auto say = [&](bool warning, std::string_view reason, const std::string& text) {
    happened("deployment", object.spec.deployment, warning, reason, object.meta.name + ": " + text);
  };
  const bool began = before.state != now.state;
  if (now.state == kReady && began) say(false, "ready", "ready");
  if (now.state == kStarting && began && now.restarts > 0)
    say(false, "restarting", fmt::format("started again, restart {}", now.restarts));
  if (now.state != kFailed || (!began && before.message == now.message)) return;
  std::string why = now.message;
  if (now.last_exit && why.find(now.last_exit->message) == std::string::npos) why += "; " + now.last_exit->message;
  const bool over = !now.waiting || !now.waiting->next_at;
  const bool late = now.last_exit && now.last_exit->cause == "not_ready";
  if (over)
    say(true, "failed_for_good", why + "; it is not started again");
  else
    say(true, late ? "not_ready_in_time" : "failed", why);
}

void Reconciler::State::take_report(WorkerRecord& worker, const wire::InstanceReport& report, Time now) {
  using enum fleet::InstanceState;
  const auto at = instances.find(report.instance);
  if (at == instances.end() || worker_of(at->second) != worker.object.meta.id) {
    // Unknown to us: an orphan. Shown and counted as an occupant, never stopped by itself.
    if (report.gone)
      worker.orphans.erase(report.instance);
    else if (worker.orphans.size() < kOrphansMax || worker.orphans.contains(report.instance))
      worker.orphans[report.instance] = report;
    else
      log::warn("an instance that nobody knows is not counted: the worker reports too many",
                {log::kv("worker", worker.object.meta.name), log::kv("instance", report.instance)});
    worker.dirty = true;
    return;
  }
  auto& instance = at->second;
  auto status = report.status;
  instance.taken = instance.taken || (instance.object.status.stop ? report.gone || status.state == kStopping
                                                                  : status.state != kScheduled);
  status.stop = instance.object.status.stop;
  // What it did before it heard of the stop is no way out of stopping.
  if (status.stop && status.state != kStopping) {
    status.state = kStopping;
    status.message = instance.object.status.message;
    status.waiting = instance.object.status.waiting;
    if (!status.waiting || !status.waiting->next_at) status.waiting = waits_to_stop(instance, now);
  }
  if (!controllers::reportable(instance.object.status.state, status.state)) {
    log::warn("report ignored: no such transition",
              {log::kv("instance", instance.object.meta.name), log::kv("state", wire::enum_name(status.state))});
    return;
  }
  instance.secret = report.secret;
  instance.gone = instance.gone || (report.gone && status.stop);
  if (!same_work(instance.object.status, status)) {
    tell(instance.object, status);
    instance.flush = true;
    worker.dirty = true;
    log::info("instance state",
              {log::kv("instance", instance.object.meta.name),
               log::kv("state", wire::enum_name(status.state)),
               log::kv("message", status.message)});
    if (status.state == kReady) status.waiting.reset();
    if (!status.ready_at && status.state == kReady) status.ready_at = now;
  }
  const bool failed = status.state == fleet::InstanceState::kFailed;
  if (failed && status.last_exit && status.last_exit->cause == fleet::kExitRefused)
    instance.refused_at = instance.refused_at.value_or(now);
  else if (failed || status.state != fleet::InstanceState::kPreparing)  // it may be refused again while it prepares
    instance.refused_at.reset();
  worker.dirty = true;
  instance.object.status = status;
  instance.said = std::move(status);
}

void Reconciler::State::take(WorkerRecord& r, wire::Inventory inventory, Time now) {
  const std::string id = r.object.meta.id;
  const auto state = r.object.worker.state;
  inventory.worker.id = id;
  inventory.worker.name = r.object.meta.name;
  const auto usable = fleet::make_entry(inventory.worker, {});
  const std::string refused = usable ? "" : "its inventory cannot be used: " + usable.error().message;
  if (!refused.empty() && refused != r.refused) happened("worker", id, true, "inventory_refused", refused);
  r.refused = refused;
  if (refused.empty()) r.object.worker = std::move(inventory.worker);
  r.object.worker.state = state;  // judged here, never believed
  r.object.worker.cordoned = r.object.spec.cordoned;
  r.object.worker.last_report_at = now;
  const bool first = !r.signs.inventory_seen;
  r.proved = true;
  r.signs.inventory_seen = true;
  r.signs.last_seen_at = now;
  r.orphans.clear();
  // Its desired state is sent next; what the inventory shows was taken before.
  for (auto& [instance_id, instance] : instances) {
    if (worker_of(instance) != id) continue;
    instance.taken = false;
    instance.told_at = now;
    instance.said.reset();
  }
  for (const auto& report : inventory.instances) take_report(r, report, now);
  r.dirty = true;
  if (!first) return;
  changed_workers.insert(id);
  fleet::WorkerStatus status{
      .last_report = r.object.worker, .version = r.object.version, .joined_at = now, .inventory_at = now};
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(store::Update{.kind = "worker",
                          .id = id,
                          .expected_revision = std::nullopt,
                          .name = std::nullopt,
                          .spec = std::nullopt,
                          .status = wire::to_json(status)});
  if (auto done = write(std::move(batch)); !done)
    log::warn("worker report not stored",
              {log::kv("worker", r.object.meta.name), log::kv("error", done.error().message)});
  else
    r.object.meta.revision = done->revisions.front();
}

void Reconciler::State::take(WorkerRecord& r, wire::Heartbeat heartbeat, Time now) {
  if (!r.signs.inventory_seen) return;
  r.signs.last_seen_at = now;
  r.object.worker.last_report_at = now;
  r.object.worker.memory_used_bytes = heartbeat.memory_used_bytes;
  for (auto& device : r.object.worker.devices)
    for (const auto& used : heartbeat.devices_used)
      if (used.device == device.id) device.memory_used_bytes = used.bytes;
  for (const auto& report : heartbeat.instances) take_report(r, report, now);
  r.dirty = true;
}

void Reconciler::State::take(WorkerRecord& r, const wire::InstanceReport& report, Time now) {
  r.signs.last_seen_at = now;
  take_report(r, report, now);
}

void Reconciler::State::take(WorkerRecord& r, Message::Left, Time now) {
  r.signs.connected = false;
  r.signs.disconnected_at = now;
  r.object.connected = false;
}

std::unique_lock<std::mutex> Reconciler::State::enter() {
  std::unique_lock lock(mutex);
  std::vector<Message> said;
  {
    const std::scoped_lock inbox_lock(inbox_mutex);
    said.swap(inbox);
  }
  for (auto& message : said) {
    const auto at = workers.find(message.worker);
    if (at == workers.end()) continue;
    std::visit([&](auto& what) { take(at->second, std::move(what), message.at); }, message.what);
  }
  return lock;
}

void Reconciler::State::put(Message message) {
  const std::scoped_lock lock(inbox_mutex);
  inbox.push_back(std::move(message));
}

bool Reconciler::has_room(const std::string& worker_id) const {
  const std::scoped_lock lock(state_->inbox_mutex);
  const auto waiting = std::count_if(
      state_->inbox.begin(), state_->inbox.end(), [&](const Message& m) { return m.worker == worker_id; });
  return static_cast<std::size_t>(waiting) < kInboxPerWorkerMax;
}

void Reconciler::inventory(const std::string& worker_id, wire::Inventory inventory, Time now) {
  state_->put({worker_id, std::move(inventory), now});
}
void Reconciler::heartbeat(const std::string& worker_id, wire::Heartbeat heartbeat, Time now) {
  state_->put({worker_id, std::move(heartbeat), now});
}
void Reconciler::report(const std::string& worker_id, wire::InstanceReport report, Time now) {
  state_->put({worker_id, std::move(report), now});
}
void Reconciler::disconnected(const std::string& worker_id, Time now) {
  state_->put({worker_id, Message::Left{}, now});
}

wire::Desired Reconciler::desired(const std::string& worker_id) const {
  const auto picture = state_->seen();
  wire::Desired out;
  out.revision = picture->view->snapshot->revision();
  for (const auto& instance : picture->view->instances) {
    if (worker_of(instance) != worker_id) continue;
    out.instances.push_back({.instance = instance.meta.id,
                             .name = instance.meta.name,
                             .run = !instance.status.stop,
                             .spec = instance.spec});
  }
  return out;
}

std::string Reconciler::secret_of(const std::string& instance_id) const {
  const auto picture = state_->seen();
  const auto at = picture->secrets.find(instance_id);
  return at == picture->secrets.end() ? std::string() : at->second;
}

}  // namespace berth::reconcile
