#include "worker/agent/agent.h"

#include <sys/stat.h>

#include <doctest/doctest.h>

#include "worker/agent/credentials.h"
#include "worker/agent/testing.h"

using namespace berth;
using namespace berth::worker;
using namespace berth::worker::testing::agents;
using net::awaitable;
using wire::MessageType;

namespace {

bool has_inventory(const AgentWorld& world, std::size_t connection) {
  for (const auto& one : world.server.heard)
    if (one.type == MessageType::kInventory && one.connection == connection) return true;
  return false;
}

/// Type of the first message after hello on that connection.
std::optional<MessageType> first_after_hello(const AgentWorld& world, std::size_t connection) {
  std::size_t seen = 0;
  for (const auto& one : world.server.heard)
    if (one.connection == connection && seen++ == 1) return one.type;
  return std::nullopt;
}

awaitable<void> joins(AgentWorld& world) {
  REQUIRE(co_await holds([&] { return has_inventory(world, 0); }));
  REQUIRE(co_await holds([&] { return world.server.of<wire::Heartbeat>(MessageType::kHeartbeat).size() >= 2; }));
}

}  // namespace

TEST_CASE("a worker joins by token, keeps its key, and tells its inventory before anything else") {
  AgentWorld world(true);
  world.start();
  world.run(joins(world));
  const auto hello = world.server.of<wire::Hello>(MessageType::kHello).at(0);
  CHECK(hello.worker_id.empty());
  CHECK(hello.name == "node-1");
  CHECK(hello.simulated);
  CHECK(world.server.control_keys.at(0) == "Bearer token-1");
  CHECK(first_after_hello(world, 0) == MessageType::kInventory);
  const auto inventory = world.server.of<wire::Inventory>(MessageType::kInventory).at(0);
  CHECK(inventory.worker.id == "w-1");
  CHECK(inventory.worker.simulated);
  CHECK(inventory.worker.last_report_at.has_value());
  const auto beats = world.server.of<wire::Heartbeat>(MessageType::kHeartbeat);
  CHECK(beats.at(1).sequence == beats.at(0).sequence + 1);

  struct stat info{};
  REQUIRE(::stat((world.options.state_dir + "/worker.json").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777U) == 0600U);
  const auto kept = load_credentials(world.options.state_dir);
  REQUIRE(kept);
  CHECK(kept->worker_id == "w-1");
  CHECK(kept->worker_key == "wk-1");
  CHECK(kept->host_id == hello.host_id);
  CHECK(hello.host_id.size() == 32);
}

namespace {

awaitable<void> comes_back(AgentWorld& world) {
  REQUIRE(co_await holds([&] { return has_inventory(world, 0); }));
  world.server.welcome.worker_key.clear();
  world.server.drop();
  REQUIRE(co_await holds([&] { return has_inventory(world, 1); }));
}

}  // namespace

TEST_CASE("a worker whose connection broke comes back with its own key and its inventory first") {
  AgentWorld world(true);
  world.start();
  world.run(comes_back(world));
  CHECK(world.server.control_keys.at(1) == "Bearer wk-1");
  CHECK(world.server.of<wire::Hello>(MessageType::kHello).at(1).worker_id == "w-1");
  CHECK(first_after_hello(world, 1) == MessageType::kInventory);
}

TEST_CASE("an agent that starts again is the same worker") {
  AgentWorld world(true);
  world.start();
  world.loop.run_until_done(joins(world));
  world.loop.run_until_done(world.stop());
  world.options.token.clear();
  world.start();
  world.run(
      [](AgentWorld& w) -> awaitable<void> { REQUIRE(co_await holds([&w] { return has_inventory(w, 1); })); }(world));
  CHECK(world.server.control_keys.back() == "Bearer wk-1");
}

TEST_CASE("a server that falls silent is left and dialled again") {
  AgentWorld world(true);
  world.options.timing.ping_every = net::Millis(50);
  world.options.timing.silence_max = net::Millis(300);
  world.server.mute = true;
  world.start();
  world.run([](AgentWorld& w) -> awaitable<void> {
    REQUIRE(co_await holds([&w] { return has_inventory(w, 1); }));
    CHECK_FALSE(has_inventory(w, 0));
    // Pings are answered: the second connection stays although nothing else is said.
    const auto beats = w.server.of<wire::Heartbeat>(MessageType::kHeartbeat).size();
    REQUIRE(co_await holds(
        [&w, beats] { return w.server.of<wire::Heartbeat>(MessageType::kHeartbeat).size() >= beats + 6; }));
    CHECK(w.agent->status().sessions == 2);
  }(world));
}

TEST_CASE("a refused token ends the worker with the server's sentence") {
  AgentWorld world(true);
  world.server.judge = [](const std::string&) {
    return wire::Refused{.code = "unauthenticated", .message = "this is neither a join token nor a worker's key"};
  };
  world.start();
  world.loop.run_until_done([](AgentWorld& w) -> awaitable<void> {
    const auto ended = co_await w.ended();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().code == Code::kUnauthenticated);
    CHECK(ended.error().message.find("neither a join token") != std::string::npos);
  }(world));
  world.run([]() -> awaitable<void> { co_return; }());
}

TEST_CASE("a worker without key and token says what to do") {
  AgentWorld world(true);
  world.options.token.clear();
  world.start();
  world.run([](AgentWorld& w) -> awaitable<void> {
    const auto ended = co_await w.ended();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().message.find("berth worker token") != std::string::npos);
  }(world));
  CHECK(world.server.control_keys.empty());
}

TEST_CASE("a conflict is waited out") {
  AgentWorld world(true);
  int left = 2;
  world.server.judge = [&left](const std::string&) -> std::optional<wire::Refused> {
    if (left-- <= 0) return std::nullopt;
    return wire::Refused{.code = "conflict", .message = "worker \"node-1\" is connected already"};
  };
  world.start();
  world.run(
      [](AgentWorld& w) -> awaitable<void> { REQUIRE(co_await holds([&w] { return has_inventory(w, 2); })); }(world));
}

TEST_CASE("a key that the server no longer knows is replaced by joining again") {
  AgentWorld world(true);
  ::mkdir(world.options.state_dir.c_str(), 0711);
  const Credentials old{.worker_id = "w-0", .worker_key = "wk-0", .host_id = "h"};
  REQUIRE(save_credentials(world.options.state_dir, old));
  world.server.judge = [](const std::string& key) -> std::optional<wire::Refused> {
    if (key != "Bearer wk-0") return std::nullopt;
    return wire::Refused{.code = "unauthenticated", .message = "unknown key"};
  };
  world.start();
  world.run(
      [](AgentWorld& w) -> awaitable<void> { REQUIRE(co_await holds([&w] { return has_inventory(w, 1); })); }(world));
  CHECK(world.server.control_keys == std::vector<std::string>{"Bearer wk-0", "Bearer token-1"});
  CHECK(load_credentials(world.options.state_dir)->worker_key == "wk-1");
}

namespace {

awaitable<void> simulates(AgentWorld& world) {
  REQUIRE(co_await holds([&] { return has_inventory(world, 0); }));
  wire::Desired desired{.revision = 1, .instances = {instruction("i-1", true)}};
  co_await world.server.send(MessageType::kDesired, desired);
  REQUIRE(co_await holds([&] { return world.server.last_report("i-1").has_value(); }));
  CHECK(world.server.last_report("i-1")->status.state == fleet::InstanceState::kSimulated);
  CHECK_FALSE(world.server.last_report("i-1")->status.pid.has_value());

  // Not named, nothing named, an unknown message, a broken one, a dropped connection: it stays.
  desired = {.revision = 2, .instances = {}};
  co_await world.server.send(MessageType::kDesired, desired);
  co_await world.server.send(static_cast<MessageType>(99), desired);
  co_await world.server.send(MessageType::kDesired, wire::OpenData{});
  world.server.drop();
  REQUIRE(co_await holds([&] { return has_inventory(world, 1); }));
  auto inventory = world.server.of<wire::Inventory>(MessageType::kInventory).back();
  REQUIRE(inventory.instances.size() == 1);
  CHECK(inventory.instances.front().status.state == fleet::InstanceState::kSimulated);

  desired = {.revision = 3, .instances = {instruction("i-1", false)}};
  co_await world.server.send(MessageType::kDesired, desired);
  REQUIRE(co_await holds([&] { return world.server.last_report("i-1")->gone; }));
  // Still named: it is remembered. No longer named: it is forgotten, and no inventory shows it.
  co_await world.server.send(MessageType::kDesired, desired);
  world.server.drop();
  REQUIRE(co_await holds([&] { return has_inventory(world, 2); }));
  CHECK(world.server.of<wire::Inventory>(MessageType::kInventory).back().instances.size() == 1);
  desired = {.revision = 4, .instances = {instruction("i-2", true)}};
  co_await world.server.send(MessageType::kDesired, desired);
  REQUIRE(co_await holds([&] { return world.server.last_report("i-2").has_value(); }));
  world.server.drop();
  REQUIRE(co_await holds([&] { return has_inventory(world, 3); }));
  inventory = world.server.of<wire::Inventory>(MessageType::kInventory).back();
  REQUIRE(inventory.instances.size() == 1);
  CHECK(inventory.instances.front().instance == "i-2");
}

}  // namespace

TEST_CASE("a simulated instance stays simulated until it is told to stop, and is forgotten when both sides know") {
  AgentWorld world(true);
  world.start();
  world.run(simulates(world));
}

TEST_CASE("heartbeats carry the machine's figures, and other devices bring a new inventory") {
  AgentWorld world(true);
  world.options.simulated = false;  // the supervisor starts nothing, the agent looks at the machine
  fleet::Device device{.id = "GPU-1", .name = "A100", .vendor = "nvidia", .framework = "cuda"};
  device.memory_total_bytes = 80 * kGiB;
  world.worker.devices = {device};
  device.memory_used_bytes = 3 * kGiB;
  world.observer.set({device});
  world.start();
  world.run([](AgentWorld& w, fleet::Device other) -> awaitable<void> {
    REQUIRE(co_await holds([&w] { return w.server.of<wire::Heartbeat>(MessageType::kHeartbeat).size() >= 2; }));
    const auto beat = w.server.of<wire::Heartbeat>(MessageType::kHeartbeat).back();
    CHECK(beat.memory_used_bytes == Bytes(3 * kGiB));
    REQUIRE(beat.devices_used.size() == 1);
    CHECK(beat.devices_used.front().device == "GPU-1");
    CHECK(beat.devices_used.front().bytes == Bytes(3 * kGiB));
    CHECK(w.server.of<wire::Inventory>(MessageType::kInventory).size() == 1);
    other.health = fleet::Health::kUnhealthy;
    w.observer.set({other});
    REQUIRE(co_await holds([&w] { return w.server.of<wire::Inventory>(MessageType::kInventory).size() == 2; }));
    const auto inventory = w.server.of<wire::Inventory>(MessageType::kInventory).back();
    CHECK(inventory.worker.devices.front().health == fleet::Health::kUnhealthy);
  }(world, device));
}

TEST_CASE("idle data connections are kept at the number that the server asked for") {
  AgentWorld world(true);
  world.start();
  world.run([](AgentWorld& w) -> awaitable<void> {
    REQUIRE(co_await holds([&w] { return w.server.data.size() == 2; }));
    CHECK(w.server.data_keys == std::vector<std::string>{"Bearer wk-1", "Bearer wk-1"});
    w.server.data.pop_front();  // one ends: another comes
    REQUIRE(co_await holds([&w] { return w.server.data.size() == 2; }));
    co_await w.server.send(MessageType::kOpenData, wire::OpenData{.count = 3});
    REQUIRE(co_await holds([&w] { return w.server.data.size() == 5; }));
    REQUIRE(co_await holds([&w] { return w.agent->status().data_connections == 5; }));
  }(world));
}

TEST_CASE("over TLS a worker talks to the server whose certificate it was told, and to no other") {
  const auto pair = net::make_self_signed({});
  REQUIRE(pair);
  const auto tls = net::ServerTls::from_pem(*pair);
  REQUIRE(tls);
  AgentWorld world(true, *tls);
  world.fingerprint = tls->fingerprint();
  std::string wrong = world.fingerprint;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  world.options.tls = net::ClientTls::make({.fingerprint = wrong}).value();
  world.start();
  world.loop.run_until_done([](AgentWorld& w) -> awaitable<void> {
    const auto ended = co_await w.ended();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().message.find("shows the certificate " + w.fingerprint) != std::string::npos);
  }(world));
  CHECK(world.server.control_keys.empty());  // the token was not shown to it
  world.loop.run_until_done(world.stop());

  world.options.tls = net::ClientTls::make({.fingerprint = world.fingerprint}).value();
  world.start();
  world.run([](AgentWorld& w) -> awaitable<void> {
    REQUIRE(co_await holds([&w] { return has_inventory(w, 0) && w.server.data.size() == 2; }));
  }(world));
}
