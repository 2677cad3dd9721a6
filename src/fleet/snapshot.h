#pragma once
// FleetSnapshot: the immutable picture every decision is made on.
//
// Workers live in copy-on-write chunks of at most kChunkWorkers, sorted by worker id, so that the snapshot after one
// claim shares all other chunks with the one before. The content hash is the sum of the workers' hashes: a snapshot
// reached by updates and one built cold from the same content have equal hashes (DESIGN §1, invariant 13).

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "fleet/device.h"
#include "fleet/index.h"

namespace berth::fleet {

/// Figures of one device after the sums of DESIGN §1. All bytes; `allocatable` is 0 when overcommitted.
///   allocatable = sat(total − reserved − Σ max(claim, observed) − foreign)
///   foreign     = sat(used − Σ observed − Σ claim of running instances whose use cannot be attributed), up to 64 MiB
struct DeviceCapacity {
  Bytes total;
  Bytes reserved;
  Bytes claimed;  // Σ max(claim, observed) of our instances
  Bytes foreign;
  Bytes allocatable;
  bool overcommitted = false;
};
DESCRIBE(DeviceCapacity, total, reserved, claimed, foreign, allocatable, overcommitted);

/// What all claims together may come to: sat(total − reserved − foreign). Decisions and the transaction that writes a
/// claim both start from it.
Bytes claimable(const DeviceCapacity& capacity);
/// What is left of it for one more, `given_back` of the claims counted as gone.
Bytes allocatable(const DeviceCapacity& capacity, Bytes given_back = {});

/// What an occupant holds on a device that the worker does not have.
struct LostClaim {
  std::string occupant;
  std::string device;
  Bytes bytes;
};
DESCRIBE(LostClaim, occupant, device, bytes);

/// What one of ours takes of one device: the larger of claim and measured use.
struct Holding {
  std::uint32_t occupant = 0;  // position in WorkerEntry::occupants
  std::uint32_t device = 0;    // position in Worker::devices
  Bytes bytes;
};

/// A worker with its occupants and everything derived from them. Immutable once built.
struct WorkerEntry {
  Worker worker;                         // devices sorted by id
  std::vector<Occupant> occupants;       // sorted by id
  std::vector<DeviceCapacity> capacity;  // parallel to worker.devices
  DeviceCapacity memory;                 // host RAM; on unified memory the pool shared with the devices
  std::vector<std::uint32_t> instances;  // ours, per device: how many hold a claim there
  std::vector<Holding> held;             // by occupant, then device; strangers have none
  bool unified = false;                  // some device shares the RAM: device claims also count in `memory`
  std::vector<LostClaim> lost;           // dropped from the occupants: it counts against nothing that is there
  Hash hash;                             // of worker and occupants
  Hash types_key;                        // of what the static facts say of engines and devices, without the RAM
  Hash class_key;                        // of the static facts without names, labels and bytes in use (DESIGN §2)

  /// Ready and not cordoned.
  [[nodiscard]] bool open() const { return worker.state == WorkerState::kReady && !worker.cordoned; }
  /// Instances of ours.
  [[nodiscard]] std::uint32_t ours() const;
};

/// Foreign use enters rounded up to this step, so that drift of a few MiB makes no new revision.
constexpr std::uint64_t kForeignStepBytes = 64 * kMiB;
constexpr std::size_t kChunkWorkers = 64;

/// Sorts devices and occupants, checks them and derives the rest. Claims and readings on devices that the worker does
/// not have go to `lost`: a device may vanish under an instance. Errors: kInvalid naming worker and field: duplicate
/// device ids, more than kDevicesMax devices, empty id.
Result<std::shared_ptr<const WorkerEntry>> make_entry(Worker worker, std::vector<Occupant> occupants);
constexpr std::size_t kDevicesMax = 256;
/// The same worker with others on it, as make_entry() would make it.
Result<std::shared_ptr<const WorkerEntry>> with_occupants(const WorkerEntry& entry, std::vector<Occupant> occupants);

class FleetSnapshot {
 public:
  using Entry = std::shared_ptr<const WorkerEntry>;
  using Chunk = std::shared_ptr<const std::vector<Entry>>;

  FleetSnapshot() = default;
  /// Errors: kInvalid on duplicate worker ids or names in one cluster. `not_carried`: rule inputs that the source never
  /// has, out of {"engines", "disk", "health", "interconnect", "files", "os", "arch", "runtime_version",
  /// "driver_version", "compute_capability"}.
  static Result<FleetSnapshot> build(std::vector<Entry> entries,
                                     std::set<std::string> not_carried = {},
                                     std::uint64_t revision = 0);

  /// A new snapshot with this worker added or replaced; O(chunk + number of chunks).
  [[nodiscard]] FleetSnapshot with(Entry entry) const;
  [[nodiscard]] FleetSnapshot without(std::string_view worker_id) const;

  [[nodiscard]] const std::vector<Chunk>& chunks() const { return chunks_; }
  /// Of the same workers.
  [[nodiscard]] const FleetIndex& index() const { return *index_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  /// Null when there is none.
  [[nodiscard]] const WorkerEntry* find(std::string_view worker_id) const;
  [[nodiscard]] const WorkerEntry* find_by_name(std::string_view name) const;
  [[nodiscard]] bool carries(std::string_view input) const { return !not_carried_.contains(std::string(input)); }
  [[nodiscard]] const std::set<std::string>& not_carried() const { return not_carried_; }
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  [[nodiscard]] Hash hash() const;

  /// Calls `f(const WorkerEntry&)` in id order.
  template <class F>
  void for_each(F&& f) const {
    for (const auto& chunk : chunks_)
      for (const auto& entry : *chunk) f(*entry);
  }

 private:
  std::vector<Chunk> chunks_;
  std::shared_ptr<const FleetIndex> index_ = std::make_shared<const FleetIndex>();
  std::size_t size_ = 0;
  std::set<std::string> not_carried_;
  std::uint64_t revision_ = 0;
  Hash workers_hash_;
};

/// The device's position in entry.worker.devices, or npos.
std::size_t device_position(const WorkerEntry& entry, std::string_view device_id);

}  // namespace berth::fleet
