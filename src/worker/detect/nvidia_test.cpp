#include "worker/detect/nvidia.h"

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>

#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

namespace {

NvidiaOptions stand_in(const testing::Folder& folder, const std::string& devices) {
  folder.write("nvml", devices);
  ::setenv("BERTH_FAKE_NVML", folder.path("nvml").c_str(), 1);
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return {.library = (self.parent_path() / "libfake_nvml.so").string(), .pci_devices = folder.path("pci")};
}

bool mentions(const std::vector<std::string>& notes, const std::string& text) {
  for (const std::string& note : notes)
    if (note.find(text) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a machine without the driver's library has no devices and is told why") {
  const DeviceReport report = detect_nvidia({.library = "libberth-no-such-library.so.1"});
  CHECK(report.devices.empty());
  CHECK(mentions(report.notes, "libberth-no-such-library.so.1"));
}

TEST_CASE("devices are read with memory, versions, place and processes") {
  const testing::Folder folder;
  folder.write("pci/0000:3b:00.0/numa_node", "1\n");
  folder.write("pci/0000:5e:00.0/numa_node", "-1\n");
  const NvidiaOptions options =
      stand_in(folder,
               "driver 550.54.15\ncuda 12040\n"
               "device uuid=GPU-a name=NVIDIA_A100_80GB total=85899345920 used=1073741824 cc=8.0 pci=0:3b:0 "
               "use=4321:536870912,99: nvlink=1\n"
               "device uuid=GPU-b name=NVIDIA_A100_80GB total=85899345920 used=0 cc=8.0 pci=0:5e:0 nvlink=1\n"
               "device uuid=GPU-c name=NVIDIA_T4 total=16106127360 used=0 cc=7.5\n");
  const DeviceReport report = detect_nvidia(options);
  CHECK(report.notes.empty());
  REQUIRE(report.devices.size() == 3);
  const fleet::Device& a = report.devices[0];
  CHECK(a.id == "GPU-a");
  CHECK(a.name == "NVIDIA A100 80GB");
  CHECK(a.vendor == "nvidia");
  CHECK(a.framework == "cuda");
  CHECK(a.runtime_version == "12.4");
  CHECK(a.driver_version == "550.54.15");
  CHECK(a.compute_capability == "8.0");
  CHECK(a.memory_total_bytes.value == 85'899'345'920);
  CHECK(a.memory_used_bytes.value == 1'073'741'824);
  CHECK(a.numa_node == 1);
  CHECK(a.health == fleet::Health::kHealthy);
  CHECK_FALSE(report.devices[1].numa_node.has_value());
  CHECK(a.island == "GPU-a");
  CHECK(report.devices[1].island == "GPU-a");
  CHECK_FALSE(report.devices[2].island.has_value());
  REQUIRE(report.processes.size() == 2);
  CHECK(report.processes[0].pid == 4321);
  CHECK(report.processes[0].device == "GPU-a");
  CHECK(report.processes[0].bytes->value == 536'870'912);
  CHECK_FALSE(report.processes[1].bytes.has_value());
}

TEST_CASE("a lost device is unhealthy, one without an id is left out, the others stay") {
  const testing::Folder folder;
  const DeviceReport report = detect_nvidia(stand_in(folder,
                                                     "device uuid=GPU-a name=A total=1000 used=0 fail=memory:15\n"
                                                     "device uuid=GPU-b name=B total=1000 used=0 fail=uuid:999\n"
                                                     "device uuid=GPU-c name=C total=1000 used=0 fail=handle:15\n"
                                                     "device uuid=GPU-d name=D total=1000 used=10\n"));
  REQUIRE(report.devices.size() == 2);
  CHECK(report.devices[0].health == fleet::Health::kUnhealthy);
  CHECK(report.devices[0].memory_total_bytes.value == 0);
  CHECK(report.devices[1].id == "GPU-d");
  CHECK(mentions(report.notes, "GPU-a does not tell its memory"));
  CHECK(mentions(report.notes, "device 1 tells no id"));
  CHECK(mentions(report.notes, "device 2 cannot be opened"));
}

TEST_CASE("a driver that is not loaded is said to be so") {
  const testing::Folder folder;
  const DeviceReport report = detect_nvidia(stand_in(folder, "init 9\n"));
  CHECK(report.devices.empty());
  CHECK(mentions(report.notes, "Driver Not Loaded"));
}

TEST_CASE("slices stand in the place of a device in MIG mode") {
  const testing::Folder folder;
  const DeviceReport report =
      detect_nvidia(stand_in(folder,
                             "device uuid=GPU-a name=NVIDIA_A100 total=40000 used=0 mig=1\n"
                             "device uuid=MIG-1 name=NVIDIA_A100_MIG_1g.5gb total=5000 used=100 use=7:100 slice_of=0\n"
                             "device uuid=GPU-b name=NVIDIA_A100 total=40000 used=0 mig=1\n"));
  REQUIRE(report.devices.size() == 1);
  CHECK(report.devices[0].id == "MIG-1");
  CHECK(report.devices[0].partition == "1g.5gb");
  CHECK(report.devices[0].memory_total_bytes.value == 5000);
  CHECK(report.processes.size() == 1);
  CHECK(mentions(report.notes, "device 1 is in MIG mode and has no slices"));
}

TEST_CASE("an open library tells new figures at each reading") {
  const testing::Folder folder;
  const auto nvidia = Nvidia::open(stand_in(folder, "device uuid=GPU-a name=A total=1000 used=10\n"));
  REQUIRE(nvidia.has_value());
  CHECK(nvidia->read().devices.at(0).memory_used_bytes.value == 10);
  folder.write("nvml", "device uuid=GPU-a name=A total=1000 used=700\n");
  CHECK(nvidia->read().devices.at(0).memory_used_bytes.value == 700);
}

TEST_CASE("a device that does not tell its memory shares the host's") {
  const testing::Folder folder;
  const DeviceReport report = detect_nvidia(stand_in(folder, "device uuid=GPU-a name=GB10 fail=memory:3\n"));
  REQUIRE(report.devices.size() == 1);
  CHECK(report.devices[0].unified_memory);
  CHECK(report.devices[0].health == fleet::Health::kHealthy);
}
