#include "worker/agent/session.h"

#include <algorithm>

#include "base/log.h"
#include "wire/json.h"

namespace berth::worker {
namespace {

using net::awaitable;
using net::Deadline;
using wire::MessageType;

constexpr net::Millis kHeartbeatSoonest{100};
constexpr net::Millis kHeartbeatLatest{60'000};
constexpr net::Millis kTasksEndMax{5'000};

/// A report without the figures that are measured all the time: they travel with heartbeats.
std::string state_of(wire::InstanceReport report) {
  report.status.observed.clear();
  report.status.observed_memory_bytes.reset();
  return wire::to_json(report);
}

/// Takes over what moves; true when the devices themselves are others than before.
bool update(fleet::Worker& worker, Usage usage) {
  worker.memory_used_bytes = usage.memory_total_bytes.minus_or_zero(usage.memory_available_bytes);
  if (usage.disk_free_bytes) worker.disk_free_bytes = usage.disk_free_bytes;
  const auto still = [](fleet::Device device) {
    device.memory_used_bytes = Bytes(0);
    return wire::to_json(device);
  };
  const bool same = std::equal(worker.devices.begin(),
                               worker.devices.end(),
                               usage.devices.begin(),
                               usage.devices.end(),
                               [&](const auto& a, const auto& b) { return still(a) == still(b); });
  worker.devices = std::move(usage.devices);
  return !same;
}

bool far_apart(Bytes a, Bytes b) { return a.minus_or_zero(b) > kDiskStep || b.minus_or_zero(a) > kDiskStep; }

}  // namespace

Session::Session(net::Executor executor, SessionWorld world, net::FrameChannel channel, wire::Welcome welcome)
    : world_(std::move(world)),
      channel_(std::move(channel)),
      welcome_(std::move(welcome)),
      ended_(executor),
      logs_(
          executor,
          world_.files,
          [local = &world_.local](const std::string& instance) -> std::optional<std::string> {
            const auto picture = local->picture();
            const auto at = picture->log_files.find(instance);
            return at == picture->log_files.end() ? std::nullopt : std::optional(at->second);
          },
          [this](wire::LogChunk chunk) { return send_chunk(std::move(chunk)); }),
      tasks_(executor) {}

awaitable<Result<void>> Session::run() {
  const auto self = shared_from_this();
  CO_TRY_VOID(co_await send_inventory());
  world_.data.resume(world_.key, welcome_.data_connections_idle);
  CO_TRY_VOID(tasks_.spawn(tell_changes(self)));
  CO_TRY_VOID(tasks_.spawn(tell_heartbeats(self)));
  CO_TRY_VOID(tasks_.spawn(ping(self)));
  auto ended = co_await listen();
  world_.data.pause();
  end();
  static_cast<void>(co_await join(Deadline::in(kTasksEndMax)));
  channel_.close();
  co_return ended;
}

void Session::end() {
  over_ = true;
  channel_.cancel();
  logs_.cancel();
  tasks_.cancel();
}

awaitable<Result<void>> Session::join(Deadline deadline) {
  CO_TRY_VOID(co_await logs_.join(deadline));
  co_return co_await tasks_.join(deadline);
}

awaitable<Result<void>> Session::send(MessageType type, std::string payload) {
  co_return co_await channel_.write(static_cast<std::uint8_t>(type), std::move(payload), Deadline::in(kFrameSendMax));
}

awaitable<Result<void>> Session::send_chunk(wire::LogChunk chunk) {
  std::string payload = wire::to_json(chunk);
  co_return co_await send(MessageType::kLogChunk, std::move(payload));
}

wire::InstanceReport Session::shown(const wire::InstanceReport& report) const {
  wire::InstanceReport out = report;
  if (!welcome_.same_host) out.secret.clear();
  return out;
}

void Session::told(const wire::InstanceReport& report) {
  told_[report.instance] = {.all = wire::to_json(report), .state = state_of(report), .gone = report.gone};
}

awaitable<Result<void>> Session::send_inventory() {
  wire::Inventory inventory{.worker = world_.worker};
  inventory.worker.id = welcome_.worker_id;
  inventory.worker.last_report_at = world_.clock.now();
  disk_told_ = inventory.worker.disk_free_bytes.value_or(Bytes(0));
  const auto picture = world_.local.picture();
  told_.clear();
  for (const wire::InstanceReport& report : picture->reports) {
    inventory.instances.push_back(shown(report));
    told(inventory.instances.back());
  }
  std::string payload = wire::to_json(inventory);
  co_return co_await send(MessageType::kInventory, std::move(payload));
}

awaitable<void> Session::tell_inventory() {
  if (over_) co_return;
  if (const auto sent = co_await send_inventory(); !sent) channel_.cancel();
}

awaitable<void> Session::tell_changes(std::shared_ptr<Session> self) {
  while (!self->over_ && !co_await net::task_cancelled()) {
    const auto picture = world_.local.picture();
    std::erase_if(told_, [&](const auto& entry) {
      return std::none_of(picture->reports.begin(), picture->reports.end(), [&](const wire::InstanceReport& report) {
        return report.instance == entry.first;
      });
    });
    for (const wire::InstanceReport& report : picture->reports) {
      const wire::InstanceReport out = shown(report);
      const auto at = told_.find(out.instance);
      if (at != told_.end() && at->second.state == state_of(out)) continue;
      std::string payload = wire::to_json(out);
      if (const auto sent = co_await send(MessageType::kReport, std::move(payload)); !sent) {
        channel_.cancel();
        co_return;
      }
      told(out);
    }
    co_await world_.local.changed().wait(Deadline::never());
  }
}

awaitable<void> Session::tell_heartbeats(std::shared_ptr<Session> self) {
  const net::Millis every = std::clamp(net::Millis(welcome_.heartbeat_ms), kHeartbeatSoonest, kHeartbeatLatest);
  while (!self->over_) {
    if (!co_await net::sleep_for(every)) co_return;
    if (const auto sent = co_await heartbeat(); !sent) {
      log::debug("heartbeat not sent", {log::kv("error", sent.error().message)});
      channel_.cancel();
      co_return;
    }
  }
}

awaitable<Result<void>> Session::heartbeat() {
  bool others = false;
  if (!world_.simulated) {
    auto usage = co_await world_.local.look();
    if (over_) co_return fail(Code::kCancelled, "cancelled");
    if (!usage && !blind_) log::warn("the machine cannot be read", {log::kv("error", usage.error().message)});
    blind_ = !usage.has_value();
    if (usage) others = update(world_.worker, std::move(*usage));
  }
  if (others || far_apart(world_.worker.disk_free_bytes.value_or(Bytes(0)), disk_told_)) {
    CO_TRY_VOID(co_await send_inventory());
  }
  wire::Heartbeat beat{.sequence = ++sequence_, .memory_used_bytes = world_.worker.memory_used_bytes};
  for (const fleet::Device& device : world_.worker.devices)
    beat.devices_used.push_back({.device = device.id, .bytes = device.memory_used_bytes});
  for (const wire::InstanceReport& report : world_.local.picture()->reports) {
    wire::InstanceReport out = shown(report);
    const auto at = told_.find(out.instance);
    if (at != told_.end() && at->second.all == wire::to_json(out)) continue;
    told(out);
    beat.instances.push_back(std::move(out));
  }
  std::string payload = wire::to_json(beat);
  co_return co_await send(MessageType::kHeartbeat, std::move(payload));
}

awaitable<void> Session::ping(std::shared_ptr<Session> self) {
  while (!self->over_) {
    if (!co_await net::sleep_for(world_.ping_every)) co_return;
    if (const auto sent = co_await channel_.ping(Deadline::in(kFrameSendMax)); !sent) {
      channel_.cancel();
      co_return;
    }
  }
}

awaitable<Result<void>> Session::listen() {
  for (;;) {
    CO_TRY(net::Frame frame, co_await channel_.read(world_.silence_max));
    if (const auto heard = co_await hear(std::move(frame)); !heard) {
      if (heard.error().code == Code::kCancelled) co_return heard.error();
      // One message that makes no sense is not worth the connection.
      log::warn("message of the server not carried out", {log::kv("error", heard.error().message)});
    }
  }
}

awaitable<Result<void>> Session::hear(net::Frame frame) {
  switch (static_cast<MessageType>(frame.type)) {
    case MessageType::kDesired: {
      CO_TRY(wire::Desired desired, wire::from_json<wire::Desired>(frame.payload, wire::Strictness::kLenient));
      co_return co_await obey(std::move(desired));
    }
    case MessageType::kLogRequest: {
      CO_TRY(wire::LogRequest request, wire::from_json<wire::LogRequest>(frame.payload, wire::Strictness::kLenient));
      logs_.take(std::move(request));
      co_return Result<void>{};
    }
    case MessageType::kOpenData: {
      CO_TRY(const wire::OpenData open, wire::from_json<wire::OpenData>(frame.payload, wire::Strictness::kLenient));
      world_.data.open_more(open.count);
      co_return Result<void>{};
    }
    default:
      co_return Result<void>{};  // a newer server may say more
  }
}

awaitable<Result<void>> Session::obey(wire::Desired desired) {
  // Two messages may overtake each other on their way into the connection; the older one knows less.
  if (desired.revision < desired_revision_) co_return Result<void>{};
  desired_revision_ = desired.revision;
  std::set<std::string> named;
  for (const wire::DesiredInstance& one : desired.instances) named.insert(one.instance);
  // What the server was told to be gone, and no longer names, it has taken note of.
  std::vector<std::string> forgotten;
  for (const auto& [instance, told] : told_)
    if (told.gone && !named.contains(instance)) forgotten.push_back(instance);
  CO_TRY_VOID(co_await world_.local.apply(std::move(desired.instances)));
  if (forgotten.empty()) co_return Result<void>{};
  co_return co_await world_.local.forget(std::move(forgotten));
}

}  // namespace berth::worker
