#pragma once
// Who a process is: pid, start time and a random nonce in its environment. A pid alone is reused.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/result.h"
#include "worker/files/fd.h"

namespace berth::worker {

constexpr const char* kNonceVariable = "BERTH_NONCE";

struct Identity {
  std::int64_t pid = 0;           // also the process group and the session: engines are session leaders
  std::uint64_t start_ticks = 0;  // field 22 of /proc/<pid>/stat
  std::string boot_id;            // ticks count from a boot
  std::string nonce;
};
DESCRIBE(Identity, pid, start_ticks, boot_id, nonce);

/// The fields of /proc/<pid>/stat that matter here.
struct ProcessStat {
  std::int64_t pid = 0;
  char state = '?';  // 'Z': dead, not yet waited for
  std::int64_t group = 0;
  std::int64_t session = 0;
  std::uint64_t start_ticks = 0;
  std::uint64_t cpu_ticks = 0;  // that it has used, in user and kernel mode
};

/// Absent when there is no such process.
std::optional<ProcessStat> process_stat(std::int64_t pid);
/// Reads one line of /proc/<pid>/stat; the command name may hold blanks and parentheses.
std::optional<ProcessStat> parse_process_stat(std::string_view line);
std::string boot_id();
/// 32 hexadecimal digits of the kernel's random numbers.
Result<std::string> random_hex(std::size_t bytes);

enum class Match { kSame, kGone, kOther };

/// Is the process of that identity there? pid and start time must agree, and its environment must carry the nonce. A
/// program that wrote over its environment (to set its title) is known by its standard output instead: it must be
/// `log_file`. kOther: the pid now belongs to someone else; kGone: nobody has it, or it is dead.
Match match(const Identity& identity, const std::string& log_file);

/// The leader with that nonce, where a crash came between start and the writing of the record.
std::optional<Identity> find_by_nonce(const std::string& nonce);

struct Member {
  std::int64_t pid = 0;
  std::uint64_t start_ticks = 0;
};

/// Live processes of an instance: its process group and session, and whoever inherited its nonce, also after setsid.
/// `log_file`: as in match(). Dead ones that nobody has waited for do not count. Sorted by pid.
std::vector<Member> members_of(const Identity& identity, const std::string& log_file);

/// Sends to each member that still is who it was. Never a bare kill(pid).
void signal_members(const std::vector<Member>& members, int signal_number);

/// Memory that only these processes hold: anonymous and shared pages, not pages of mapped files, which the kernel gives
/// back. Consistent with MemTotal − MemAvailable.
Bytes resident_bytes(const std::vector<Member>& members);

/// Descriptor that becomes readable when the process ends. Errors: kNotFound, kNotSupported on kernels before 5.3.
Result<Fd> open_pidfd(std::int64_t pid);
bool has_ended(const Fd& pidfd);

}  // namespace berth::worker
