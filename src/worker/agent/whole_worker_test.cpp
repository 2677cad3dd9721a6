// The worker as a whole: an engine process under a real supervisor, asked through a data connection.
#include <csignal>
#include <doctest/doctest.h>

#include "base/text.h"
#include "worker/agent/run_worker.h"
#include "worker/agent/testing.h"

using namespace berth;
using namespace berth::worker;
using namespace berth::worker::testing::agents;
using net::awaitable;
using wire::MessageType;

namespace {

constexpr const char* kPython = "/usr/bin/python3";

/// A worker whose only engine is tests/data/worker/engine.py.
struct EngineWorld : AgentWorld {
  EngineWorld() : AgentWorld(false) {
    folder.write("engine.py", read_small_file("tests/data/worker/engine.py").value());
    folder.write("models/tiny.gguf", "not looked into");
    catalog = engines::EngineCatalog({{.id = "fake", .title = "fake"}});
    supervise.engines.commands["fake"] = {kPython, folder.path("engine.py")};
    supervise.launch = [](const engines::Engine&,
                          const fleet::Plan&,
                          const fleet::PlanWorker&,
                          const std::string&,
                          const std::string&,
                          const engines::LaunchPlace& place) -> Result<engines::LaunchSpec> {
      engines::LaunchSpec spec;
      spec.argv = {place.program};
      spec.argv.insert(spec.argv.end(), place.program_args.begin(), place.program_args.end());
      spec.argv.push_back(std::to_string(place.port));
      spec.argv.push_back(place.secret_file);
      return spec;
    };
  }

  [[nodiscard]] wire::DesiredInstance engine(bool run) const {
    wire::DesiredInstance out = instruction("i-1", run);
    out.spec.plan.source = {.kind = "local", .path = folder.path("models/tiny.gguf")};
    return out;
  }

  [[nodiscard]] bool in_state(fleet::InstanceState state) const {
    const auto report = server.last_report("i-1");
    return report && report->status.state == state;
  }
};

awaitable<std::string> chat_through(AgentWorld& world, std::string body) {
  if (!co_await holds([&] { return !world.server.data.empty(); })) co_return "no data connection";
  net::ClientConnection connection = std::move(world.server.data.front());
  world.server.data.pop_front();
  net::Request request{.method = "POST", .target = "/v1/chat/completions"};
  request.headers.add("Berth-Instance", "i-1");
  request.headers.add("Content-Type", "application/json");
  request.body = std::move(body);
  auto sent = co_await connection.send(request, soon());
  if (!sent) co_return sent.error().message;
  auto head = co_await connection.read_head(soon());
  if (!head) co_return head.error().message;
  auto text = co_await connection.read_body(100'000, soon());
  if (!text) co_return text.error().message;
  const std::string out = std::to_string((*head)->status) + " " + *text;
  if (connection.reusable()) world.server.data.push_back(std::move(connection));
  co_return out;
}

awaitable<void> serves(EngineWorld& world) {
  REQUIRE(co_await holds([&] { return world.server.channel != nullptr; }));
  const std::string early = co_await chat_through(world, "{}");
  CHECK(early.starts_with("404 "));
  wire::Desired desired{.revision = 1, .instances = {world.engine(true)}};
  co_await world.server.send(MessageType::kDesired, desired);
  REQUIRE(co_await holds([&] { return world.in_state(fleet::InstanceState::kReady); }));
  const auto ready = world.server.last_report("i-1");
  CHECK(ready->secret.empty());  // the server is not said to be on this host
  REQUIRE(ready->status.pid.has_value());

  const std::string answer = co_await chat_through(world, R"({"stream":true,"words":["Hel","lo"]})");
  CHECK(answer.starts_with("200 data: "));
  CHECK(answer.find(R"("Hel")") != std::string::npos);
  CHECK(answer.ends_with("data: [DONE]\n\n"));

  const wire::LogRequest log{.id = 5, .instance = "i-1", .tail_lines = 1};
  co_await world.server.send(MessageType::kLogRequest, log);
  REQUIRE(co_await holds([&] {
    const auto chunks = world.server.of<wire::LogChunk>(MessageType::kLogChunk);
    return !chunks.empty() && chunks.back().end;
  }));
  CHECK(world.server.log_text(5) == "asked /v1/chat/completions\n");

  // The server goes away and comes back: same process, and on its own host it is told the secret.
  world.server.welcome.same_host = true;
  const auto inventories = world.server.of<wire::Inventory>(MessageType::kInventory).size();
  world.server.drop();
  REQUIRE(
      co_await holds([&] { return world.server.of<wire::Inventory>(MessageType::kInventory).size() > inventories; }));
  const auto again = world.server.last_report("i-1");
  CHECK(again->status.pid == ready->status.pid);
  CHECK(again->status.state == fleet::InstanceState::kReady);
  CHECK(again->secret.size() == 64);
}

awaitable<void> ends(EngineWorld& world, std::int64_t pid) {
  const wire::Desired desired{.revision = 9, .instances = {world.engine(false)}};
  REQUIRE(co_await holds([&] { return world.in_state(fleet::InstanceState::kReady); }));
  CHECK(world.server.last_report("i-1")->status.pid == pid);
  co_await world.server.send(MessageType::kDesired, desired);
  REQUIRE(co_await holds([&] {
    const auto report = world.server.last_report("i-1");
    return report && report->gone;
  }));
  const std::string late = co_await chat_through(world, "{}");
  CHECK(late.starts_with("404 "));
}

}  // namespace

TEST_CASE("an engine is started, asked through a data connection, outlives the agent, and is stopped on instruction") {
  EngineWorld world;
  world.start();
  world.loop.run_until_done(serves(world));
  const auto pid = world.server.last_report("i-1")->status.pid.value_or(0);
  REQUIRE(pid > 0);
  // Agent and supervisor end; the engine goes on and is adopted by the next ones.
  world.loop.run_until_done(world.stop());
  world.supervisor.reset();
  CHECK(process_stat(pid).has_value());
  world.server.heard.clear();
  world.server.data.clear();
  world.start();
  world.run(ends(world, pid));
  const auto stat = process_stat(pid);
  CHECK((!stat || stat->state == 'Z'));
}

namespace {

WorkerOptions simulated(const AgentWorld& world) {
  WorkerOptions options;
  options.server = "http://" + world.server.url().authority();
  options.token = "token-1";
  options.state_dir = world.folder.path("thread");
  fleet::Worker profile;
  profile.name = "mac-1";
  profile.os = "darwin";
  profile.arch = "arm64";
  profile.state = fleet::WorkerState::kNotReady;
  profile.memory_total_bytes = 192 * kGiB;
  profile.devices.push_back({.id = "m2", .name = "M2 Ultra", .vendor = "apple", .framework = "metal"});
  options.profile = profile;
  return options;
}

}  // namespace

TEST_CASE("a worker on a thread of its own tells its profile's devices and says that they are simulated") {
  AgentWorld world(true);
  auto thread = WorkerThread::start(simulated(world));
  REQUIRE_MESSAGE(thread, thread.error().message);
  world.run([](AgentWorld& w) -> awaitable<void> {
    REQUIRE(co_await holds([&w] { return !w.server.of<wire::Inventory>(MessageType::kInventory).empty(); }));
    REQUIRE(co_await holds([&w] { return w.server.of<wire::Heartbeat>(MessageType::kHeartbeat).size() > 1; }));
  }(world));
  const auto told = world.server.of<wire::Inventory>(MessageType::kInventory).front().worker;
  CHECK(told.name == "mac-1");
  CHECK(told.simulated);
  CHECK(told.os == "darwin");
  CHECK(told.memory_total_bytes == Bytes(192 * kGiB));
  REQUIRE(told.devices.size() == 1);
  CHECK(told.devices.front().id == "m2");
  CHECK(world.server.of<wire::Hello>(MessageType::kHello).front().simulated);
  CHECK((*thread)->stop());
}

TEST_CASE("two workers do not share a state folder") {
  AgentWorld world(true);
  const auto first = WorkerThread::start(simulated(world));
  REQUIRE(first);
  const auto second = WorkerThread::start(simulated(world));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Code::kConflict);
}

TEST_CASE("options of a worker that make no sense are refused with what is wrong") {
  AgentWorld world(true);
  WorkerOptions options = simulated(world);
  options.server = "http://127.0.0.1:1/some/path";
  CHECK(WorkerThread::start(options).error().message.find("without a path") != std::string::npos);
  options = simulated(world);
  options.fingerprint = "sha256:" + std::string(64, '0');
  CHECK(WorkerThread::start(options).error().message.find("not https") != std::string::npos);
  options = simulated(world);
  options.token.clear();
  options.token_file = world.folder.path("missing");
  CHECK(WorkerThread::start(options).error().message.find("join token") != std::string::npos);
  options = simulated(world);
  options.name = "Not A Name";
  CHECK(WorkerThread::start(options).error().message.find("--name") != std::string::npos);
}

namespace {

/// Stops this process's worker once it has joined.
awaitable<void> signal_when_joined(AgentWorld& world) {
  if (co_await holds([&] { return !world.server.of<wire::Inventory>(MessageType::kInventory).empty(); }))
    ::kill(::getpid(), SIGTERM);
}

}  // namespace

TEST_CASE("a worker in the foreground ends in order on SIGTERM") {
  AgentWorld world(true);
  std::thread server([&world] { world.loop.run_until_done(signal_when_joined(world)); });
  const auto ended = run_worker(simulated(world));
  server.join();
  REQUIRE(ended);
  CHECK(*ended == 0);
  world.run([]() -> awaitable<void> { co_return; }());
}
