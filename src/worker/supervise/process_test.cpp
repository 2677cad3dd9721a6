#include "worker/supervise/process.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "worker/supervise/cgroup.h"
#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

namespace {

EngineUser test_user() { return engine_user("nobody").value(); }

/// Ends what a test has started, whatever the test did.
struct Guard {
  Identity identity;
  std::string log;
  ~Guard() {
    signal_members(members_of(identity, log), SIGKILL);
    ::waitpid(static_cast<pid_t>(identity.pid), nullptr, 0);
  }
};

ProcessSpec spec_for(const testing::Folder& folder, std::vector<std::string> argv) {
  return {
      .argv = std::move(argv), .user = test_user(), .log_file = folder.path("log"), .nonce = random_hex(16).value()};
}

std::string log_of(const testing::Folder& folder) { return read_small_file(folder.path("log")).value_or(""); }

std::optional<ExitStatus> wait_exit(const Identity& identity) {
  std::optional<ExitStatus> exit;
  testing::eventually([&] { return (exit = take_exit(identity.pid)).has_value(); });
  return exit;
}

}  // namespace

TEST_CASE("arguments reach the program as they are and never a shell") {
  const testing::Folder folder;
  const std::vector<std::string> hostile{
      "; touch " + folder.path("pwned"), "$(id)", "`id`", "a\nb", "", "*", "--x='\"'"};
  std::vector<std::string> argv{"/usr/bin/env", "--", "printf", "[%s]"};
  argv.insert(argv.end(), hostile.begin(), hostile.end());
  ProcessSpec spec = spec_for(folder, argv);
  spec.environment["PATH"] = "/usr/bin:/bin";
  const auto identity = spawn(spec);
  REQUIRE(identity.has_value());
  CHECK(wait_exit(*identity)->status == 0);
  std::string expected;
  for (const std::string& text : hostile) expected += "[" + text + "]";
  CHECK(log_of(folder) == expected);
  CHECK(::access(folder.path("pwned").c_str(), F_OK) != 0);
}

TEST_CASE("the environment is exactly what was asked for, and the nonce") {
  const testing::Folder folder;
  ::setenv("BERTH_TEST_LEAK", "secret", 1);
  ProcessSpec spec = spec_for(folder, {"/usr/bin/env"});
  spec.environment = {{"A", "1"}, {"B", "x y=z"}};
  const auto identity = spawn(spec);
  ::unsetenv("BERTH_TEST_LEAK");
  REQUIRE(identity.has_value());
  CHECK(wait_exit(*identity)->status == 0);
  CHECK(log_of(folder) == "A=1\nB=x y=z\nBERTH_NONCE=" + spec.nonce + "\n");
}

TEST_CASE("an engine leads its own session as another user, without our descriptors or new privileges") {
  const testing::Folder folder;
  const Fd leak(::open("/etc/hostname", O_RDONLY));  // on purpose without close-on-exec
  REQUIRE(leak.valid());
  const auto identity = spawn(spec_for(folder, {"/bin/sleep", "60"}));
  REQUIRE(identity.has_value());
  const Guard guard{*identity, folder.path("log")};
  const auto stat = process_stat(identity->pid);
  REQUIRE(stat.has_value());
  CHECK(stat->session == identity->pid);
  CHECK(stat->group == identity->pid);
  const std::string proc = "/proc/" + std::to_string(identity->pid);
  const std::string status = read_small_file(proc + "/status").value();
  const std::string uid = std::to_string(test_user().uid);
  CHECK(status.find(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}\n", uid)) != std::string::npos);
  CHECK(status.find("NoNewPrivs:\t1\n") != std::string::npos);
  if (::geteuid() == 0) {
    CHECK(test_user().uid != 0);
    CHECK(status.find("CapEff:\t0000000000000000\n") != std::string::npos);
    CHECK(status.find("Groups:\t \n") != std::string::npos);
  }
  // The loader opens libraries for a moment; then only input, output and error are left.
  CHECK(testing::eventually([&] {
    std::error_code error;
    std::size_t descriptors = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(proc + "/fd", error)) ++descriptors;
    return descriptors == 3;
  }));
  CHECK(read_small_file(proc + "/limits")->find("Max core file size        0                    0") !=
        std::string::npos);
}

TEST_CASE("what keeps a program from starting is told with its step and path") {
  const testing::Folder folder;
  folder.write("plain", "text", 0644);
  const auto missing = spawn(spec_for(folder, {folder.path("none")}));
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::kNotFound);
  CHECK(missing.error().message.find(folder.path("none")) != std::string::npos);
  CHECK(spawn(spec_for(folder, {folder.path("plain")})).error().code == Code::kForbidden);
  CHECK(spawn(spec_for(folder, {"sleep", "1"})).error().code == Code::kInvalid);
  CHECK(spawn(spec_for(folder, {"/bin/sleep", std::string("1\0x", 3)})).error().code == Code::kInvalid);
  ProcessSpec bad_folder = spec_for(folder, {"/bin/sleep", "60"});
  bad_folder.folder = folder.path("nowhere");
  CHECK(spawn(bad_folder).error().message.find("cannot enter folder") != std::string::npos);
  if (::geteuid() == 0) CHECK(engine_user("root").error().code == Code::kForbidden);
  if (::geteuid() == 0) CHECK(engine_user("no-such-user-here").error().code == Code::kNotFound);
}

TEST_CASE("exit status and signal are taken without waiting") {
  const testing::Folder folder;
  const auto seven = spawn(spec_for(folder, {"/bin/sh", "-c", "exit 7"}));
  REQUIRE(seven.has_value());
  CHECK(wait_exit(*seven)->status == 7);
  const auto killed = spawn(spec_for(folder, {"/bin/sleep", "60"}));
  REQUIRE(killed.has_value());
  const Fd pidfd = open_pidfd(killed->pid).value();
  CHECK_FALSE(take_exit(killed->pid).has_value());
  CHECK_FALSE(has_ended(pidfd));
  ::kill(static_cast<pid_t>(killed->pid), SIGKILL);
  CHECK(testing::eventually([&] { return has_ended(pidfd); }));
  CHECK(match(*killed, "") == Match::kGone);  // dead, although not yet waited for
  CHECK(wait_exit(*killed)->signal == SIGKILL);
}

TEST_CASE("a process is recognised by pid, start time and nonce together") {
  const testing::Folder folder;
  const auto identity = spawn(spec_for(folder, {"/bin/sleep", "60"}));
  REQUIRE(identity.has_value());
  const Guard guard{*identity, folder.path("log")};
  CHECK(match(*identity, folder.path("log")) == Match::kSame);
  Identity other = *identity;
  other.start_ticks += 1;
  CHECK(match(other, folder.path("log")) == Match::kOther);
  other = *identity;
  other.nonce = "00";
  CHECK(match(other, folder.path("log")) == Match::kOther);
  other = *identity;
  other.boot_id = "another boot";
  CHECK(match(other, folder.path("log")) == Match::kOther);
  CHECK(members_of(other, folder.path("log")).size() == 1);  // by nonce: it is what we started
  other.nonce = "00";
  CHECK(members_of(other, folder.path("none")).empty());
  const auto found = find_by_nonce(identity->nonce);
  REQUIRE(found.has_value());
  CHECK(found->pid == identity->pid);
  CHECK(found->start_ticks == identity->start_ticks);
}

TEST_CASE("a program without the nonce in its environment is known by its log") {
  const testing::Folder folder;
  ProcessSpec spec = spec_for(folder, {"/usr/bin/env", "-i", "/bin/sleep", "60"});
  const auto identity = spawn(spec);
  REQUIRE(identity.has_value());
  const Guard guard{*identity, folder.path("log")};
  CHECK(testing::eventually(
      [&] { return read_small_file("/proc/" + std::to_string(identity->pid) + "/environ").value_or("x").empty(); }));
  CHECK(match(*identity, folder.path("log")) == Match::kSame);
  folder.write("other", "");
  CHECK(match(*identity, folder.path("other")) == Match::kOther);
}

TEST_CASE("members include children that left group and session, and all are signalled") {
  const testing::Folder folder;
  ProcessSpec spec =
      spec_for(folder, {"/bin/sh", "-c", "sleep 60 & setsid sleep 61 & setsid sh -c 'setsid sleep 62 & exit 0'; wait"});
  spec.environment["PATH"] = "/usr/bin:/bin";
  const auto identity = spawn(spec);
  REQUIRE(identity.has_value());
  const Guard guard{*identity, folder.path("log")};
  // All four have come to their last program: one that still forks could escape the signal.
  CHECK(testing::eventually([&] {
    const auto members = members_of(*identity, folder.path("log"));
    const auto sleeping = std::count_if(members.begin(), members.end(), [](const Member& member) {
      return read_small_file("/proc/" + std::to_string(member.pid) + "/comm").value_or("") == "sleep\n";
    });
    return members.size() == 4 && sleeping == 3;
  }));
  CHECK(resident_bytes(members_of(*identity, folder.path("log"))).value > 0);
  // The leader dies first, as engines do that leave their workers behind holding memory.
  ::kill(static_cast<pid_t>(identity->pid), SIGKILL);
  CHECK(wait_exit(*identity).has_value());
  CHECK(members_of(*identity, folder.path("log")).size() == 3);
  signal_members(members_of(*identity, folder.path("log")), SIGKILL);
  CHECK(testing::eventually([&] { return members_of(*identity, folder.path("log")).empty(); }));
}

TEST_CASE("process tables with hostile names are read right") {
  const std::string rest = " S 1 42 43 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
  for (const std::string name : {"(sh)", "(a) b) Z 9 9 9)", "()"}) {
    CAPTURE(name);
    const auto stat = parse_process_stat("77 " + name + rest);
    REQUIRE(stat.has_value());
    CHECK(stat->pid == 77);
    CHECK(stat->state == 'S');
    CHECK(stat->group == 42);
    CHECK(stat->session == 43);
    CHECK(stat->start_ticks == 987654);
  }
  CHECK_FALSE(parse_process_stat("77 (sh) S 1").has_value());
  CHECK_FALSE(parse_process_stat("").has_value());
}

TEST_CASE("a program that does not end is ended with its children at the deadline") {
  const testing::Folder folder;
  ProcessSpec spec = spec_for(folder, {"/bin/sh", "-c", "sleep 60 & sleep 61"});
  spec.environment["PATH"] = "/usr/bin:/bin";
  const auto late = run_captured(spec, std::chrono::milliseconds(300), 100);
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().code == Code::kTimeout);
  CHECK(testing::eventually([&] { return members_of({.nonce = spec.nonce}, "").empty(); }));
  const auto done = run_captured(spec_for(folder, {"/bin/echo", "hello world"}), std::chrono::seconds(20), 5);
  REQUIRE(done.has_value());
  CHECK(done->output == "hello");
  CHECK(done->exit.status == 0);
}

TEST_CASE("a cgroup holds an engine and its escaped children and kills them as one") {
  const auto cgroups = Cgroups::find("/sys/fs/cgroup");
  if (!cgroups) {
    MESSAGE("no writable cgroup here");
    return;
  }
  const testing::Folder folder;
  const std::string name = "test-" + random_hex(4).value();
  const std::string group = cgroups->make(name).value();
  ProcessSpec spec = spec_for(folder, {"/bin/sh", "-c", "env -i setsid sleep 60 </dev/null >/dev/null 2>&1 & wait"});
  spec.environment["PATH"] = "/usr/bin:/bin";
  spec.cgroup = group;
  const auto identity = spawn(spec);
  REQUIRE(identity.has_value());
  CHECK(testing::eventually([&] { return cgroup_processes(group).size() >= 2; }));
  CHECK_FALSE(cgroup_remove(group));
  CHECK(testing::eventually([&] {
    cgroup_kill(group);
    take_exit(identity->pid);
    return cgroup_processes(group).empty();
  }));
  CHECK(testing::eventually([&] { return cgroup_remove(group); }));
  CHECK(::access(group.c_str(), F_OK) != 0);
  CHECK_FALSE(Cgroups::find(folder.path()).has_value());
  CHECK_FALSE(Cgroups::find("").has_value());
}
