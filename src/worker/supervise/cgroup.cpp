#include "worker/supervise/cgroup.h"

#include <sys/stat.h>

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "worker/files/fd.h"

namespace berth::worker {
namespace {

constexpr int kDepthMax = 16;
constexpr std::size_t kMembersBytesMax = 4 * 1024 * 1024;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) return found;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") found.push_back(folder + "/" + std::string(name));
  }
  return found;
}

void collect(const std::string& folder, int depth, std::vector<std::int64_t>& pids) {
  const auto text = read_small_file(folder + "/cgroup.procs", kMembersBytesMax);
  for (const std::string& line : split(text.value_or(""), '\n'))
    if (const auto pid = parse_u64(trim(line))) pids.push_back(static_cast<std::int64_t>(*pid));
  if (depth < kDepthMax)
    for (const std::string& child : folders_in(folder)) collect(child, depth + 1, pids);
}

bool remove_from(const std::string& folder, int depth) {
  if (depth < kDepthMax)
    for (const std::string& child : folders_in(folder)) remove_from(child, depth + 1);
  return ::rmdir(folder.c_str()) == 0 || errno == ENOENT;
}

bool write_text(const std::string& path, std::string_view text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

}  // namespace

std::optional<Cgroups> Cgroups::find(const std::string& root) {
  if (root.empty()) return std::nullopt;
  std::vector<std::string> hierarchies;
  for (const std::string& unified : {root, root + "/unified"})
    if (exists(unified + "/cgroup.controllers")) hierarchies.push_back(unified);
  for (const std::string& v1 : {root + "/pids", root + "/freezer"})
    if (exists(v1 + "/cgroup.procs")) hierarchies.push_back(v1);
  for (const std::string& hierarchy : hierarchies) {
    const std::string base = hierarchy + "/berth";
    if (::mkdir(base.c_str(), 0755) != 0 && errno != EEXIST) continue;
    if (::access((base + "/cgroup.procs").c_str(), W_OK) == 0) return Cgroups(base);
  }
  return std::nullopt;
}

Result<std::string> Cgroups::make(const std::string& name) const {
  std::string folder = base_ + "/" + name;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return system_error("cannot make cgroup " + folder, errno);
  return folder;
}

std::vector<std::string> Cgroups::ending_in(const std::string& suffix) const {
  std::vector<std::string> found;
  for (std::string& folder : folders_in(base_))
    if (folder.ends_with(suffix)) found.push_back(std::move(folder));
  return found;
}

std::vector<std::int64_t> cgroup_processes(const std::string& folder) {
  std::vector<std::int64_t> pids;
  if (!folder.empty()) collect(folder, 0, pids);
  return pids;
}

void cgroup_kill(const std::string& folder) {
  if (folder.empty() || write_text(folder + "/cgroup.kill", "1")) return;
  for (const std::int64_t pid : cgroup_processes(folder))
    if (pid > 1) ::kill(static_cast<pid_t>(pid), SIGKILL);
}

bool cgroup_remove(const std::string& folder) { return folder.empty() || remove_from(folder, 0); }

}  // namespace berth::worker
