#include "worker/detect/host.h"

#include <doctest/doctest.h>

#include "base/text.h"
#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

namespace {

constexpr const char* kMeminfo =
    "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:   12000000 kB\nCached:          2000000 "
    "kB\n";

HostPaths machine(const testing::Folder& folder) {
  folder.write("proc/meminfo", kMeminfo);
  return {.proc = folder.path("proc"), .cgroup = folder.path("cgroup"), .model_dir = ""};
}

}  // namespace

TEST_CASE("host memory is total and available of the kernel's table") {
  const testing::Folder folder;
  const auto memory = host_memory(machine(folder));
  REQUIRE(memory.has_value());
  CHECK(memory->total_bytes.value == 16'000'000 * kKiB);
  CHECK(memory->available_bytes.value == 12'000'000 * kKiB);
}

TEST_CASE("a limit of an outer cgroup counts, and the page cache in it is available") {
  const testing::Folder folder;
  const HostPaths paths = machine(folder);
  folder.write("proc/self/cgroup", "0::/box/inner\n");
  folder.write("cgroup/box/inner/memory.max", "max\n");
  folder.write("cgroup/box/memory.max", "4000000000\n");
  folder.write("cgroup/box/memory.current", "3000000000\n");
  folder.write("cgroup/box/memory.stat", "anon 1000000000\ninactive_file 1500000000\nactive_file 500000000\n");
  const auto memory = host_memory(paths);
  REQUIRE(memory.has_value());
  CHECK(memory->total_bytes.value == 4'000'000'000);
  CHECK(memory->available_bytes.value == 3'000'000'000);
}

TEST_CASE("version 1 limits count too, also where the own path is not mounted") {
  const testing::Folder folder;
  const HostPaths paths = machine(folder);
  folder.write("proc/self/cgroup", "4:memory:/docker/0123\n2:cpu,cpuacct:/docker/0123\n");
  folder.write("cgroup/memory/memory.limit_in_bytes", "2000000000\n");
  folder.write("cgroup/memory/memory.usage_in_bytes", "500000000\n");
  folder.write("cgroup/memory/memory.stat", "total_inactive_file 100000000\ntotal_active_file 0\n");
  folder.write("cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  folder.write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const auto memory = host_memory(paths);
  REQUIRE(memory.has_value());
  CHECK(memory->total_bytes.value == 2'000'000'000);
  CHECK(memory->available_bytes.value == 1'600'000'000);
  CHECK(cpu_count(paths) == 1);
}

TEST_CASE("an absurd limit is no limit, and an unreadable table is an error") {
  const testing::Folder folder;
  HostPaths paths = machine(folder);
  folder.write("proc/self/cgroup", "4:memory:/\n");
  folder.write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(host_memory(paths)->total_bytes.value == 16'000'000 * kKiB);
  folder.write("proc/meminfo", "MemTotal: much\n");
  CHECK(host_memory(paths).error().code == Code::kInvalid);
  paths.proc = folder.path("none");
  CHECK(host_memory(paths).error().code == Code::kUnavailable);
}

TEST_CASE("host names become worker names") {
  CHECK(worker_name("Node 7.example.com") == "node-7.example.com");
  CHECK(worker_name("gpu_box--A") == "gpu-box--a");
  CHECK(worker_name("..-") == "worker");
  CHECK(worker_name("") == "worker");
  CHECK(worker_name(std::string(200, 'a')).size() == 63);
  for (const char* name : {"x y", "Ä", "-a-", "a..b", "10.0.0.1"}) {
    CAPTURE(name);
    CHECK(is_name(worker_name(name)));
  }
}

TEST_CASE("this machine is detected") {
  const auto worker = detect_host({.model_dir = "/tmp/berth-folder-that-is-not-there/models"});
  REQUIRE(worker.has_value());
  CHECK(worker->os == "linux");
  CHECK((worker->arch == "amd64" || worker->arch == "arm64"));
  CHECK(worker->memory_total_bytes.value > 64 * kMiB);
  CHECK(worker->memory_used_bytes < worker->memory_total_bytes);
  REQUIRE(worker->disk_free_bytes.has_value());
  CHECK(worker->disk_free_bytes->value > 0);
  CHECK(is_name(worker->name));
  CHECK(cpu_count({}) >= 1);
}
