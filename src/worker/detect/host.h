#pragma once
// The machine itself: memory, disk, processors, name. A limit of the container or cgroup that the worker runs in counts
// as the machine's size: what is beyond cannot be used.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "fleet/device.h"

namespace berth::worker {

/// Where to look. Tests give folders with files of their own.
struct HostPaths {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
  std::string model_dir;  // disk_free_bytes is that of its file system; empty: not told
};

struct HostMemory {
  Bytes total_bytes;      // RAM, or the tightest memory limit of the own cgroups when that is less
  Bytes available_bytes;  // MemAvailable, or what the tightest limit leaves
};

/// Errors: kUnavailable when /proc/meminfo cannot be read, kInvalid when it lacks MemTotal.
Result<HostMemory> host_memory(const HostPaths& paths);

/// Bytes an ordinary user may still write on the file system of `path`, or of its nearest parent that exists.
Result<Bytes> disk_free(const std::string& path);

/// Processors the worker may use: affinity, cut by a cgroup quota; at least 1.
std::uint32_t cpu_count(const HostPaths& paths);

/// "Node 7.example.com" → "node-7.example.com": lower case, only a–z 0–9 '-' '.', 63 at most; "worker" when nothing is
/// left.
std::string worker_name(std::string_view hostname);

/// Name, OS, architecture, memory, disk. Devices and engines are not filled here (detect.h).
Result<fleet::Worker> detect_host(const HostPaths& paths);

}  // namespace berth::worker
