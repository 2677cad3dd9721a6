#include <sys/stat.h>
#include <sys/wait.h>

#include <doctest/doctest.h>
#include <filesystem>
#include <unistd.h>

#include "base/hash.h"
#include "worker/supervise/instance_record.h"
#include "worker/supervise/supervisor_testing.h"

using namespace berth;
using namespace berth::worker;
using berth::worker::testing::has;
using berth::worker::testing::Machine;
using fleet::InstanceState;

TEST_CASE("a restarted agent adopts its engine: same process, port and secret, ready at once") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const auto before = machine.report("i1");
  machine.probe.set_ready("i1", false);
  machine.restart();
  const auto after = machine.report("i1");
  CHECK(after.status.state == InstanceState::kReady);
  CHECK(after.status.pid == before.status.pid);
  CHECK(after.status.port == before.status.port);
  CHECK(after.secret == before.secret);
  CHECK(machine.supervisor->endpoint("i1").has_value());
  REQUIRE(machine.adopted.size() == 1);
  CHECK(has(machine.adopted[0], "goes on"));
  for (int i = 0; i < 5; ++i) machine.supervisor->tick(machine.clock.now());
  CHECK(process_stat(*after.status.pid)->state != 'Z');

  SUBCASE("its end is noticed by the new agent") {
    machine.probe.set_ready("i1");
    ::kill(static_cast<pid_t>(*after.status.pid), SIGKILL);
    REQUIRE(machine.until_state("i1", InstanceState::kFailed));
    CHECK(machine.until_state("i1", InstanceState::kReady));
  }
  SUBCASE("it is stopped by the new agent") {
    REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
    CHECK(machine.until_gone("i1"));
    CHECK_FALSE(process_stat(*after.status.pid).has_value());
  }
}

TEST_CASE("an engine that is still loading is adopted as starting") {
  Machine machine;
  machine.restart();
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kStarting));
  const auto pid = machine.report("i1").status.pid;
  machine.restart();
  CHECK(machine.report("i1").status.state == InstanceState::kStarting);
  machine.probe.set_ready("i1");
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  CHECK(machine.report("i1").status.pid == pid);
}

TEST_CASE("an engine that ended unseen is failed by its log, its leftovers are killed, and it comes back") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "setsid sleep 600 & echo 'CUDA out of memory'; wait"),
                                    machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  const std::int64_t pid = *machine.report("i1").status.pid;
  REQUIRE(testing::eventually([&] { return has(machine.log("i1"), "out of memory"); }));
  const std::string record = read_small_file(machine.folder.path("state/instances/i1.json")).value();
  const std::string nonce = record.substr(record.find("\"nonce\": \"") + 10, 32);
  machine.supervisor.reset();
  ::kill(static_cast<pid_t>(pid), SIGTERM);  // no agent is there
  REQUIRE(testing::eventually([&] { return process_stat(pid).value_or(ProcessStat{}).state != 'S'; }));
  ::waitpid(static_cast<pid_t>(pid), nullptr, 0);  // as init would
  REQUIRE(members_of({.nonce = nonce}, "").size() == 1);
  machine.restart();
  const auto failed = machine.report("i1");
  CHECK(failed.status.state == InstanceState::kFailed);
  CHECK(failed.status.last_exit->cause == "out_of_memory");
  CHECK_FALSE(failed.status.last_exit->status.has_value());
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  CHECK(machine.report("i1").status.restarts == 1);
  CHECK(members_of({.nonce = nonce}, "").empty());
}

TEST_CASE("another process with the pid of a record is neither adopted nor signalled") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  // A stranger: its own session, started by the test, with no nonce of ours.
  const testing::Folder elsewhere;
  ProcessSpec spec{.argv = {"/bin/sleep", "600"}, .user = engine_user("nobody").value()};
  spec.log_file = elsewhere.path("log");
  const auto stranger = spawn(spec);
  REQUIRE(stranger.has_value());
  machine.supervisor.reset();

  auto store = RecordStore::open(machine.folder.path("state/instances"));
  InstanceRecord record = store->load_all()->records.at(0);
  const Identity real = record.process;
  record.process.pid = stranger->pid;
  record.process.start_ticks = stranger->start_ticks;  // even the start time agrees: only the nonce does not
  SUBCASE("with its start time") {}
  SUBCASE("without") { record.process.start_ticks = real.start_ticks; }
  REQUIRE(store->save(record));
  machine.restart();
  CHECK(machine.report("i1").status.state == InstanceState::kFailed);
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  CHECK(*machine.report("i1").status.pid != stranger->pid);
  REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
  REQUIRE(machine.until_gone("i1"));
  REQUIRE(process_stat(stranger->pid).has_value());
  CHECK(process_stat(stranger->pid)->state != 'Z');
  ::kill(static_cast<pid_t>(stranger->pid), SIGKILL);
  ::waitpid(static_cast<pid_t>(stranger->pid), nullptr, 0);
  signal_members(members_of(real, ""), SIGKILL);
  ::waitpid(static_cast<pid_t>(real.pid), nullptr, 0);
}

TEST_CASE("a start that a crash hid from the record is found by its nonce") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "exec sleep 600"), machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kStarting));
  const auto pid = machine.report("i1").status.pid;
  machine.supervisor.reset();
  auto store = RecordStore::open(machine.folder.path("state/instances"));
  InstanceRecord record = store->load_all()->records.at(0);
  record.process.pid = 0;
  record.process.start_ticks = 0;
  record.started_at.reset();
  REQUIRE(store->save(record));
  machine.restart();
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  CHECK(machine.report("i1").status.pid == pid);
}

TEST_CASE("a stop goes on after a restart") {
  Machine machine;
  machine.restart();
  machine.probe.set_ready("i1");
  REQUIRE(machine.supervisor->apply(machine.desired("i1", "trap '' TERM; while true; do sleep 1; done"),
                                    machine.clock.now()));
  REQUIRE(machine.until_state("i1", InstanceState::kReady));
  REQUIRE(machine.supervisor->stop("i1", 1, machine.clock.now()));
  machine.restart();
  CHECK(machine.report("i1").status.state == InstanceState::kStopping);
  CHECK(machine.until_gone("i1"));
}

TEST_CASE("an instance is gone only with its cgroup, which the kernel may hold a moment longer") {
  Machine machine;
  machine.options.cgroup_root = "";
  machine.restart();
  machine.supervisor.reset();
  // A folder that cannot be removed while something is in it, as a cgroup is.
  machine.folder.write("cgroups/i1.x/process", "");
  const auto store = RecordStore::open(machine.folder.path("state/instances"));
  InstanceRecord record{.instance = "i1", .name = "i1", .attempt = 1, .stopping = true};
  record.cgroup = machine.folder.path("cgroups/i1.x");
  REQUIRE(store->save(record));
  machine.restart();
  for (int i = 0; i < 5; ++i) {
    machine.clock.advance(std::chrono::seconds(1));
    machine.supervisor->tick(machine.clock.now());
  }
  CHECK_FALSE(machine.report("i1").gone);
  CHECK(store->load_all()->records.size() == 1);
  SUBCASE("it lets go") {
    std::filesystem::remove(machine.folder.path("cgroups/i1.x/process"));
    CHECK(machine.until_gone("i1"));
    CHECK_FALSE(std::filesystem::exists(record.cgroup));
  }
  SUBCASE("it never does") {
    machine.clock.advance(std::chrono::minutes(1));
    CHECK(machine.until_gone("i1"));
    CHECK(std::filesystem::exists(record.cgroup));
  }
  CHECK(store->load_all()->records.empty());
}

TEST_CASE("cgroups left over by this worker are swept at its start, those of others and those in use stay") {
  if (::geteuid() != 0) return;
  Machine machine;
  machine.options.cgroup_root = machine.folder.path("sys");
  machine.folder.write("sys/cgroup.controllers", "");
  machine.folder.write("sys/berth/cgroup.procs", "");
  const std::string owner = "." + Hasher().add(machine.options.state_dir).finish().text().substr(0, 8);
  const std::string base = machine.folder.path("sys/berth/");
  for (const std::string& name : {"old" + owner, std::string("old.other"), "used" + owner})
    std::filesystem::create_directories(base + name);
  machine.folder.write("sys/berth/used" + owner + "/process", "");
  machine.restart();
  CHECK_FALSE(std::filesystem::exists(base + "old" + owner));
  CHECK(std::filesystem::exists(base + "old.other"));
  CHECK(std::filesystem::exists(base + "used" + owner));
  CHECK(machine.adopted.size() == 2);
}

TEST_CASE("two agents do not share a state folder, and a torn record is put aside") {
  Machine machine;
  machine.restart();
  const auto second = Supervisor::create(machine.options, machine.catalog, machine.probe, machine.observer);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == Code::kConflict);
  machine.supervisor.reset();
  machine.folder.write("state/instances/i1.json", "{\"version\":1,\"insta");
  machine.folder.write("state/instances/i2.json", "{\"version\":1,\"instance\":\"../../etc\"}");
  machine.restart();
  CHECK(machine.adopted.size() == 2);
  CHECK(machine.supervisor->reports(false).empty());
  CHECK(::access(machine.folder.path("state/instances/i1.json.bad").c_str(), F_OK) == 0);
}

TEST_CASE("root refuses a state folder that the engine's user cannot pass") {
  if (::geteuid() != 0) return;
  Machine machine;
  ::mkdir(machine.folder.path("closed").c_str(), 0700);
  machine.options.state_dir = machine.folder.path("closed/state");
  const auto created = Supervisor::create(machine.options, machine.catalog, machine.probe, machine.observer);
  REQUIRE_FALSE(created.has_value());
  CHECK(created.error().code == Code::kForbidden);
  CHECK(has(created.error().message, machine.folder.path("closed")));
}

TEST_CASE("records come back as they were written") {
  const testing::Folder folder;
  const auto store = RecordStore::open(folder.path("instances"));
  REQUIRE(store.has_value());
  InstanceRecord record;
  record.instance = "i-1.x_Y";
  record.attempt = 9'007'199'254'740'991;
  record.spec.plan.settings.flags = {"--a", "b c"};
  record.process = {.pid = 5, .start_ticks = 77, .boot_id = "b", .nonce = "n"};
  record.port = 41'000;
  record.last_exit = fleet::ExitInfo{.status = 1, .cause = "exit", .message = "…\"\\"};
  record.started_at = Time(Duration(1'700'000'000'123));
  REQUIRE(store->save(record));
  struct stat info{};
  REQUIRE(::stat(folder.path("instances/i-1.x_Y.json").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const auto loaded = store->load_all();
  REQUIRE(loaded->records.size() == 1);
  const InstanceRecord& back = loaded->records[0];
  CHECK(back.attempt == record.attempt);
  CHECK(back.spec.plan.settings.flags == record.spec.plan.settings.flags);
  CHECK(back.process.start_ticks == 77);
  CHECK(back.last_exit->message == record.last_exit->message);
  CHECK(back.started_at == record.started_at);
  CHECK_FALSE(back.ready_at.has_value());
  REQUIRE(store->remove(record.instance));
  REQUIRE(store->remove(record.instance));
  CHECK(store->load_all()->records.empty());
  CHECK_FALSE(is_instance_id(""));
  CHECK_FALSE(is_instance_id(".hidden"));
  CHECK_FALSE(is_instance_id("a/b"));
  CHECK_FALSE(is_instance_id(std::string(65, 'a')));
}
