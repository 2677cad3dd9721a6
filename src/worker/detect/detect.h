#pragma once
// All that a worker tells of its machine, in one call.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/device.h"
#include "worker/detect/host.h"
#include "worker/detect/nvidia.h"
#include "worker/detect/programs.h"

namespace berth::worker {

struct DetectOptions {
  HostPaths host;
  NvidiaOptions nvidia;
  EngineSearch engines;
  std::string engine_user = "berth-engine";
};

struct Detection {
  fleet::Worker worker;
  std::vector<ProcessUse> processes;
  std::vector<std::string> notes;
};

/// Full detection, at start and on demand: starts programs to ask their version. Blocks for seconds.
Result<Detection> detect(const DetectOptions& options, const engines::EngineCatalog& catalog);

/// What moves between heartbeats.
struct Usage {
  Bytes memory_total_bytes;
  Bytes memory_available_bytes;
  std::optional<Bytes> disk_free_bytes;
  std::vector<fleet::Device> devices;
  std::vector<ProcessUse> processes;
};

/// The worker's eyes on its machine; tests have their own.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual Result<Usage> look() = 0;
};

/// Reads /proc, the disk and the driver; keeps the driver's library open. One thread at a time.
std::unique_ptr<Observer> make_observer(HostPaths host, const NvidiaOptions& nvidia);

}  // namespace berth::worker
