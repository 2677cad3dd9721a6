#include "worker/supervise/supervisor.h"

#include <sys/stat.h>

#include <doctest/doctest.h>
#include <unistd.h>

#include "worker/supervise/supervisor_testing.h"

using namespace berth;
using namespace berth::worker;
using berth::worker::testing::has;
using berth::worker::testing::Machine;
using fleet::InstanceState;

TEST_CASE("an instance is ready only after a real answer, and is routed only then") {
  Machine machine;
  machine.restart();
  REQUIRE(
      machine.supervisor->apply(machine.desired("i1", "env; cat $SECRET_FILE; exec sleep 600"), machine.clock.now()));
  CHECK(machine.report("i1").status.state == InstanceState::kPreparing);
  REQUIRE(machine.until_state("i1", InstanceState::kStarting));
  REQUIRE(machine.until([&] { return machine.probe.targets().size() >= 2; }));
  CHECK(machine.report("i1").status.state == InstanceState::kStarting);
  CHECK(has(machine.report("i1").status.waiting->text, "first request"));
  CHECK_FALSE(machine.supervisor->endpoint("i1").has_value());
  machine.probe.set_ready("i1");
  REQUIRE(machine.until_state("i1", InstanceState::kReady));

  const auto report = machine.report("i1");
  const auto endpoint = machine.supervisor->endpoint("i1");
  REQUIRE(endpoint.has_value());
  CHECK(endpoint->port == *report.status.port);
  CHECK(endpoint->secret == report.secret);
  CHECK(endpoint->secret.size() == 64);
  const ProbeTarget target = machine.probe.targets().front();
  CHECK(target.port == endpoint->port);
  CHECK(target.secret == endpoint->secret);
  CHECK(target.model == "demo");
  CHECK(machine.place().model_path == machine.folder.path("models/m.gguf"));
  // The engine reads its secret as its own user; others do not.
  CHECK(testing::eventually([&] { return has(machine.log("i1"), endpoint->secret); }));
  CHECK(has(machine.log("i1"), "SECRET_FILE="));
  CHECK(machine.supervisor->reports(false).front().secret.empty());
}

TEST_CASE("a path in a flag that leads out through a link keeps the engine from starting") {
  Machine machine;
  machine.options.launch = nullptr;
  engines::Flag lora;
  lora.name = "--lora";
  lora.kind = engines::FlagClass::kPath;
  machine.catalog.edit([&](auto& engines) {
    engines.front().flags = {lora};
    engines.front().recipe.arguments = {{"", {"-c", "echo \"$0 $@\"; exec sleep 600"}}};
  });
  machine.folder.write("models/deep/a.gguf", "x");
  machine.folder.write("secret", "x");
  machine.folder.link("models/in", machine.folder.path("models/deep"));
  machine.folder.link("models/out", machine.folder.path("secret"));
  machine.restart();
  auto leads_out = machine.desired("i1", "--lora=" + machine.folder.path("models/out"));
  REQUIRE(machine.supervisor->apply(leads_out, machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  CHECK(has(machine.report("i1").status.message, "flag --lora: "));
  CHECK(has(machine.report("i1").status.message, "leads out of the folders that engines may read"));
  CHECK_FALSE(machine.report("i1").status.pid.has_value());
  const auto stays = machine.desired("i2", "--lora=" + machine.folder.path("models/in/a.gguf"));
  REQUIRE(machine.supervisor->apply(stays, machine.clock.now()));
  REQUIRE(machine.until_state("i2", InstanceState::kStarting));
  CHECK(testing::eventually(
      [&] { return has(machine.log("i2"), "--lora " + machine.folder.path("models/deep/a.gguf")); }));
}

TEST_CASE("a killed engine is failed with its signal and comes back after the back-off") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  Duration former{0};
  for (std::uint32_t round = 1; round <= 3; ++round) {
    CAPTURE(round);
    REQUIRE(machine.until_state("i1", InstanceState::kReady));
    const std::int64_t pid = *machine.report("i1").status.pid;
    ::kill(static_cast<pid_t>(pid), SIGKILL);
    REQUIRE(machine.until_state("i1", InstanceState::kFailed));
    const auto status = machine.report("i1").status;
    CHECK(status.last_exit->cause == "signal");
    CHECK(status.last_exit->signal == SIGKILL);
    CHECK_FALSE(machine.supervisor->endpoint("i1").has_value());
    CHECK_FALSE(machine.report("i1").gone);
    const Duration wait = *status.waiting->next_at - status.waiting->since;
    CHECK(wait >= former);
    CHECK(wait >= Duration(1600) * (1 << (round - 1)));
    CHECK(wait <= Duration(2400) * (1 << (round - 1)));
    former = wait;
    REQUIRE(machine.until_state("i1", InstanceState::kReady));
    CHECK(machine.report("i1").status.restarts == round);
    CHECK(*machine.report("i1").status.pid != pid);
  }
  machine.clock.advance(std::chrono::minutes(11));
  machine.supervisor->tick(machine.clock.now());
  ::kill(static_cast<pid_t>(*machine.report("i1").status.pid), SIGKILL);
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  const auto waiting = machine.report("i1").status.waiting;
  CHECK(*waiting->next_at - waiting->since <= Duration(2400));  // stable for long: counted from the start again
}

TEST_CASE("the same configuration error is not tried for ever") {
  Machine machine;
  machine.restart();
  const std::string script = "echo \"$(date +%N) error: unrecognized arguments: --foo\"; exit 2";
  REQUIRE(machine.supervisor->apply(machine.desired("i1", script), machine.clock.now()));
  REQUIRE(machine.until([&] { return has(machine.report("i1").status.message, "not started again"); }));
  const auto report = machine.report("i1");
  CHECK(report.status.state == InstanceState::kFailed);
  CHECK(report.status.last_exit->cause == "configuration");
  CHECK(report.status.last_exit->status == 2);
  CHECK(has(report.status.message, "--foo"));
  CHECK(report.status.restarts == 2);
  CHECK_FALSE(report.status.waiting.has_value());
  machine.clock.advance(std::chrono::hours(1));
  machine.supervisor->tick(machine.clock.now());
  CHECK(machine.report("i1").status.restarts == 2);
  machine.restart();  // a new agent may have other engines and folders: it tries anew, and gives up anew
  CHECK(machine.report("i1").status.state == InstanceState::kFailed);
  REQUIRE(machine.until([&] { return has(machine.report("i1").status.message, "not started again"); }));
  CHECK(machine.report("i1").status.restarts == 5);
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600", 2), machine.clock.now()));
  CHECK(machine.until_state("i1", InstanceState::kReady));
  CHECK(machine.report("i1").attempt == 2);
}

TEST_CASE("an engine that never answers is stopped at its deadline, which grows with the model") {
  Machine machine;
  REQUIRE(::truncate(machine.folder.path("models/m.gguf").c_str(), 3LL << 30) == 0);  // sparse
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kStarting));
  const auto started = machine.report("i1").status;
  const std::int64_t pid = *started.pid;
  CHECK(*started.waiting->next_at - started.waiting->since == std::chrono::seconds(120 + 3 * 30));
  REQUIRE(machine.until([&] { return !machine.probe.targets().empty(); }));
  machine.clock.advance(std::chrono::seconds(205));
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  const auto failed = machine.report("i1").status;
  CHECK(failed.last_exit->cause == "not_ready");
  CHECK(has(failed.message, "3.00 GiB"));
  CHECK(testing::eventually([&] {
    const auto stat = process_stat(pid);
    return !stat || stat->state == 'Z';
  }));
}

TEST_CASE("a start without room is refused with numbers and runs when there is room") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  wire::DesiredInstance desired = machine.desired("i1", "exec sleep 600");
  fleet::Claim& claim = desired.spec.plan.workers[0].claim;
  claim.memory_bytes = 4 * kGiB;
  claim.devices = {{"GPU-a", 8 * kGiB}};
  desired.spec.plan.workers[0].devices = {"GPU-a"};
  machine.observer.usage.memory_available_bytes = 1 * kGiB;
  REQUIRE(machine.supervisor->apply(desired, machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  auto status = machine.report("i1").status;
  CHECK(status.last_exit->cause == "refused");
  CHECK(has(status.message, "4.00 GiB needed, 1.00 GiB available"));
  CHECK_FALSE(status.pid.has_value());
  machine.observer.usage.memory_available_bytes = 32 * kGiB;
  REQUIRE(machine.until([&] { return has(machine.report("i1").status.message, "GPU-a is not on this machine"); }));
  fleet::Device device{.id = "GPU-a"};
  device.memory_total_bytes = 10 * kGiB;
  device.memory_used_bytes = 5 * kGiB;
  machine.observer.usage.devices = {device};
  REQUIRE(
      machine.until([&] { return has(machine.report("i1").status.message, "8.00 GiB needed, 5.00 GiB available"); }));
  machine.observer.usage.devices[0].memory_used_bytes = 0;
  CHECK(machine.until_state("i1", InstanceState::kReady));
}

TEST_CASE("an engine that takes devices by their place in the driver's list is told the place that they have now") {
  Machine machine;
  machine.options.launch = nullptr;  // by the engine's own recipe
  machine.catalog.edit([](auto& engines) {
    engines.front().recipe.devices_by_index = true;
    engines.front().recipe.visible_devices = {{"cuda", "CUDA_VISIBLE_DEVICES"}};
  });
  machine.folder.write("engine.sh", "echo sees $CUDA_VISIBLE_DEVICES; exec sleep 600\n");
  machine.options.engines.commands["fake"] = {"/bin/sh", machine.folder.path("engine.sh")};
  fleet::Device first{.id = "GPU-a", .index = 3}, second{.id = "GPU-b", .index = 1}, slice{.id = "MIG-c", .index = 1};
  for (auto* device : {&first, &second, &slice}) {
    device->vendor = "nvidia";
    device->framework = "cuda";
    device->memory_total_bytes = 10 * kGiB;
  }
  slice.partition = "1g.10gb";
  machine.observer.usage.devices = {first, second, slice};
  machine.restart();
  const auto start = [&](const std::string& id, std::vector<std::string> devices) {
    auto desired = machine.desired(id, "");
    desired.spec.plan.settings.flags.clear();
    for (const auto& device : devices) desired.spec.plan.workers[0].claim.devices.push_back({device, Bytes(kGiB)});
    desired.spec.plan.workers[0].devices = std::move(devices);
    static_cast<void>(machine.supervisor->apply(desired, machine.clock.now()));
  };
  start("i1", {"GPU-a", "GPU-b"});
  CHECK(machine.until([&] { return has(machine.log("i1"), "sees 3,1\n"); }));
  start("i2", {"MIG-c"});
  CHECK(machine.until([&] { return has(machine.report("i2").status.message, "MIG-c has no place in the driver"); }));
}

TEST_CASE("on unified memory the shares of host and device come out of one pool") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  fleet::Device device{.id = "apple-0"};
  device.unified_memory = true;
  device.memory_total_bytes = 24 * kGiB;
  machine.observer.usage.devices = {device};
  machine.observer.usage.memory_available_bytes = 10 * kGiB;
  wire::DesiredInstance desired = machine.desired("i1", "exec sleep 600");
  fleet::Claim& claim = desired.spec.plan.workers[0].claim;
  claim.memory_bytes = 3 * kGiB;
  claim.devices = {{"apple-0", 8 * kGiB}};
  desired.spec.plan.workers[0].devices = {"apple-0"};
  REQUIRE(machine.supervisor->apply(desired, machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kFailed));
  CHECK(has(machine.report("i1").status.message, "11.00 GiB needed, 10.00 GiB available"));
  machine.observer.usage.memory_available_bytes = 11 * kGiB;
  CHECK(machine.until_state("i1", InstanceState::kReady));
}

TEST_CASE("what is still loading counts against the next start") {
  Machine machine;
  machine.restart();
  machine.observer.usage.memory_available_bytes = 10 * kGiB;
  for (const char* id : {"i1", "i2"}) {
    wire::DesiredInstance desired = machine.desired(id, "exec sleep 600");
    desired.spec.plan.workers[0].claim.memory_bytes = 6 * kGiB;
    REQUIRE(machine.supervisor->apply(desired, machine.clock.now()));
  }
  REQUIRE(machine.until_state("i2", InstanceState::kFailed));
  CHECK(machine.report("i1").status.state == InstanceState::kStarting);
  CHECK(has(machine.report("i2").status.message, "6.00 GiB needed, 4.00 GiB available"));
}

TEST_CASE("a model that is not there, not here or not allowed is told as such") {
  Machine machine;
  machine.restart();
  auto absent = machine.desired("absent", "");
  absent.spec.plan.source.path = machine.folder.path("models/none.gguf");
  auto hub = machine.desired("hub", "");
  hub.spec.plan.source = {.kind = "huggingface", .repo = "a/b"};
  auto outside = machine.desired("outside", "");
  outside.spec.plan.source.path = "/etc/passwd";
  auto engine = machine.desired("engine", "");
  engine.spec.plan.engine = "vllm";
  auto spread = machine.desired("spread", "");
  spread.spec.plan.workers.resize(2);
  for (const auto& one : {absent, hub, outside, engine, spread})
    REQUIRE(machine.supervisor->apply(one, machine.clock.now()));
  machine.supervisor->tick(machine.clock.now());
  CHECK(machine.report("absent").status.last_exit->cause == "model_unreadable");
  CHECK(has(machine.report("hub").status.message, "pull a/b first"));
  CHECK(has(machine.report("outside").status.message, "not under a model root"));
  CHECK(has(machine.report("outside").status.message, "--model-root /etc"));
  CHECK(has(machine.report("engine").status.message, "engine vllm is not in this worker's catalog"));
  CHECK(has(machine.report("spread").status.message, "spans 2 workers"));
  CHECK(machine.supervisor->apply(machine.desired("../x", ""), machine.clock.now()).error().code == Code::kInvalid);
}

TEST_CASE("stopping ends stubborn engines with all their children and frees everything") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  const std::string script =
      "trap '' TERM; (trap '' TERM; sleep 600; sleep 600) & setsid sh -c \"trap '' TERM; sleep 600; sleep 600\" & "
      "touch file; echo started; while true; do sleep 1; done";
  REQUIRE(machine.supervisor->apply(machine.desired("i1", script), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const auto before = machine.report("i1").status;
  REQUIRE(testing::eventually([&] { return has(machine.log("i1"), "started"); }));
  const std::string record = read_small_file(machine.folder.path("state/instances/i1.json")).value();
  const std::string nonce = record.substr(record.find("\"nonce\": \"") + 10, 32);
  REQUIRE(testing::eventually([&] { return members_of({.nonce = nonce}, "").size() >= 5; }));

  REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
  CHECK(machine.report("i1").status.state == InstanceState::kStopping);
  CHECK_FALSE(machine.report("i1").gone);
  CHECK_FALSE(machine.supervisor->endpoint("i1").has_value());
  machine.clock.advance(std::chrono::seconds(5));
  machine.supervisor->tick(machine.clock.now());
  CHECK(process_stat(*before.pid).has_value());  // still in its grace
  REQUIRE(machine.until_gone("i1"));
  CHECK(members_of({.nonce = nonce}, "").empty());
  CHECK_FALSE(process_stat(*before.pid).has_value());
  CHECK(port_is_free(static_cast<std::uint16_t>(*before.port)));
  for (const char* left : {"instances/i1.json", "secrets/i1", "logs/i1.log", "run/i1"}) {
    CAPTURE(left);
    CHECK(::access(machine.folder.path(std::string("state/") + left).c_str(), F_OK) != 0);
  }
  machine.supervisor->forget("i1");
  CHECK(machine.supervisor->reports(false).empty());
}

TEST_CASE("claims are held until the driver has let go of the memory") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const std::int64_t pid = *machine.report("i1").status.pid;
  machine.observer.usage.processes = {{.pid = pid, .device = "GPU-a", .bytes = Bytes(3 * kGiB)}};
  REQUIRE(machine.until([&] { return !machine.report("i1").status.observed.empty(); }));
  CHECK(machine.report("i1").status.observed[0].bytes.value == 3 * kGiB);
  CHECK(machine.report("i1").status.observed_memory_bytes->value > 0);
  REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
  REQUIRE(
      machine.until([&] { return has(machine.report("i1").status.message, "still counts 3.00 GiB on device GPU-a"); }));
  CHECK_FALSE(machine.report("i1").gone);
  machine.observer.usage.processes.clear();
  CHECK(machine.until_gone("i1"));
}

TEST_CASE("the newest attempt wins, older words are ignored, and what is unknown is gone") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600", 3), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const std::int64_t pid = *machine.report("i1").status.pid;
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exit 1", 3), machine.clock.now()));
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exit 1", 2), machine.clock.now()));
  REQUIRE(machine.supervisor->stop("i1", 2, machine.clock.now()));
  machine.supervisor->tick(machine.clock.now());
  CHECK(machine.report("i1").status.state == InstanceState::kReady);
  CHECK(*machine.report("i1").status.pid == pid);

  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 601", 4), machine.clock.now()));
  CHECK(machine.report("i1").status.state == InstanceState::kStopping);
  REQUIRE(machine.until([&] { return machine.report("i1").attempt == 4; }));
  CHECK_FALSE(process_stat(pid).has_value());
  REQUIRE(machine.until_state("i1", InstanceState::kReady));

  REQUIRE(machine.supervisor->stop("i1", 4, machine.clock.now()));
  REQUIRE(machine.until_gone("i1"));
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600", 4), machine.clock.now()));
  CHECK(machine.report("i1").gone);  // that attempt is over

  auto never = machine.desired("never", "", 7);
  never.run = false;
  REQUIRE(machine.supervisor->apply(never, machine.clock.now()));
  CHECK(machine.report("never").gone);
  CHECK(machine.report("never").attempt == 7);
}

TEST_CASE("a simulated worker accepts plans and starts nothing, also after its restart") {
  Machine machine;
  machine.options.simulated = true;
  machine.options.engine_user = "no-such-user-here";
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  machine.probe.set_ready("i1");
  for (int i = 0; i < 10; ++i) {
    machine.clock.advance(std::chrono::minutes(1));
    machine.supervisor->tick(machine.clock.now());
  }
  const auto report = machine.report("i1");
  CHECK(report.status.state == InstanceState::kSimulated);
  CHECK_FALSE(report.status.pid.has_value());
  CHECK_FALSE(machine.supervisor->endpoint("i1").has_value());
  CHECK(machine.probe.targets().empty());
  machine.restart();
  CHECK(machine.report("i1").status.state == InstanceState::kSimulated);
  REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
  CHECK(machine.until_gone("i1"));
}
