#include "worker/detect/host.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <sched.h>
#include <unistd.h>
#include <vector>

#include "base/text.h"
#include "worker/files/fd.h"

namespace berth::worker {
namespace {

constexpr std::size_t kNameMax = 63;
constexpr int kCgroupDepthMax = 32;

std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto text = read_small_file(path);
  return text.has_value() ? parse_u64(trim(*text)) : std::nullopt;
}

/// A field of a "name value" or "Name:  value kB" table, as told.
std::optional<std::uint64_t> field(const std::string& table, std::string_view name) {
  for (const std::string& line : split(table, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size()) continue;
    std::string_view rest(line);
    rest.remove_prefix(name.size());
    if (rest.front() != ' ' && rest.front() != ':' && rest.front() != '\t') continue;
    rest = trim(rest.front() == ':' ? rest.substr(1) : rest);
    return parse_u64(rest.substr(0, rest.find(' ')));
  }
  return std::nullopt;
}

/// Own cgroup folder of a hierarchy and its parents, innermost first. Inside a cgroup namespace the path in
/// /proc/self/cgroup may lie outside what is mounted; then the mount itself is the own group.
std::vector<std::string> lineage(const HostPaths& paths, std::string_view controller, const std::string& mount) {
  std::vector<std::string> folders;
  std::string own = "/";
  for (const std::string& line : split(read_small_file(paths.proc + "/self/cgroup").value_or(""), '\n')) {
    const std::vector<std::string> parts = split(line, ':');
    if (parts.size() < 3) continue;
    const std::vector<std::string> names = split(parts[1], ',');
    const bool v2 = controller.empty() && parts[0] == "0" && parts[1].empty();
    const bool v1 = !controller.empty() && std::find(names.begin(), names.end(), controller) != names.end();
    if (v1 || v2) own = line.substr(parts[0].size() + parts[1].size() + 2);
  }
  for (int depth = 0; depth < kCgroupDepthMax && own.size() > 1 && own.front() == '/'; ++depth) {
    folders.push_back(mount + own);
    own.resize(own.rfind('/'));
  }
  folders.push_back(mount);
  return folders;
}

struct Limit {
  std::uint64_t bytes = 0;
  std::uint64_t used = 0;
};

/// Page cache of the group is given back under pressure: it does not count as used.
std::uint64_t without_cache(std::uint64_t usage, const std::string& stat_file) {
  const std::string table = read_small_file(stat_file).value_or("");
  std::uint64_t cache = 0;
  if (const auto v1 = field(table, "total_inactive_file"))
    cache = sat_add(*v1, field(table, "total_active_file").value_or(0));
  else
    cache = sat_add(field(table, "inactive_file").value_or(0), field(table, "active_file").value_or(0));
  return Bytes(usage).minus_or_zero(Bytes(cache)).value;
}

std::vector<Limit> memory_limits(const HostPaths& paths) {
  std::vector<Limit> limits;
  for (const std::string& folder : lineage(paths, "", paths.cgroup)) {
    const auto max = read_number(folder + "/memory.max");  // "max" is no number
    if (!max) continue;
    const std::uint64_t used = read_number(folder + "/memory.current").value_or(0);
    limits.push_back({*max, without_cache(used, folder + "/memory.stat")});
  }
  for (const std::string& folder : lineage(paths, "memory", paths.cgroup + "/memory")) {
    const auto max = read_number(folder + "/memory.limit_in_bytes");
    if (!max) continue;
    const std::uint64_t used = read_number(folder + "/memory.usage_in_bytes").value_or(0);
    limits.push_back({*max, without_cache(used, folder + "/memory.stat")});
  }
  return limits;
}

/// Whole processors that the quota "quota period" allows; absent without one.
std::optional<std::uint64_t> quota_cpus(std::optional<std::uint64_t> quota, std::optional<std::uint64_t> period) {
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return std::max<std::uint64_t>(1, *quota / *period);
}

std::uint64_t affinity_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return static_cast<std::uint64_t>(CPU_COUNT(&set));
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<std::uint64_t>(online) : 1;
}

std::string arch_name(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64" || machine == "arm64") return "arm64";
  return std::string(machine);
}

}  // namespace

Result<HostMemory> host_memory(const HostPaths& paths) {
  const auto table = read_small_file(paths.proc + "/meminfo");
  if (!table.has_value()) return fail(Code::kUnavailable, table.error().message);
  const auto total = field(*table, "MemTotal");
  if (!total || *total == 0) return invalid(paths.proc + "/meminfo tells no MemTotal");
  auto available = field(*table, "MemAvailable");
  if (!available)  // kernels before 3.14
    available = sat_add(field(*table, "MemFree").value_or(0), field(*table, "Cached").value_or(0));
  HostMemory memory{.total_bytes = Bytes(*total) * kKiB, .available_bytes = Bytes(*available) * kKiB};
  for (const Limit& limit : memory_limits(paths)) {
    if (limit.bytes >= *total * kKiB) continue;  // "no limit" is told as a huge number
    memory.total_bytes = std::min(memory.total_bytes, Bytes(limit.bytes));
    memory.available_bytes = std::min(memory.available_bytes, Bytes(limit.bytes).minus_or_zero(Bytes(limit.used)));
  }
  memory.available_bytes = std::min(memory.available_bytes, memory.total_bytes);
  return memory;
}

Result<Bytes> disk_free(const std::string& path) {
  std::string at = path;
  for (;;) {
    struct statvfs info{};
    if (::statvfs(at.c_str(), &info) == 0) return Bytes(info.f_bavail) * info.f_frsize;
    if (errno != ENOENT || at.size() <= 1) return system_error("cannot tell the free disk of " + path, errno);
    const std::size_t slash = at.rfind('/');
    at = slash == 0 || slash == std::string::npos ? "/" : at.substr(0, slash);
  }
}

std::uint32_t cpu_count(const HostPaths& paths) {
  std::uint64_t count = affinity_count();
  for (const std::string& folder : lineage(paths, "", paths.cgroup)) {
    const std::string text = read_small_file(folder + "/cpu.max").value_or("");
    const std::vector<std::string> parts = split(trim(text), ' ');
    if (parts.size() != 2) continue;
    if (const auto cpus = quota_cpus(parse_u64(parts[0]), parse_u64(parts[1]))) count = std::min(count, *cpus);
  }
  for (const std::string& folder : lineage(paths, "cpu", paths.cgroup + "/cpu")) {
    const auto cpus = quota_cpus(read_number(folder + "/cpu.cfs_quota_us"), read_number(folder + "/cpu.cfs_period_us"));
    if (cpus) count = std::min(count, *cpus);
  }
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, count));
}

std::string worker_name(std::string_view hostname) {
  std::string name;
  for (const char c : to_lower(hostname)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain || ((c == '-' || c == '.') && !name.empty() && name.back() != '.')) {
      name += c;
    } else if (!name.empty() && name.back() != '-' && name.back() != '.') {
      name += '-';
    }
    if (name.size() == kNameMax) break;
  }
  while (!name.empty() && (name.back() == '-' || name.back() == '.')) name.pop_back();
  return name.empty() ? "worker" : name;
}

Result<fleet::Worker> detect_host(const HostPaths& paths) {
  struct utsname system{};
  if (::uname(&system) != 0) return system_error("cannot ask the kernel for its name", errno);
  const std::string hostname = read_small_file(paths.proc + "/sys/kernel/hostname").value_or(system.nodename);
  fleet::Worker worker;
  worker.name = worker_name(trim(hostname));
  worker.os = to_lower(system.sysname);
  worker.arch = arch_name(system.machine);
  TRY(const HostMemory memory, host_memory(paths));
  worker.memory_total_bytes = memory.total_bytes;
  worker.memory_used_bytes = memory.total_bytes.minus_or_zero(memory.available_bytes);
  if (!paths.model_dir.empty()) {
    TRY(worker.disk_free_bytes, disk_free(paths.model_dir));
  }
  return worker;
}

}  // namespace berth::worker
