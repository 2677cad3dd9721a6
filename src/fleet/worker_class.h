#pragma once
// What many workers of a fleet share: the static facts that rules look at, without names, labels and bytes in use.

#include <cstdint>
#include <string>
#include <vector>

#include "base/hash.h"
#include "fleet/device.h"

namespace berth::fleet {

/// What the devices are like, as far as it changes bytes.
struct DeviceTraits {
  std::string framework;  // "cuda", "metal", …; the per-process runtime constant depends on it
  bool unified_memory = false;

  friend bool operator==(const DeviceTraits&, const DeviceTraits&) = default;
};

/// Devices of a worker that no rule can tell apart, or its CPU.
struct DeviceType {
  bool cpu = false;
  std::vector<std::uint16_t> positions;  // in Worker::devices, all healthy
  std::vector<std::uint16_t> unhealthy;
  DeviceTraits traits;
  std::string vendor;
  std::string title;  // "NVIDIA A100 80GB", "CPU"
  Bytes total;        // of each device
  Hash kind;          // of all that a static rule may look at: equal kinds, equal answers

  /// In Worker::devices; there is one unless this is the CPU.
  [[nodiscard]] std::uint16_t any() const { return positions.empty() ? unhealthy.front() : positions.front(); }
};

/// Types of one worker, CPU last. Workers with one types_key have the same. A rule that looks at more than enters
/// DeviceType::kind must add it there.
std::vector<DeviceType> device_types(const Worker& worker);

}  // namespace berth::fleet
