#pragma once
// Hardware as a worker reports it. Everything here is a plain value; names are the wire names.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/time.h"

namespace berth::fleet {

/// What the driver and our probes say of a device's fitness.
enum class Health { kHealthy, kUnhealthy, kUnknown };
DESCRIBE_ENUM(Health, kHealthy, kUnhealthy, kUnknown)

/// An accelerator. The CPU of a worker is not a device: engines that run on it need no device.
struct Device {
  std::string id;                                 // stable: UUID, or vendor/serial; unique inside the worker
  int index = 0;                                  // display only: moves between boots
  std::string name;                               // "NVIDIA A100 80GB"
  std::string vendor;                             // "nvidia", "amd", "ascend", "apple", … lower case
  std::string framework;                          // "cuda", "rocm", "cann", "metal", …: what engines are built for
  std::optional<std::string> runtime_version;     // "12.4"
  std::optional<std::string> driver_version;      // "550.54"
  std::optional<std::string> compute_capability;  // "8.0"; chip variant ("910b3") for vendors without one
  Bytes memory_total_bytes;                       // as the driver tells; the working-set cap on unified memory
  Bytes memory_used_bytes;                        // by anyone, at the last report
  bool unified_memory = false;                    // shares the worker's RAM
  std::optional<std::string> island;              // devices of one island have the fast interconnect
  std::optional<int> numa_node;
  Health health = Health::kHealthy;
  std::optional<std::string> partition;  // MIG or vNPU profile, when the device is a slice
};
DESCRIBE(Device,
         id,
         index,
         name,
         vendor,
         framework,
         runtime_version,
         driver_version,
         compute_capability,
         memory_total_bytes,
         memory_used_bytes,
         unified_memory,
         island,
         numa_node,
         health,
         partition);

enum class WorkerState { kReady, kNotReady, kUnreachable, kPending };
DESCRIBE_ENUM(WorkerState, kReady, kNotReady, kUnreachable, kPending)

/// An engine that a worker has.
struct EngineInstall {
  std::string engine;   // catalog id: "llama.cpp", "vllm", …
  std::string version;  // "11434"; empty when the binary does not tell
};
DESCRIBE(EngineInstall, engine, version);

/// A machine. What a source never carries stays absent and is listed in FleetSnapshot's `not_carried` (DESIGN §1).
struct Worker {
  std::string id;    // server-issued; equals the name in fleet files that give none
  std::string name;  // unique in the cluster, a DNS-like label
  std::string cluster = "default";
  std::string os;    // "linux", "darwin", "windows"
  std::string arch;  // "amd64", "arm64"
  WorkerState state = WorkerState::kReady;
  std::optional<std::string> state_reason;  // "no heartbeat"
  std::optional<Time> last_report_at;       // when the figures below were true
  std::map<std::string, std::string> labels;
  bool cordoned = false;
  Bytes memory_total_bytes;  // host RAM
  Bytes memory_used_bytes;
  Bytes reserved_memory_bytes;         // kept free of our claims, host
  Bytes reserved_device_memory_bytes;  // kept free of our claims, on each device
  std::optional<Bytes> disk_free_bytes;
  std::optional<std::vector<EngineInstall>> engines;  // absent: the source does not carry it
  std::optional<std::string> container_runtime;       // "docker", "podman"; absent: none or not carried
  std::vector<std::string> model_files;               // content ids of model files present
  std::vector<Device> devices;
  bool simulated = false;  // from a profile: accepts plans, starts nothing
};
DESCRIBE(Worker,
         id,
         name,
         cluster,
         os,
         arch,
         state,
         state_reason,
         last_report_at,
         labels,
         cordoned,
         memory_total_bytes,
         memory_used_bytes,
         reserved_memory_bytes,
         reserved_device_memory_bytes,
         disk_free_bytes,
         engines,
         container_runtime,
         model_files,
         devices,
         simulated);

/// Bytes taken on one device.
struct DeviceClaim {
  std::string device;
  Bytes bytes;
};
DESCRIBE(DeviceClaim, device, bytes);

/// What one instance may use on one worker.
struct Claim {
  std::string worker;
  std::vector<DeviceClaim> devices;  // sorted by device id
  Bytes memory_bytes;                // host RAM
  Bytes disk_bytes;
};
DESCRIBE(Claim, worker, devices, memory_bytes, disk_bytes);

enum class OccupantKind { kInstance, kForeign, kOrphan };
DESCRIBE_ENUM(OccupantKind, kInstance, kForeign, kOrphan)

/// Whoever holds memory on a worker: our instances (claim and measured use), strangers, orphans.
struct Occupant {
  OccupantKind kind = OccupantKind::kInstance;
  std::string id;          // instance id, or "pid:…"
  std::string deployment;  // id of the deployment; empty for strangers
  int priority = 0;
  bool running = false;   // holds memory now, so that its use is inside the device's `used`
  bool stopping = false;  // on its way out: the first to be named as a holder
  Claim claim;
  std::vector<DeviceClaim> observed;  // measured use by device; empty when nobody could tell
  std::optional<Bytes> observed_memory_bytes;
};
DESCRIBE(Occupant, kind, id, deployment, priority, running, stopping, claim, observed, observed_memory_bytes);

}  // namespace berth::fleet
