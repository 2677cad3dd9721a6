#include "worker/agent/testing.h"

#include <doctest/doctest.h>

namespace berth::worker::testing::agents {

using net::awaitable;
using wire::MessageType;

awaitable<bool> holds(std::function<bool()> condition) {
  const net::Deadline deadline = soon();
  while (!condition()) {
    if (deadline.passed()) co_return false;
    if (!co_await net::sleep_for(net::Millis(2))) co_return false;
  }
  co_return true;
}

FakeServer::FakeServer(net::Loop& loop, net::ServerTls tls)
    : tls_(tls.enabled()), server_(loop.executor(), [this](net::Exchange& exchange) { return handle(exchange); }) {
  auto listener = net::Listener::open(loop.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
  REQUIRE(listener);
  port_ = listener->endpoint().port;
  server_.listen(std::move(*listener), std::move(tls));
}

net::Url FakeServer::url() const { return {.tls = tls_, .host = "127.0.0.1", .port = port_}; }

awaitable<void> FakeServer::handle(net::Exchange& exchange) {
  if (exchange.request().target == wire::kControlPath) co_return co_await control(exchange);
  if (exchange.request().target == wire::kDataPath) co_return co_await take_data(exchange);
  net::Response response = net::make_response(404, "text/plain", "no such path");
  static_cast<void>(co_await exchange.respond(std::move(response)));
}

awaitable<void> FakeServer::control(net::Exchange& exchange) {
  const std::string key(exchange.request().headers.get("authorization").value_or(""));
  control_keys.push_back(key);
  auto stream = co_await exchange.upgrade(std::string(wire::kControlUpgrade));
  if (!stream) co_return;
  auto mine = std::make_shared<net::FrameChannel>(std::move(*stream));
  const std::size_t number = connections_++;
  auto hello = co_await mine->read(kMax);
  if (!hello) co_return;
  heard.push_back({static_cast<MessageType>(hello->type), hello->payload, number});
  const auto refused = judge ? judge(key) : std::nullopt;
  std::string answer = refused ? wire::to_json(*refused) : wire::to_json(welcome);
  const auto type = refused ? MessageType::kRefused : MessageType::kWelcome;
  auto sent = co_await mine->write(static_cast<std::uint8_t>(type), std::move(answer), soon());
  if (refused || !sent) co_return;
  if (std::exchange(mute, false)) {
    static_cast<void>(co_await net::sleep_until(soon()));
    co_return;
  }
  channel = mine;
  for (;;) {
    auto frame = co_await mine->read(kMax);
    if (!frame) break;
    heard.push_back({static_cast<MessageType>(frame->type), std::move(frame->payload), number});
  }
  mine->close();
}

awaitable<void> FakeServer::take_data(net::Exchange& exchange) {
  data_keys.emplace_back(exchange.request().headers.get("authorization").value_or(""));
  auto stream = co_await exchange.upgrade(std::string(wire::kDataUpgrade));
  if (stream) data.emplace_back(std::move(*stream), "worker");
}

std::optional<wire::InstanceReport> FakeServer::last_report(const std::string& instance) const {
  std::optional<wire::InstanceReport> last;
  const auto note = [&](const std::vector<wire::InstanceReport>& reports) {
    for (const auto& report : reports)
      if (report.instance == instance) last = report;
  };
  for (const Heard& one : heard) {
    if (one.type == MessageType::kReport)
      note({wire::from_json<wire::InstanceReport>(one.payload, wire::Strictness::kStrict).value()});
    if (one.type == MessageType::kInventory)
      note(wire::from_json<wire::Inventory>(one.payload, wire::Strictness::kStrict).value().instances);
    if (one.type == MessageType::kHeartbeat)
      note(wire::from_json<wire::Heartbeat>(one.payload, wire::Strictness::kStrict).value().instances);
  }
  return last;
}

std::string FakeServer::log_text(std::uint64_t id) const {
  std::string text;
  for (const auto& chunk : of<wire::LogChunk>(MessageType::kLogChunk))
    if (chunk.id == id) text += chunk.text;
  return text;
}

Result<Usage> FixedMachine::look() {
  const std::scoped_lock lock(mutex_);
  Usage usage;
  usage.memory_total_bytes = 8 * kGiB;
  usage.memory_available_bytes = 5 * kGiB;
  usage.devices = devices_;
  return usage;
}

void FixedMachine::set(std::vector<fleet::Device> devices) {
  const std::scoped_lock lock(mutex_);
  devices_ = std::move(devices);
}

AgentWorld::AgentWorld(bool simulated, net::ServerTls tls) : server(loop, std::move(tls)) {
  supervise.state_dir = folder.path("state");
  supervise.engine_user = "nobody";
  supervise.cgroup_root = "";
  supervise.model_roots = {folder.path("models")};
  supervise.simulated = simulated;
  supervise.limits.tick_every = Duration(20);
  supervise.limits.idle_every = Duration(50);
  supervise.limits.probe_every = Duration(50);
  supervise.limits.stop_grace = Duration(2'000);
  options.server = server.url();
  options.token = "token-1";
  options.name = "node-1";
  options.version = "test";
  options.state_dir = supervise.state_dir;
  options.simulated = simulated;
  options.timing.backoff_min = net::Millis(10);
  options.timing.backoff_max = net::Millis(50);
  worker.name = "node-1";
  worker.os = "linux";
  worker.memory_total_bytes = 8 * kGiB;
  worker.simulated = simulated;
}

AgentWorld::~AgentWorld() = default;

awaitable<void> AgentWorld::keep_result() { result_.emplace(co_await agent->run()); }

void AgentWorld::start() {
  result_.reset();
  if (!supervisor) {
    auto made = Supervisor::create(supervise, catalog, *probe, observer);
    REQUIRE_MESSAGE(made, made.error().message);
    supervisor = std::move(*made);
  }
  agent = std::make_unique<Agent>(loop.executor(), options, *supervisor, observer, worker);
  REQUIRE(tasks_.spawn(keep_result()));
}

awaitable<Result<void>> AgentWorld::ended() {
  const bool came = co_await holds([this] { return result_.has_value(); });
  if (!came) co_return fail(Code::kTimeout, "the agent goes on");
  co_return *result_;
}

awaitable<void> AgentWorld::stop() {
  if (!agent) co_return;
  agent->stop();
  const auto result = co_await ended();
  if (!result) CHECK(result.error().code != Code::kTimeout);
  agent.reset();
}

void AgentWorld::run(awaitable<void> test) {
  loop.run_until_done(std::move(test));
  loop.run_until_done(stop());
  loop.run_until_done(server.stop());
  supervisor.reset();
}

wire::DesiredInstance instruction(const std::string& instance, bool run, std::uint64_t attempt) {
  wire::DesiredInstance out{.instance = instance, .name = instance, .run = run};
  out.spec.attempt = attempt;
  out.spec.deployment_name = "chat";
  out.spec.plan.engine = "fake";
  out.spec.plan.workers.push_back({.worker = "w-1", .worker_name = "node-1"});
  return out;
}

}  // namespace berth::worker::testing::agents
