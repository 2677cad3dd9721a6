#pragma once
// Starting an engine: own session, own user, no inherited environment, descriptors or privileges. Never a shell.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "worker/supervise/identity.h"

namespace berth::worker {

/// Who engines run as. `switches`: we are root and change to it; else it is ourselves.
struct EngineUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  bool switches = false;
};

/// As root: the user of that name, which must not be root. As anyone else: ourselves, whatever the name.
/// Errors: kNotFound saying how to make the user, kForbidden when it is root.
Result<EngineUser> engine_user(const std::string& name);

struct ProcessSpec {
  std::vector<std::string> argv;                   // argv[0] is an absolute path
  std::map<std::string, std::string> environment;  // complete; BERTH_NONCE is added
  EngineUser user;
  std::string folder = "/";  // working directory
  std::string log_file;      // standard output and error are appended; made with mode 0600
  std::string cgroup;        // folder of the instance's cgroup; empty: none
  std::string nonce;
  std::uint64_t open_files_max = 65'536;
};

/// Starts the program and returns when the kernel has accepted it (execve succeeded). It is a child of this process but
/// leads its own session: it survives us. Errors: kInvalid, kNotFound, kForbidden with the step and path that failed.
Result<Identity> spawn(const ProcessSpec& spec);

struct ExitStatus {
  std::optional<int> status;
  std::optional<int> signal;
};

/// The exit status of a child that has ended, which stays a zombie: its number, and its group's, cannot be reused until
/// take_exit. Absent while it runs, or when it is not our child.
std::optional<ExitStatus> peek_exit(std::int64_t pid);
/// The same, and lets go of the child.
std::optional<ExitStatus> take_exit(std::int64_t pid);

struct Captured {
  std::string output;  // standard output and error, cut at bytes_max
  ExitStatus exit;
};

/// Runs a program to its end or to the deadline, then kills its group. Errors: kTimeout, and those of spawn.
Result<Captured> run_captured(const ProcessSpec& spec, Duration deadline, std::size_t bytes_max);

}  // namespace berth::worker
