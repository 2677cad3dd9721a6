#pragma once
// The index of a snapshot (DESIGN §2): workers of one class in blocks, the largest rooms of each block side by side. A
// search looks at lanes first and at workers only where a lane says that it may find room. It follows from the entries
// alone: with and without it, every answer is the same.

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "fleet/slots.h"
#include "fleet/worker_class.h"

namespace berth::fleet {

struct WorkerEntry;

constexpr std::size_t kBlockWorkers = 64;
constexpr std::size_t kPageBlocks = 32;
constexpr std::size_t kLaneTops = 16;

/// Workers with one types_key.
struct WorkerClass {
  Hash key;
  std::vector<DeviceType> types;  // CPU last
  bool simulated = false;
  std::size_t first_type = 0;  // number of the first of its types, among those of all classes
};

/// The slots of one type of a class, of each size.
using TypeSlots = std::array<SlotList, kSlotSizes>;
/// By the number that hash_file() gives a model file: who has it.
struct FileHolder {
  std::uint64_t file = 0;
  std::uint32_t worker = 0;  // in IndexBlock::workers

  friend auto operator<=>(const FileHolder&, const FileHolder&) = default;
};
/// Two files may have the same number: who counts on it looks at the worker's own list.
std::uint64_t hash_file(std::string_view key);

/// Workers of one class next to each other in the order of their ids, and their figures side by side.
struct IndexBlock {
  std::uint32_t cls = 0;  // number in FleetIndex
  std::vector<const WorkerEntry*> workers;
  std::vector<std::uint32_t> ours;        // instances of ours on each
  std::vector<std::uint8_t> shut;         // not ready, or cordoned
  std::vector<std::vector<Bytes>> rooms;  // per type, worker by worker: allocatable of the healthy, most first
  std::vector<FileHolder> files;          // of all workers, sorted

  /// Most allocatable first; those of the CPU are none.
  [[nodiscard]] std::span<const Bytes> rooms_of(std::size_t type, std::size_t worker) const {
    const std::size_t each = rooms[type].size() / workers.size();
    return std::span(rooms[type]).subspan(worker * each, each);
  }
};

/// One device type of one block. Workers that are shut do not count.
struct Lane {
  const IndexBlock* block = nullptr;
  std::uint32_t cls = 0;
  std::uint16_t type = 0;               // in WorkerClass::types
  std::uint16_t devices = 0;            // of the type, on each worker
  std::uint32_t ours = UINT32_MAX;      // fewest instances of ours on a worker; without an open worker, none
  std::array<Bytes, kLaneTops> tops{};  // [g]: the largest (g + 1)-th largest room of a worker
  Bytes sum;                            // most that the rooms of a worker come to
  Bytes memory;                         // most allocatable host RAM

  [[nodiscard]] bool open() const { return ours != UINT32_MAX; }
};

class FleetIndex {
 public:
  /// `entries` in the order of their ids; they must outlive the index.
  static std::shared_ptr<const FleetIndex> build(std::span<const std::shared_ptr<const WorkerEntry>> entries);
  /// With `fresh` in place of `old`, which has the same id; either may be null.
  [[nodiscard]] std::shared_ptr<const FleetIndex> with(const WorkerEntry* old, const WorkerEntry* fresh) const;

  /// Calls f(const Lane&), class by class.
  template <class F>
  void each_lane(F&& f) const {
    for (const auto& page : pages_)
      for (const auto& lane : page->lanes) f(lane);
  }
  /// Numbers stay what they are while an index is changed by with(); a class may have no worker left.
  [[nodiscard]] const WorkerClass& worker_class(std::size_t number) const { return *classes_->list[number]; }
  [[nodiscard]] std::size_t class_count() const { return classes_->list.size(); }
  /// Types of all classes.
  [[nodiscard]] std::size_t type_count() const { return type_count_; }
  /// Of a type of that class, in WorkerClass::types; those of the CPU are empty.
  [[nodiscard]] const TypeSlots& slots(std::size_t number, std::size_t type) const { return (*slots_[number])[type]; }

 private:
  using Block = std::shared_ptr<const IndexBlock>;
  using Workers = std::vector<const WorkerEntry*>;
  struct Classes {
    std::vector<std::shared_ptr<const WorkerClass>> list;
    std::vector<std::pair<Hash, std::uint32_t>> numbers;  // by key
  };
  struct Page {
    std::vector<Block> blocks;
    std::vector<Lane> lanes;  // block by block
  };
  struct Place {
    std::size_t page = 0;
    std::size_t block = 0;
  };

  std::uint32_t number_of(const WorkerEntry& entry);
  [[nodiscard]] std::optional<std::uint32_t> find_class(const Hash& key) const;
  /// The block of the class that holds this id or would; nothing when the class has no worker.
  [[nodiscard]] std::optional<Place> block_for(std::uint32_t cls, const std::string& id) const;
  [[nodiscard]] Block make_block(std::uint32_t cls, Workers workers) const;
  /// The block with another entry in place of the worker at `changed`.
  [[nodiscard]] Block make_block(const IndexBlock& before, std::size_t changed, const WorkerEntry& fresh) const;
  [[nodiscard]] std::shared_ptr<const Page> make_page(std::vector<Block> blocks) const;
  /// In place of the block there; none when empty, two when too many.
  void replace(Place place, Workers workers, std::uint32_t cls);
  void set_block(Place place, Block block);
  void exchange(Place place, const WorkerEntry& old, const WorkerEntry& fresh);
  void append(std::uint32_t cls, Workers workers);
  void add(const WorkerEntry& entry);
  void remove(const WorkerEntry& entry);

  [[nodiscard]] std::shared_ptr<const std::vector<TypeSlots>> make_slots(std::uint32_t cls,
                                                                         const Workers& workers) const;
  void exchange_slots(std::uint32_t cls, const WorkerEntry* old, const WorkerEntry* fresh);

  std::size_t type_count_ = 0;
  std::shared_ptr<const Classes> classes_ = std::make_shared<const Classes>();
  std::vector<std::shared_ptr<const std::vector<TypeSlots>>> slots_;  // by class, then by type
  std::vector<std::shared_ptr<const Page>> pages_;                    // blocks by class, then by id
};

}  // namespace berth::fleet
