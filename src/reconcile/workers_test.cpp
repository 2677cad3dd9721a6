// Workers that fall silent, come back as somebody else, tell nonsense, or cannot start what they are given.
#include <algorithm>

#include "reconcile/testing.h"

namespace berth::reconcile {

using namespace testing;
using store::Fault;

namespace {

/// The worker's answer to an instruction that it cannot carry out.
void refuse(Cluster& c, const std::string& instance) {
  wire::InstanceReport r{.instance = instance, .attempt = 1, .status = {}, .secret = "", .gone = false};
  r.status.state = InstanceState::kFailed;
  r.status.message = "not started: 6 GiB needed, 1 GiB available";
  r.status.last_exit = fleet::ExitInfo{.status = std::nullopt,
                                       .signal = std::nullopt,
                                       .cause = std::string(fleet::kExitRefused),
                                       .message = r.status.message,
                                       .at = c.now};
  c.server->report(c.worker, r, c.now);
  c.server->tick(c.now);
}

/// One replica that needs most of any one of the worker's devices.
void create_anywhere(Cluster& c) {
  auto spec = Cluster::spec(6, 1);
  spec.request.restriction.devices.clear();
  REQUIRE(c.server->create_deployment("chat", spec, c.now).has_value());
  c.server->tick(c.now);
}

/// By their devices; those told to stop are not shown.
std::map<std::string, InstanceObject> wanted(const Cluster& c) {
  std::map<std::string, InstanceObject> out;
  for (const auto& i : c.instances())
    if (!i.status.stop) out.emplace(i.spec.plan.workers.front().devices.front(), i);
  return out;
}

wire::Hello hello(std::string name, std::string id = "") {
  wire::Hello h;
  h.worker_id = std::move(id);
  h.name = std::move(name);
  return h;
}

}  // namespace

TEST_CASE("an instance is as it was when its worker was silent for a while and then goes on on the same connection") {
  Cluster c;
  c.create("chat", 1);
  const auto id = c.instances().front().meta.id;
  c.say(id, InstanceState::kReady);
  REQUIRE(c.deployment("chat").status.ready_replicas == 1);
  c.pass(controllers::kHeartbeatLate);
  CHECK(c.instances().front().status.state == InstanceState::kUnknown);
  SUBCASE("nothing happened meanwhile: it tells nothing") {
    c.live(1);
    CHECK(c.instances().front().status.state == InstanceState::kReady);
    CHECK(c.deployment("chat").status.ready_replicas == 1);
  }
  SUBCASE("the engine failed meanwhile: it tells that") {
    c.say(id, InstanceState::kFailed);
    c.live(1);
    CHECK(c.instances().front().status.state == InstanceState::kFailed);
  }
  SUBCASE("it was told to stop meanwhile") {
    REQUIRE(c.server->delete_instance(id, c.now).has_value());
    c.live(1);
    CHECK(c.instances().front().status.state == InstanceState::kStopping);
  }
}

TEST_CASE("what its worker has no room for is placed elsewhere, and each further place is tried later") {
  Cluster c(false);
  c.devices = 3;
  c.join();
  create_anywhere(c);
  const auto first = c.instances().front();
  refuse(c, first.meta.id);
  REQUIRE(wanted(c).size() == 2);  // the first keeps its claim, so that it is not chosen again
  const auto second = c.instances()[0].meta.id == first.meta.id ? c.instances()[1] : c.instances()[0];
  refuse(c, second.meta.id);
  CHECK(wanted(c).size() == 2);
  c.live(2);
  REQUIRE(wanted(c).size() == 3);  // on the third device, though the first two are the better places
  const auto name = [](const InstanceObject& i) { return i.meta.name; };
  std::string third;
  for (const auto& [device, i] : wanted(c))
    if (i.meta.id != first.meta.id && i.meta.id != second.meta.id) third = i.meta.id;
  SUBCASE("the third starts: the others go") {
    c.say(third, InstanceState::kStarting);
    REQUIRE(wanted(c).size() == 1);
    CHECK(wanted(c).begin()->second.meta.id == third);
  }
  SUBCASE("none starts: all are tried again by their workers, and the one that starts stays") {
    refuse(c, third);
    c.live(120);
    CHECK(wanted(c).size() == 3);
    CHECK(c.instances().size() == 3);
    c.say(second.meta.id, InstanceState::kPreparing);
    CHECK(wanted(c).size() == 3);  // it may be refused again
    c.say(second.meta.id, InstanceState::kStarting);
    REQUIRE(wanted(c).size() == 1);
    CHECK(name(wanted(c).begin()->second) == name(second));
  }
}

TEST_CASE("of replicas that are too many, those go that serve nobody, then the highest ordinal") {
  Cluster c(false);
  c.devices = 4;
  c.join();
  auto spec = Cluster::spec(6, 4);
  spec.request.restriction.devices.clear();
  REQUIRE(c.server->create_deployment("chat", spec, c.now).has_value());
  c.server->tick(c.now);
  std::map<std::string, std::string> ids;
  for (const auto& i : c.instances()) ids[i.meta.name] = i.meta.id;
  REQUIRE(ids.size() == 4);
  c.say(ids.at("chat-0"), InstanceState::kPreparing);
  for (const auto* name : {"chat-1", "chat-2", "chat-3"}) c.say(ids.at(name), InstanceState::kReady);
  spec.request.replicas = 2;
  REQUIRE(c.server->update_deployment("chat", spec, std::nullopt, c.now).has_value());
  c.server->tick(c.now);
  std::vector<std::string> stay;
  for (const auto& i : c.instances())
    if (!i.status.stop) stay.push_back(i.meta.name);
  CHECK(stay == std::vector<std::string>{"chat-1", "chat-2"});
}

TEST_CASE("a join token adds workers and becomes none that is there") {
  Cluster c(false);
  const auto id = c.server->join(hello("w1"), "digest-1", c.now);
  REQUIRE(id.has_value());
  c.server->disconnected(*id, c.now);
  // The answer with its key never arrived: nothing is lost by starting over.
  const auto again = c.server->join(hello("w1"), "digest-2", c.now);
  REQUIRE(again.has_value());
  CHECK(*again == *id);
  c.server->inventory(*id, c.inventory(), c.now);
  c.server->disconnected(*id, c.now);
  c.server->tick(c.now);
  for (const auto& known : {hello("w1"), hello("other", *id)}) {
    const auto thief = c.server->join(known, "digest-3", c.now);
    REQUIRE_FALSE(thief.has_value());
    CHECK(thief.error().code == Code::kConflict);
    CHECK(thief.error().message.find("has a key of its own") != std::string::npos);
  }
  c.start();  // the same after a restart of the server
  CHECK_FALSE(c.server->join(hello("w1"), "digest-3", c.now).has_value());
  CHECK(c.server->worker_by_digest("digest-2") == *id);
  CHECK(c.server->join(hello("w1", *id), "", c.now).has_value());  // by its own key
  c.server->disconnected(*id, c.now);
  REQUIRE(c.server->delete_worker("w1", c.now).has_value());
  CHECK(c.server->join(hello("w1"), "digest-3", c.now).has_value());
}

TEST_CASE("a worker whose removal was not confirmed joins as a new one, and a connection to what is gone ends") {
  Cluster c;
  c.server->disconnected(c.worker, c.now);
  c.store->fault = [](const store::Batch& b) {
    return std::holds_alternative<store::Remove>(b.operations.front()) ? Fault::kUnconfirmed : Fault::kNone;
  };
  CHECK_FALSE(c.server->delete_worker("w1", c.now).has_value());
  SUBCASE("by a token") {
    const auto id = c.server->join(hello("w1"), "digest", c.now);
    REQUIRE(id.has_value());
    CHECK(*id != c.worker);
    CHECK(c.server->tick(c.now).removed.empty());
  }
  SUBCASE("by its own key") {
    REQUIRE(c.server->join(hello("w1", c.worker), "", c.now).has_value());
    CHECK(c.server->tick(c.now).removed == std::set<std::string>{c.worker});
    CHECK(c.server->view()->workers.empty());
  }
}

TEST_CASE("a worker comes back by its own key while the store fails") {
  Cluster c;
  c.store->fault = [](const store::Batch&) { return Fault::kLost; };
  CHECK_FALSE(c.server->create_deployment("chat", Cluster::spec(1, 1), c.now).has_value());
  c.server->disconnected(c.worker, c.now);
  c.join();
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kReady);
}

TEST_CASE("a worker whose inventory makes no sense is not ready, with the reason, until one comes that does") {
  Cluster c;
  auto twice = c.inventory();
  twice.worker.devices.push_back(twice.worker.devices.front());
  c.server->inventory(c.worker, twice, c.now);
  c.server->tick(c.now);
  const auto shown = c.server->view()->workers.front();
  CHECK(shown.worker.state == WorkerState::kNotReady);
  CHECK(shown.state_reason.find("two devices have the id \"gpu-0\"") != std::string::npos);
  const auto* entry = c.server->view()->snapshot->find(c.worker);
  REQUIRE(entry != nullptr);
  CHECK(entry->worker.state == WorkerState::kNotReady);
  c.live(2);
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kNotReady);
  c.server->inventory(c.worker, c.inventory(), c.now);
  c.server->tick(c.now);
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kReady);
}

TEST_CASE("what waits for a place is decided once for each change of the fleet") {
  Cluster c;
  c.create("huge", 64);
  REQUIRE(c.deployment("huge").status.verdict == Verdict::kDoesNotFit);
  const auto steps = [&] {
    c.now += kSecond;
    c.server->heartbeat(c.worker, {}, c.now);
    return c.server->tick(c.now).steps;
  };
  CHECK(steps() == 0);
  SUBCASE("after a restart of the server") {
    c.start();
    c.join();
  }
  SUBCASE("after a commit that was not confirmed") {
    c.store->fault = [](const store::Batch&) { return Fault::kUnconfirmed; };
    CHECK_FALSE(c.server->create_deployment("more", Cluster::spec(64, 1), c.now).has_value());
    c.store->fault = nullptr;
  }
  CHECK(steps() <= 2);
  CHECK(steps() == 0);
}

}  // namespace berth::reconcile
