#include "worker/supervise/process.h"

#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"

namespace berth::worker {
namespace {

constexpr std::size_t kArgumentsMax = 4096;
constexpr int kLastDescriptorSwept = 65'536;  // kernels without close_range

/// What the child tells when it could not become the program.
struct ChildError {
  int step = 0;
  int error_number = 0;
};

enum Step { kStepSession, kStepCgroup, kStepFiles, kStepLimits, kStepUser, kStepFolder, kStepProgram };

std::string step_text(int step, const ProcessSpec& spec) {
  switch (step) {
    case kStepSession:
      return "cannot lead a session of its own";
    case kStepCgroup:
      return "cannot enter cgroup " + spec.cgroup;
    case kStepFiles:
      return "cannot set up its descriptors";
    case kStepLimits:
      return "cannot set its limits";
    case kStepUser:
      return "cannot become user " + spec.user.name;
    case kStepFolder:
      return "cannot enter folder " + spec.folder;
    default:
      return "cannot execute " + printable(spec.argv[0]);
  }
}

/// All that the child needs, made before fork: after it only async-signal-safe calls are allowed.
struct Prepared {
  std::vector<char*> argv;
  std::vector<std::string> environment_text;
  std::vector<char*> environment;
  Fd null;
  Fd log;
  Fd cgroup;
  Fd error_in;   // child writes
  Fd error_out;  // parent reads
  rlim_t open_files = 0;
};

[[noreturn]] void child_fails(int fd, int step) {
  const ChildError error{.step = step, .error_number = errno};
  const ssize_t ignored = ::write(fd, &error, sizeof(error));
  static_cast<void>(ignored);
  ::_exit(127);
}

void close_others() {
  // Marked, not closed: the pipe for errors must live until execve.
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  for (int fd = 3; fd < kLastDescriptorSwept; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool become(const EngineUser& user) {
  // Raw calls: the C library's wrappers talk to the other threads, which do not exist here.
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) return false;
  if (::syscall(SYS_setresgid, user.gid, user.gid, user.gid) != 0) return false;
  return ::syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
}

void reset_signals() {
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &plain, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(const ProcessSpec& spec, const Prepared& prepared) {
  const int report = prepared.error_in.get();
  reset_signals();
  if (::setsid() < 0) child_fails(report, kStepSession);
  if (prepared.cgroup.valid() && ::write(prepared.cgroup.get(), "0", 1) != 1) child_fails(report, kStepCgroup);
  if (::dup2(prepared.null.get(), 0) < 0) child_fails(report, kStepFiles);
  if (::dup2(prepared.log.get(), 1) < 0) child_fails(report, kStepFiles);
  if (::dup2(prepared.log.get(), 2) < 0) child_fails(report, kStepFiles);
  const rlimit no_core{0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) child_fails(report, kStepLimits);
  const rlimit files{prepared.open_files, prepared.open_files};
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) child_fails(report, kStepLimits);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) child_fails(report, kStepUser);
  if (spec.user.switches && !become(spec.user)) child_fails(report, kStepUser);
  if (::chdir(spec.folder.c_str()) != 0) child_fails(report, kStepFolder);
  ::umask(077);
  close_others();
  ::execve(prepared.argv[0], prepared.argv.data(), prepared.environment.data());
  child_fails(report, kStepProgram);
}

Result<void> check(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty() || spec.argv[0].front() != '/')
    return invalid("a program must be given by its absolute path");
  if (spec.argv.size() > kArgumentsMax)
    return invalid(fmt::format("{} arguments, at most {} are allowed", spec.argv.size(), kArgumentsMax));
  for (const std::string& argument : spec.argv)
    if (argument.find('\0') != std::string::npos) return invalid("an argument holds a zero byte");
  for (const auto& [name, value] : spec.environment)
    if (name.empty() || name.find('=') != std::string::npos || (name + value).find('\0') != std::string::npos)
      return invalid(fmt::format("environment variable \"{}\" cannot be set", printable(name)));
  if (spec.user.switches && spec.user.uid == 0) return fail(Code::kForbidden, "engines never run as root");
  return {};
}

Result<void> open_files(const ProcessSpec& spec, Prepared& prepared) {
  prepared.null = Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!prepared.null.valid()) return system_error("cannot open /dev/null", errno);
  const std::string& log = spec.log_file.empty() ? "/dev/null" : spec.log_file;
  prepared.log = Fd(::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
  if (!prepared.log.valid()) return system_error("cannot open log " + log, errno);
  if (!spec.cgroup.empty()) {
    prepared.cgroup = Fd(::open((spec.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!prepared.cgroup.valid()) return system_error("cannot open cgroup " + spec.cgroup, errno);
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_error("cannot make a pipe", errno);
  prepared.error_out = Fd(ends[0]);
  prepared.error_in = Fd(ends[1]);
  // dup2 onto 0–2 must not hit the very descriptors that are still needed.
  for (Fd* fd : {&prepared.null, &prepared.log, &prepared.error_in, &prepared.cgroup}) {
    if (!fd->valid() || fd->get() > 2) continue;
    const int higher = ::fcntl(fd->get(), F_DUPFD_CLOEXEC, 3);
    if (higher < 0) return system_error("cannot move a descriptor", errno);
    *fd = Fd(higher);
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return system_error("cannot read the limits", errno);
  prepared.open_files = std::min<rlim_t>(files.rlim_max, spec.open_files_max);
  return {};
}

Result<void> wait_for_exec(const Prepared& prepared, pid_t pid, const ProcessSpec& spec) {
  ChildError error;
  ssize_t n = 0;
  do n = ::read(prepared.error_out.get(), &error, sizeof(error));
  while (n < 0 && errno == EINTR);
  if (n == 0) return {};
  int ignored = 0;
  while (::waitpid(pid, &ignored, 0) < 0 && errno == EINTR) {
  }
  if (n != static_cast<ssize_t>(sizeof(error))) return fail(Code::kInternal, "a child process told half an error");
  return system_error("the engine " + step_text(error.step, spec), error.error_number);
}

ExitStatus exit_of(int status) {
  ExitStatus exit;
  if (WIFEXITED(status)) exit.status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
  return exit;
}

}  // namespace

Result<EngineUser> engine_user(const std::string& name) {
  if (::geteuid() != 0) return EngineUser{.uid = ::geteuid(), .gid = ::getegid(), .name = name, .switches = false};
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 * 1024);
  const int code = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (code != 0) return system_error("cannot look up user " + name, code);
  if (found == nullptr)
    return fail(
        Code::kNotFound,
        fmt::format(
            "user {} does not exist: make it with `useradd --system --shell /usr/sbin/nologin {}`", name, name));
  if (entry.pw_uid == 0) return fail(Code::kForbidden, fmt::format("user {} is root: engines never run as root", name));
  return EngineUser{.uid = entry.pw_uid, .gid = entry.pw_gid, .name = name, .switches = true};
}

Result<Identity> spawn(const ProcessSpec& spec) {
  TRY_VOID(check(spec));
  Prepared prepared;
  TRY_VOID(open_files(spec, prepared));
  for (const std::string& argument : spec.argv) prepared.argv.push_back(const_cast<char*>(argument.c_str()));
  prepared.argv.push_back(nullptr);
  for (const auto& [name, value] : spec.environment) prepared.environment_text.push_back(name + "=" + value);
  if (!spec.nonce.empty()) prepared.environment_text.push_back(std::string(kNonceVariable) + "=" + spec.nonce);
  for (std::string& entry : prepared.environment_text) prepared.environment.push_back(entry.data());
  prepared.environment.push_back(nullptr);

  // No handler of ours may run in the child, so everything is blocked around fork.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_child(spec, prepared);
  const int error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return system_error("cannot fork", error_number);

  prepared.error_in.reset();
  TRY_VOID(wait_for_exec(prepared, pid, spec));
  const auto stat = process_stat(pid);  // a child that has ended stays until it is waited for
  if (!stat) return fail(Code::kInternal, fmt::format("process {} is not in /proc", pid));
  return Identity{.pid = pid, .start_ticks = stat->start_ticks, .boot_id = boot_id(), .nonce = spec.nonce};
}

std::optional<ExitStatus> peek_exit(std::int64_t pid) {
  siginfo_t info{};
  int code = 0;
  do code = ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT);
  while (code < 0 && errno == EINTR);
  if (code != 0 || info.si_pid == 0) return std::nullopt;
  ExitStatus exit;
  (info.si_code == CLD_EXITED ? exit.status : exit.signal) = info.si_status;
  return exit;
}

std::optional<ExitStatus> take_exit(std::int64_t pid) {
  int status = 0;
  pid_t got = 0;
  do got = ::waitpid(static_cast<pid_t>(pid), &status, WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  return exit_of(status);
}

Result<Captured> run_captured(const ProcessSpec& spec, Duration deadline, std::size_t bytes_max) {
  ProcessSpec copy = spec;
  std::string path = "/tmp/berth-capture-XXXXXX";
  const Fd output(::mkostemp(path.data(), O_CLOEXEC));
  if (!output.valid()) return system_error("cannot make a temporary file", errno);
  copy.log_file = path;
  auto started = spawn(copy);
  if (!started.has_value()) {
    ::unlink(path.c_str());
    return std::move(started).error();
  }
  const auto pidfd = open_pidfd(started->pid);
  bool ended = false;
  if (pidfd.has_value()) {
    pollfd item{.fd = pidfd->get(), .events = POLLIN, .revents = 0};
    ended = ::poll(&item, 1, static_cast<int>(deadline.count())) > 0;
  }
  // Whatever the program has left behind goes with it; the group's number is ours until the leader is waited for.
  ::kill(static_cast<pid_t>(-started->pid), SIGKILL);
  int status = 0;
  while (::waitpid(static_cast<pid_t>(started->pid), &status, 0) < 0 && errno == EINTR) {
  }
  ::unlink(path.c_str());
  if (!ended)
    return fail(Code::kTimeout, fmt::format("{} did not end within {}", printable(spec.argv[0]), human(deadline)));
  Captured captured{.output = std::string(bytes_max, '\0'), .exit = exit_of(status)};
  const ssize_t n = ::pread(output.get(), captured.output.data(), bytes_max, 0);
  captured.output.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return captured;
}

}  // namespace berth::worker
