// What the reconciler makes of what people and workers say.
#include "reconcile/reconciler.h"

#include "reconcile/testing.h"

namespace berth::reconcile {

using namespace testing;

TEST_CASE("a question and a deployment are refused in the same words, and stored as they are decided") {
  Cluster c;
  auto spec = Cluster::spec(2, 1);
  spec.request.settings.flags = {"--threads=4"};
  const auto asked = [&] {
    const auto question = c.server->canonical(spec.request);
    const auto made = c.server->create_deployment("chat", spec, c.now);
    const std::string answer = question ? "" : question.error().message;
    CHECK(answer == (made ? "" : made.error().message));
    return answer;
  };
  CHECK(asked().starts_with("settings.flags is given, but restriction.engine is not"));
  spec.request.settings.flags.clear();
  spec.request.settings.env = {{"LD_PRELOAD", "/x.so"}};
  spec.request.restriction.engine = "llama.cpp";
  CHECK(asked().starts_with("variable LD_PRELOAD may never be set"));
  spec.request.settings.env.clear();
  spec.request.facts->layers = 0;
  CHECK(asked().starts_with("facts.layers is 0, must be from 1"));
  spec.request.facts->layers = 8;
  CHECK(asked().empty());
}

TEST_CASE("a flag that no catalog knows needs an operator at every door, and is written down with who it was") {
  Cluster c;
  auto spec = Cluster::spec(2, 1);
  spec.request.restriction.engine = "llama.cpp";
  const auto known = spec;
  spec.request.settings.flags = {"--novel=7"};
  const engines::Caller someone{.name = "ci", .operator_right = false}, ops{.name = "ops", .operator_right = true};
  const auto code = [](const auto& result) { return result ? "taken" : code_name(result.error().code); };
  REQUIRE(c.server->create_deployment("old", known, c.now, someone).has_value());
  for (const auto& caller : {engines::Caller(), someone}) {
    CHECK(code(c.server->canonical(spec.request, caller)) == code_name(Code::kForbidden));
    CHECK(code(c.server->check_create("chat", spec, caller)) == code_name(Code::kForbidden));
    CHECK(code(c.server->create_deployment("chat", spec, c.now, caller)) == code_name(Code::kForbidden));
    CHECK(code(c.server->check_update("old", spec, std::nullopt, caller)) == code_name(Code::kForbidden));
    CHECK(code(c.server->update_deployment("old", spec, std::nullopt, c.now, caller)) == code_name(Code::kForbidden));
  }
  CHECK(c.store->list_audit(10)->empty());
  CHECK(c.server->check_create("chat", spec, ops).has_value());
  CHECK(c.server->check_update("old", spec, std::nullopt, ops).has_value());
  CHECK(c.store->list_audit(10)->empty());
  const auto made = c.server->create_deployment("chat", spec, c.now, ops);
  REQUIRE(made.has_value());
  REQUIRE(c.server->update_deployment("old", spec, std::nullopt, c.now, ops).has_value());
  const auto audit = c.store->list_audit(10);
  REQUIRE(audit->size() == 2);
  CHECK(audit->back().actor == "ops");
  CHECK(audit->back().action == "unknown_flags");
  CHECK(audit->back().object == "chat");
  CHECK(audit->back().detail == "--novel");
  const auto events = c.store->list_events({.object_id = made->meta.id, .limit = 10});
  REQUIRE(events->size() == 1);
  CHECK(events->front().reason == "unknown_flags");
  CHECK(events->front().message == "ops has --novel passed on to llama.cpp, unchecked");
  const auto decision = c.server->decide(made->spec.request);
  REQUIRE_FALSE(decision.plans.empty());
  REQUIRE_FALSE(decision.plans.front().warnings.empty());
  CHECK(decision.plans.front().warnings.front().reason == "flag_unknown");
}

TEST_CASE("a deployment is placed, becomes ready, is deleted, and all its claims go") {
  Cluster c;
  c.create("chat", 2);
  REQUIRE(c.instances().size() == 1);
  const auto id = c.instances().front().meta.id;
  CHECK(c.instances().front().status.state == InstanceState::kScheduled);
  CHECK(c.claims() == 2);  // the device and host RAM
  CHECK(c.deployment("chat").status.verdict == Verdict::kFits);
  const auto desired = c.server->desired(c.worker);
  REQUIRE(desired.instances.size() == 1);
  CHECK(desired.instances.front().run);
  for (const auto state : {InstanceState::kPreparing, InstanceState::kStarting, InstanceState::kReady})
    c.say(id, state);
  CHECK(c.deployment("chat").status.ready_replicas == 1);
  REQUIRE(c.server->delete_deployment("chat", c.now).has_value());
  c.server->tick(c.now);
  CHECK(c.instances().front().status.state == InstanceState::kStopping);
  CHECK_FALSE(c.server->desired(c.worker).instances.front().run);
  CHECK(c.claims() == 2);  // until the worker says that the memory is back
  c.say(id, InstanceState::kStopping, true);
  CHECK(c.instances().empty());
  CHECK(c.server->view()->deployments.empty());
  CHECK(c.claims() == 0);
}

TEST_CASE("of three replicas the two that fit are placed, and the status says what the third waits for") {
  Cluster c;
  c.create("chat", 2, 3);
  CHECK(c.instances().size() == 2);
  const auto d = c.deployment("chat");
  CHECK(d.status.verdict != Verdict::kFits);
  CHECK(d.status.fit_count == 0);  // of the one that is missing
  REQUIRE(d.status.waiting.has_value());
  CHECK(d.status.waiting->text.starts_with("waiting for a place: "));
}

TEST_CASE("more replicas than one batch of the store holds are placed step by step") {
  constexpr std::uint32_t kMany = 300;  // some five operations each
  Cluster c(false);
  c.device_total = c.memory_total = 4096 * kGiB;
  c.join();
  c.create("many", 1, kMany);
  for (int i = 0; i < 5 && c.instances().size() < kMany; ++i) c.pass(kSecond);
  CHECK(c.instances().size() == kMany);
  CHECK(c.deployment("many").status.decision_id != "");
}

TEST_CASE("with partial off nothing is placed unless all replicas fit") {
  Cluster c;
  auto spec = Cluster::spec(2, 3);
  spec.request.partial = false;
  REQUIRE(c.server->create_deployment("chat", spec, c.now).has_value());
  c.server->tick(c.now);
  CHECK(c.instances().empty());
  CHECK(c.deployment("chat").status.fit_count == 2);
}

TEST_CASE("claims that the store finds over capacity are not committed, and the placement is tried again") {
  Cluster c;
  // Someone else holds the device in the store: the snapshot does not know, the transaction does.
  store::Batch batch{.at = c.now, .epoch = 0, .operations = {}};
  batch.add(store::Create{.kind = "instance", .id = "ghost", .name = "ghost", .spec = "{}", .status = "{}"});
  batch.add(store::SetClaims{.instance = "ghost", .generation = 1, .claims = {{c.worker, "gpu-0", Bytes(7 * kGiB)}}});
  REQUIRE(c.store->commit(std::move(batch)).has_value());
  c.create("chat", 2);
  CHECK(c.instances().empty());
  CHECK(c.claims() == 1);
  store::Batch release{.at = c.now, .epoch = 0, .operations = {}};
  release.add(store::Remove{.kind = "instance", .id = "ghost", .expected_revision = std::nullopt});
  REQUIRE(c.store->commit(std::move(release)).has_value());
  c.pass(kSecond);
  CHECK(c.instances().size() == 1);
}

TEST_CASE("a worker without heartbeats is not ready, its instance unknown; its inventory brings both back") {
  Cluster c;
  c.create("chat", 2);
  const auto id = c.instances().front().meta.id;
  c.say(id, InstanceState::kReady);
  c.pass(controllers::kHeartbeatLate - kSecond);
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kReady);
  c.pass(kSecond);
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kNotReady);
  CHECK(c.instances().front().status.state == InstanceState::kUnknown);
  CHECK(c.claims() == 2);  // it may still run: nothing else is placed there
  c.create("other", 1);
  CHECK(c.instances().size() == 1);
  c.server->disconnected(c.worker, c.now);
  wire::InstanceReport running{.instance = id, .attempt = 1, .status = {}, .secret = "", .gone = false};
  running.status.state = InstanceState::kReady;
  c.join({running});
  CHECK(c.server->view()->workers.front().worker.state == WorkerState::kReady);
  CHECK(c.instances().size() == 2);
  CHECK(c.deployment("chat").status.ready_replicas == 1);
}

TEST_CASE("an edit of the template replaces: the old instance goes before the new one is placed") {
  Cluster c;
  c.create("chat", 5);
  const auto old = c.instances().front().meta.id;
  REQUIRE(c.server->update_deployment("chat", Cluster::spec(4, 1), std::nullopt, c.now).has_value());
  c.server->tick(c.now);
  REQUIRE(c.instances().size() == 1);
  CHECK(c.instances().front().status.stop);
  c.say(old, InstanceState::kStopping, true);
  REQUIRE(c.instances().size() == 1);
  CHECK(c.instances().front().meta.id != old);
  CHECK(c.instances().front().spec.deployment_generation == 2);
}

TEST_CASE("a running instance that nobody knows counts as occupant and is not stopped") {
  Cluster c(false);
  c.used = Bytes(6 * kGiB);
  wire::InstanceReport orphan{.instance = "from-before", .attempt = 1, .status = {}, .secret = "", .gone = false};
  orphan.status.state = InstanceState::kReady;
  orphan.status.observed = {{"gpu-0", Bytes(6 * kGiB)}};
  c.join({orphan});
  CHECK(c.device().claimed == Bytes(6 * kGiB));
  CHECK(c.device().foreign == Bytes());
  c.create("chat", 2);
  CHECK(c.instances().empty());
  CHECK(c.server->desired(c.worker).instances.empty());
}

TEST_CASE("foreign use rises at once and falls only after a minute") {
  Cluster c;
  CHECK(c.device().foreign == Bytes());
  c.used = Bytes(4 * kGiB);
  c.beat();
  CHECK(c.device().foreign == Bytes(4 * kGiB));
  c.used = Bytes(kGiB);
  const auto beats = kForeignFallAfter / kSecond;
  c.beat();
  for (std::int64_t i = 1; i < beats; ++i) {
    c.now += kSecond;
    c.beat();
    CHECK(c.device().foreign == Bytes(4 * kGiB));
  }
  c.now += kSecond;
  c.beat();
  CHECK(c.device().foreign == Bytes(kGiB));
}

TEST_CASE("a server that starts again keeps claims and places nothing until the inventory is back") {
  Cluster c;
  c.create("chat", 2);
  const auto id = c.instances().front().meta.id;
  c.start();
  c.server->tick(c.now);
  REQUIRE(c.instances().size() == 1);
  CHECK(c.claims() == 2);
  CHECK(c.server->view()->workers.front().worker.state != WorkerState::kReady);
  c.join();
  CHECK(c.server->desired(c.worker).instances.front().instance == id);
}

TEST_CASE("what a deployment names must exist, and the dry check says the same as the change") {
  Cluster c;
  c.create("taken", 1);
  const auto refused = [&](const std::string& name, const std::function<void(fleet::DeploymentSpec&)>& edit) {
    auto spec = Cluster::spec(1, 1);
    edit(spec);
    const auto dry = c.server->check_create(name, spec);
    const auto real = c.server->create_deployment(name, spec, c.now);
    REQUIRE_FALSE(real.has_value());
    REQUIRE_FALSE(dry.has_value());
    CHECK(dry.error() == real.error());
    return real.error();
  };
  const auto message = [&](const std::function<void(fleet::DeploymentSpec&)>& edit) {
    const auto error = refused("chat", edit);
    CHECK(error.code == Code::kInvalid);
    return error.message;
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  has(message([](auto& s) { s.request.source = {}; }), "source is missing");
  has(message([](auto& s) { s.request.source.path = ""; }), "source.path is missing");
  has(message([](auto& s) { s.route = "a\nb"; }), "route \"a\\x0ab\"");
  has(message([](auto& s) { s.route = std::string(64, 'a'); }), "1 to 63");
  has(message([](auto& s) { s.request.accept = {"memory_uncertian"}; }), "did you mean \"memory_uncertain\"");
  has(message([](auto& s) { s.request.restriction.engine = "vlm"; }), "restriction.engine \"vlm\" is not known");
  has(message([](auto& s) { s.request.task = "paint"; }), "must be one of embed, generate");
  has(message([](auto& s) { s.request.restriction.workers = {"w9"}; }), "\"w9\", which this server does not know");
  has(message([](auto& s) { s.request.restriction.devices = {"w9/gpu-0"}; }), "restriction.devices");
  CHECK(refused("taken", [](auto&) {}).code == Code::kConflict);
  CHECK(refused("No Name", [](auto&) {}).code == Code::kInvalid);
  const auto route = refused("chat", [](auto& s) { s.route = "taken"; });
  CHECK(route.code == Code::kConflict);
  has(route.message, "deployment \"taken\"");
  CHECK(c.server->check_create("chat", Cluster::spec(1, 1)).has_value());
  CHECK(c.server->view()->deployments.size() == 1);
  const auto revision = c.deployment("taken").meta.revision;
  CHECK(c.server->check_update("taken", Cluster::spec(1, 1), revision).has_value());
  CHECK(c.server->check_update("taken", Cluster::spec(1, 1), revision + 1).error().code == Code::kConflict);
  CHECK(c.server->check_update("chat", Cluster::spec(1, 1), std::nullopt).error().code == Code::kNotFound);
}

TEST_CASE("revisions and generations that are shown are those of the store") {
  Cluster c;
  const auto same = [&] {
    const auto view = c.server->view();
    const auto check = [&](std::string_view kind, const Envelope& meta) {
      const auto stored = c.store->get(kind, meta.id);
      REQUIRE(stored.has_value());
      CHECK_MESSAGE(stored->revision == meta.revision, kind << " " << meta.name);
      CHECK_MESSAGE(stored->generation == meta.generation, kind << " " << meta.name);
    };
    for (const auto& o : view->workers) check("worker", o.meta);
    for (const auto& o : view->deployments) check("deployment", o.meta);
    for (const auto& o : view->instances) check("instance", o.meta);
  };
  c.create("chat", 2);
  same();
  const auto id = c.instances().front().meta.id;
  for (const auto state : {InstanceState::kPreparing, InstanceState::kStarting, InstanceState::kReady}) {
    c.say(id, state);
    same();
  }
  REQUIRE(c.server->set_cordon("w1", true, c.now).has_value());
  same();
  CHECK(c.server->view()->workers.front().meta.generation == 2);
  REQUIRE(c.server->delete_deployment("chat", c.now).has_value());
  same();
  c.server->tick(c.now);
  same();
}

TEST_CASE("an engine that ends, starts again, is ready or fails for good is told as events") {
  Cluster c;
  c.create("chat", 2);
  const auto id = c.instances().front().meta.id;
  const auto deployment = c.deployment("chat").meta.id;
  const auto fails = [&](std::uint32_t restarts, const std::string& cause, bool again) {
    wire::InstanceReport r{.instance = id, .attempt = 1, .status = {}, .secret = "", .gone = false};
    r.status.state = InstanceState::kFailed;
    r.status.restarts = restarts;
    r.status.message = "exit status 1";
    r.status.last_exit = fleet::ExitInfo{
        .status = 1, .signal = std::nullopt, .cause = cause, .message = "cannot open libcuda", .at = c.now};
    if (again) r.status.waiting = fleet::Waiting{.text = "", .since = c.now, .next_at = c.now + kSecond, .next = ""};
    c.server->report(c.worker, r, c.now);
    c.server->tick(c.now);
  };
  for (const auto state : {InstanceState::kPreparing, InstanceState::kStarting, InstanceState::kReady})
    c.say(id, state);
  fails(0, "exit", true);
  c.say(id, InstanceState::kPreparing);
  c.say(id, InstanceState::kStarting);
  fails(1, "not_ready", true);
  c.say(id, InstanceState::kPreparing);
  fails(2, "exit", false);
  const auto rows = c.store->list_events({.object_id = deployment, .limit = 100});
  REQUIRE(rows.has_value());
  std::vector<std::string> reasons;
  for (const auto& e : *rows) reasons.push_back(e.reason);
  CHECK(reasons == std::vector<std::string>{"failed_for_good", "not_ready_in_time", "failed", "ready", "placed"});
  CHECK(rows->front().message.starts_with("chat-0: exit status 1; cannot open libcuda"));
  c.server->disconnected(c.worker, c.now);
  c.pass(Duration{60'000});
  const auto of_worker = c.store->list_events({.object_id = c.worker, .limit = 100});
  REQUIRE(of_worker.has_value());
  CHECK(of_worker->front().reason == "not_ready");
}

TEST_CASE("a worker that is only known by an old report is there and not ready") {
  Cluster c(false);
  auto report = c.inventory().worker;
  report.name = "away";
  report.last_report_at = c.now - Duration{3'600'000};
  REQUIRE(c.server->introduce(report, c.now).has_value());
  c.server->tick(c.now);
  const auto view = c.server->view();
  CHECK(view->workers.front().worker.state == WorkerState::kNotReady);
  CHECK(view->workers.front().worker.last_report_at == report.last_report_at);
  CHECK(view->snapshot->find_by_name("away") != nullptr);
}

}  // namespace berth::reconcile
