#pragma once
// NVIDIA devices through the driver's own library, opened at run time: a machine without a driver runs the same binary.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "fleet/device.h"

namespace berth::worker {

constexpr std::uint32_t kDevicesMax = 64;           // per machine; more are noted and left out
constexpr std::uint32_t kDeviceProcessesMax = 512;  // per device

/// Memory that one process holds on one device. `bytes` is absent when the driver does not tell.
struct ProcessUse {
  std::int64_t pid = 0;
  std::string device;  // Device::id
  std::optional<Bytes> bytes;
};

struct DeviceReport {
  std::vector<fleet::Device> devices;
  std::vector<ProcessUse> processes;
  std::vector<std::string> notes;  // why something is missing, for people
};

struct NvidiaOptions {
  std::string library = "libnvidia-ml.so.1";
  std::string pci_devices = "/sys/bus/pci/devices";  // for numa_node
};

/// One opened library. Calls may block while a driver is sick: use from a thread that may wait.
class Nvidia {
 public:
  /// Errors: kNotFound without the library, kUnavailable when the driver does not answer or lacks a function.
  static Result<Nvidia> open(const NvidiaOptions& options);
  Nvidia(Nvidia&&) noexcept;
  Nvidia& operator=(Nvidia&&) noexcept;
  ~Nvidia();

  /// Devices in the driver's order. A device that answers nothing is listed unhealthy where its id is known and noted
  /// where not. MIG: the slices are listed with `partition`, the whole device is not.
  [[nodiscard]] DeviceReport read() const;

 private:
  struct Impl;
  explicit Nvidia(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// open + read; failure to open becomes a note.
DeviceReport detect_nvidia(const NvidiaOptions& options);

}  // namespace berth::worker
