// What becomes of changes that the store refuses, or does not confirm.
#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "reconcile/testing.h"

namespace berth::reconcile {

using namespace testing;
using store::Fault;

namespace {

template <class Op>
bool has(const store::Batch& batch, const std::string& kind, const std::string& name_prefix = "") {
  return std::any_of(batch.operations.begin(), batch.operations.end(), [&](const store::Operation& o) {
    const auto* op = std::get_if<Op>(&o);
    if (op == nullptr || op->kind != kind) return false;
    if constexpr (requires { op->name.starts_with(""); }) return op->name.starts_with(name_prefix);
    return true;
  });
}
bool places(const store::Batch& batch, const std::string& deployment = "") {
  return has<store::Create>(batch, "instance", deployment);
}

/// The first batch that `wanted` is true of gets the fault.
void once(Cluster& c, Fault fault, std::function<bool(const store::Batch&)> wanted) {
  c.store->fault = [fault, wanted, done = false](const store::Batch& batch) mutable {
    if (done || !wanted(batch)) return Fault::kNone;
    done = true;
    return fault;
  };
}

}  // namespace

TEST_CASE("a placement that cannot be stored is held back, and all others go on") {
  for (const auto fault : {Fault::kConflict, Fault::kRefused, Fault::kLost}) {
    Cluster c;
    int tries = 0;
    c.store->fault = [&](const store::Batch& b) {
      if (!places(b, "bad")) return Fault::kNone;
      ++tries;
      return fault;
    };
    c.create("bad", 1);  // created first: it comes first in each step
    c.create("good", 1);
    c.live(3);
    REQUIRE(c.instances().size() == 1);
    CHECK(c.instances().front().spec.deployment_name == "good");
    const auto bad = c.deployment("bad").status;
    REQUIRE(bad.waiting.has_value());
    CHECK(bad.waiting->text.starts_with("waiting to be stored: "));
    CHECK(bad.waiting->next_at.value_or(c.now) > c.now);
    const int before = tries;
    c.live(60);
    CHECK(tries - before <= 6);  // less and less often
    CHECK(tries - before >= 2);
    c.store->fault = nullptr;
    c.live(61);
    CHECK(c.instances().size() == 2);
  }
}

TEST_CASE("an edit ends the hold of its deployment") {
  Cluster c;
  c.store->fault = [](const store::Batch& b) { return places(b) ? Fault::kConflict : Fault::kNone; };
  c.create("chat", 1);
  c.live(40);
  c.store->fault = nullptr;
  REQUIRE(c.server->update_deployment("chat", Cluster::spec(2, 1), std::nullopt, c.now).has_value());
  c.pass(kSecond);
  CHECK(c.instances().size() == 1);
}

TEST_CASE("what the store wrote but did not confirm is found, and done once") {
  Cluster c;
  const auto settled = [&] { c.live(3); };
  SUBCASE("a deployment") {
    once(c, Fault::kUnconfirmed, [](const auto& b) { return has<store::Create>(b, "deployment"); });
    CHECK(c.server->create_deployment("chat", Cluster::spec(1, 1), c.now).error().code == Code::kTimeout);
    settled();
    CHECK(c.server->view()->deployments.size() == 1);
    CHECK(c.instances().size() == 1);
  }
  SUBCASE("a placement") {
    once(c, Fault::kUnconfirmed, [](const auto& b) { return places(b); });
    c.create("chat", 1);
    settled();
    REQUIRE(c.instances().size() == 1);
    CHECK(c.claims() == 2);
    CHECK(c.device().claimed > Bytes(0));
    CHECK(c.server->desired(c.worker).instances.size() == 1);
    CHECK(c.deployment("chat").status.decision_id == c.instances().front().spec.decision_id);
    CHECK(c.store->read_state({"instance"})->objects.size() == 1);
  }
  SUBCASE("an edit, a stop and a removal") {
    c.create("chat", 1);
    once(c, Fault::kUnconfirmed, [](const auto& b) { return has<store::Update>(b, "deployment"); });
    CHECK_FALSE(c.server->update_deployment("chat", Cluster::spec(2, 1), std::nullopt, c.now).has_value());
    settled();
    CHECK(c.deployment("chat").meta.generation == 2);
    REQUIRE(c.instances().size() == 2);  // there is room for both
    const auto old = c.instances().front().status.stop ? c.instances().front() : c.instances().back();
    CHECK(old.status.stop);
    once(c, Fault::kUnconfirmed, [](const auto& b) { return has<store::Remove>(b, "instance"); });
    c.say(old.meta.id, InstanceState::kStopping, true);
    settled();
    REQUIRE(c.instances().size() == 1);
    CHECK(c.instances().front().meta.id != old.meta.id);
    CHECK(c.claims() == 2);
    once(c, Fault::kUnconfirmed, [](const auto& b) { return has<store::Update>(b, "instance"); });
    const auto id = c.instances().front().meta.id;
    CHECK_FALSE(c.server->delete_instance(id, c.now).has_value());
    settled();
    for (const auto& told : c.server->desired(c.worker).instances) CHECK(told.run == (told.instance != id));
  }
}

TEST_CASE("after a commit that was lost, what memory shows is what the store has") {
  Cluster c;
  c.create("chat", 1);
  once(c, Fault::kLost, [](const auto& b) { return has<store::Update>(b, "deployment"); });
  CHECK_FALSE(c.server->delete_deployment("chat", c.now).has_value());
  c.pass(kSecond);
  CHECK_FALSE(c.deployment("chat").meta.deleting);
  CHECK_FALSE(c.instances().front().status.stop);
}

TEST_CASE("an edit whose new revision could not be read is read again, and the next edit by revision is taken") {
  Cluster c;
  c.create("chat", 1);
  c.store->blind = true;
  REQUIRE(c.server->update_deployment("chat", Cluster::spec(2, 1), std::nullopt, c.now).has_value());
  c.store->blind = false;
  c.pass(kSecond);
  const auto meta = c.deployment("chat").meta;
  CHECK(meta.generation == 2);
  CHECK(c.server->update_deployment("chat", Cluster::spec(1, 1), meta.revision, c.now).has_value());
}

TEST_CASE("while the store fails, workers are heard and nothing is changed; afterwards everything goes on") {
  Cluster c;
  c.create("chat", 1);
  const auto id = c.instances().front().meta.id;
  c.store->fault = [](const store::Batch&) { return Fault::kRefused; };
  c.say(id, InstanceState::kReady);
  c.live(30);
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kReady);
  CHECK(c.instances().front().status.state == InstanceState::kReady);
  CHECK_FALSE(c.server->delete_deployment("chat", c.now).has_value());
  c.store->fault = nullptr;
  REQUIRE(c.server->delete_deployment("chat", c.now).has_value());
  c.pass(kSecond);
  CHECK(c.instances().front().status.stop);
  c.say(id, InstanceState::kStopping, true);
  c.pass(kSecond);
  CHECK(c.server->view()->deployments.empty());
}

TEST_CASE("readers and workers do not wait for the disk") {
  Cluster c;
  c.create("chat", 1);
  std::mutex mutex;
  std::condition_variable changed;
  bool writing = false, answer = false;
  c.store->fault = [&](const store::Batch&) {
    std::unique_lock lock(mutex);
    writing = true;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return answer; });
    return Fault::kNone;
  };
  std::thread writer([&] { CHECK(c.server->create_deployment("more", Cluster::spec(1, 1), c.now).has_value()); });
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return writing; }));
  }
  auto reader = std::async(std::launch::async, [&] {
    wire::Heartbeat h;
    c.server->heartbeat(c.worker, std::move(h), c.now);
    c.server->report(c.worker, {}, c.now);
    const auto request = placement::testing::request_for(llama_facts({.layers = 8, .layer_bytes = kGiB / 8}));
    return c.server->view()->instances.size() + c.server->desired(c.worker).instances.size() +
           c.server->secret_of("x").size() + c.server->decide(request).asked +
           (c.server->worker_by_digest("x") ? 1 : 0) + (c.server->has_room(c.worker) ? 1 : 0);
  });
  const bool came = reader.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  {
    const std::scoped_lock lock(mutex);
    answer = true;
  }
  changed.notify_all();
  writer.join();
  CHECK(came);
  CHECK(reader.get() == 4);
}

TEST_CASE("an instruction that the worker does not take is sent again and told") {
  Cluster c;
  c.create("chat", 1);
  const auto id = c.instances().front().meta.id;
  const auto due = controllers::rule_of(InstanceState::kScheduled).deadline;
  const auto sent = [&](Duration after) {
    c.now += after;
    c.server->heartbeat(c.worker, {}, c.now);
    return c.server->tick(c.now).workers.contains(c.worker);
  };
  CHECK_FALSE(sent(due / 2));
  CHECK(c.server->tick(c.now).wake_at.has_value());
  CHECK(sent(due / 2));
  const auto told = c.store->list_events({.object_id = c.deployment("chat").meta.id, .limit = 1});
  REQUIRE(told.has_value());
  CHECK(told->front().reason == "sent_again");
  CHECK_FALSE(sent(due / 2));
  c.say(id, InstanceState::kPreparing);
  CHECK_FALSE(sent(due));
  REQUIRE(c.server->delete_deployment("chat", c.now).has_value());
  c.server->tick(c.now);
  CHECK(sent(due));
  c.say(id, InstanceState::kStopping);
  CHECK_FALSE(sent(due));
}

}  // namespace berth::reconcile
