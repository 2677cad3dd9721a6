#include "worker/supervise/identity.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"

namespace berth::worker {
namespace {

constexpr std::size_t kProcessesMax = 200'000;
constexpr std::size_t kEnvironmentBytesMax = 4 * 1024 * 1024;

std::string proc_path(std::int64_t pid, std::string_view file) { return fmt::format("/proc/{}/{}", pid, file); }

void for_each_process(const std::function<void(std::int64_t)>& visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
  if (!folder) return;
  std::size_t seen = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const auto pid = parse_u64(entry->d_name);
    if (!pid || *pid == 0 || *pid > INT32_MAX) continue;
    if (++seen > kProcessesMax) return;
    visit(static_cast<std::int64_t>(*pid));
  }
}

enum class NonceState { kSame, kOther, kAbsent };

NonceState nonce_of(std::int64_t pid, const std::string& nonce) {
  const auto environment = read_small_file(proc_path(pid, "environ"), kEnvironmentBytesMax);
  if (!environment.has_value()) return NonceState::kAbsent;
  const std::string prefix = std::string(kNonceVariable) + "=";
  for (const std::string& entry : split(*environment, '\0')) {
    if (!entry.starts_with(prefix)) continue;
    return entry.substr(prefix.size()) == nonce ? NonceState::kSame : NonceState::kOther;
  }
  return NonceState::kAbsent;
}

/// Standard output or error is that very file.
bool writes_to(std::int64_t pid, const std::string& log_file) {
  struct stat log{};
  if (log_file.empty() || ::stat(log_file.c_str(), &log) != 0) return false;
  for (const char* fd : {"fd/1", "fd/2"}) {
    struct stat open{};
    if (::stat(proc_path(pid, fd).c_str(), &open) != 0) continue;
    if (open.st_dev == log.st_dev && open.st_ino == log.st_ino) return true;
  }
  return false;
}

bool is_dead(const ProcessStat& stat) { return stat.state == 'Z' || stat.state == 'X' || stat.state == 'x'; }

int pidfd_open(std::int64_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)); }

}  // namespace

std::optional<ProcessStat> parse_process_stat(std::string_view line) {
  const std::size_t open = line.find('(');
  const std::size_t close = line.rfind(')');  // the name may hold parentheses itself
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  const auto pid = parse_u64(trim(line.substr(0, open)));
  const std::vector<std::string> fields = split(trim(line.substr(close + 1)), ' ');
  // Field 3 of proc(5) is fields[0]: state; 5: group, 6: session, 14 and 15: processor time, 22: start time.
  if (!pid || fields.size() < 20 || fields[0].size() != 1) return std::nullopt;
  const auto group = parse_u64(fields[2]);
  const auto session = parse_u64(fields[3]);
  const auto user = parse_u64(fields[11]);
  const auto kernel = parse_u64(fields[12]);
  const auto start = parse_u64(fields[19]);
  if (!group || !session || !start || !user || !kernel) return std::nullopt;
  return ProcessStat{.pid = static_cast<std::int64_t>(*pid),
                     .state = fields[0][0],
                     .group = static_cast<std::int64_t>(*group),
                     .session = static_cast<std::int64_t>(*session),
                     .start_ticks = *start,
                     .cpu_ticks = *user + *kernel};
}

std::optional<ProcessStat> process_stat(std::int64_t pid) {
  if (pid <= 0) return std::nullopt;
  const auto line = read_small_file(proc_path(pid, "stat"));
  return line.has_value() ? parse_process_stat(*line) : std::nullopt;
}

std::string boot_id() { return std::string(trim(read_small_file("/proc/sys/kernel/random/boot_id").value_or(""))); }

Result<std::string> random_hex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t n = ::getrandom(raw.data() + have, bytes - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_error("the kernel gives no random numbers", errno);
    have += static_cast<std::size_t>(n);
  }
  std::string text;
  for (const char c : raw) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

Match match(const Identity& identity, const std::string& log_file) {
  const auto stat = process_stat(identity.pid);
  if (!stat || is_dead(*stat)) return Match::kGone;
  if (stat->start_ticks != identity.start_ticks || boot_id() != identity.boot_id) return Match::kOther;
  switch (nonce_of(identity.pid, identity.nonce)) {
    case NonceState::kSame:
      return Match::kSame;
    case NonceState::kOther:
      return Match::kOther;
    case NonceState::kAbsent:
      break;
  }
  return writes_to(identity.pid, log_file) ? Match::kSame : Match::kOther;
}

std::optional<Identity> find_by_nonce(const std::string& nonce) {
  std::optional<Identity> found;
  for_each_process([&](std::int64_t pid) {
    if (found) return;
    const auto stat = process_stat(pid);
    if (!stat || is_dead(*stat) || stat->session != pid) return;
    if (nonce_of(pid, nonce) != NonceState::kSame) return;
    found = Identity{.pid = pid, .start_ticks = stat->start_ticks, .boot_id = boot_id(), .nonce = nonce};
  });
  return found;
}

std::vector<Member> members_of(const Identity& identity, const std::string& log_file) {
  std::vector<Member> members;
  // While the leader is who we started (dead or alive) its group's number cannot belong to anyone else. A dead one that
  // nobody has waited for shows no environment: its start time must do.
  const auto leader = process_stat(identity.pid);
  const bool same_boot = boot_id() == identity.boot_id;
  const bool same_start = same_boot && leader && leader->start_ticks == identity.start_ticks;
  const bool ours = same_start && (is_dead(*leader) || match(identity, log_file) != Match::kOther);
  const bool stranger = !same_boot || (leader && !ours);
  for_each_process([&](std::int64_t pid) {
    const auto stat = process_stat(pid);
    if (!stat || is_dead(*stat) || stat->start_ticks < identity.start_ticks) return;
    const bool grouped =
        identity.pid > 0 && !stranger && (stat->group == identity.pid || stat->session == identity.pid);
    const bool sure = grouped && ours;
    if (!sure && nonce_of(pid, identity.nonce) != NonceState::kSame && !(grouped && writes_to(pid, log_file))) return;
    members.push_back({.pid = pid, .start_ticks = stat->start_ticks});
  });
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.pid < b.pid; });
  return members;
}

void signal_members(const std::vector<Member>& members, int signal_number) {
  for (const Member& member : members) {
    const Fd pidfd(pidfd_open(member.pid));
    // Checked after the descriptor is held: the number cannot change its owner between the check and the signal.
    const auto stat = process_stat(member.pid);
    if (!stat || stat->start_ticks != member.start_ticks) continue;
    if (pidfd.valid())
      ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal_number, nullptr, 0);
    else if (errno == ENOSYS || errno == EPERM)
      ::kill(static_cast<pid_t>(member.pid), signal_number);
  }
}

Bytes resident_bytes(const std::vector<Member>& members) {
  Bytes sum;
  for (const Member& member : members) {
    for (const std::string& line : split(read_small_file(proc_path(member.pid, "status")).value_or(""), '\n')) {
      const std::size_t colon = line.find(':');
      const std::string_view name = std::string_view(line).substr(0, colon);
      if (name != "RssAnon" && name != "RssShmem") continue;
      const std::string_view rest = trim(std::string_view(line).substr(colon + 1));
      sum += Bytes(parse_u64(rest.substr(0, rest.find(' '))).value_or(0)) * kKiB;
    }
  }
  return sum;
}

Result<Fd> open_pidfd(std::int64_t pid) {
  Fd fd(pidfd_open(pid));
  if (!fd.valid()) return system_error(fmt::format("cannot watch process {}", pid), errno);
  return fd;
}

bool has_ended(const Fd& pidfd) {
  pollfd item{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, 0) > 0;
}

}  // namespace berth::worker
