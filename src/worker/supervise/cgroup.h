#pragma once
// One cgroup per instance, where we may make one: what cannot be left by setsid, and is killed as a whole.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::worker {

/// Folders of instances under "<hierarchy>/berth". The hierarchy is the unified one (v2), alone or beside v1
/// ("<root>/unified"), else v1's "pids" or "freezer".
class Cgroups {
 public:
  /// Absent when none may be written: then process groups and nonces must do.
  static std::optional<Cgroups> find(const std::string& root);

  /// Makes the folder of an instance; it may exist. `name` is an instance id.
  [[nodiscard]] Result<std::string> make(const std::string& name) const;
  /// Folders of instances whose name ends in `suffix`.
  [[nodiscard]] std::vector<std::string> ending_in(const std::string& suffix) const;
  [[nodiscard]] const std::string& base() const { return base_; }

 private:
  explicit Cgroups(std::string base) : base_(std::move(base)) {}
  std::string base_;
};

/// Live processes in the cgroup and those below; empty when the folder is gone.
std::vector<std::int64_t> cgroup_processes(const std::string& folder);
/// Kills every process in it: cgroup.kill where the kernel has it, else one by one; call again until it is empty.
void cgroup_kill(const std::string& folder);
/// Removes the folder and those below; false while processes are inside.
bool cgroup_remove(const std::string& folder);

}  // namespace berth::worker
