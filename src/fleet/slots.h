#pragma once
// Rooms in the order in which plans on one device, or on a few of one worker, rank: fewest instances of ours on the
// worker, then on the device, then the tightest room. The first that is large enough is found without looking at the
// others.

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace berth::fleet {

struct WorkerEntry;
struct DeviceType;

constexpr std::size_t kSlotsPerLeaf = 64;
/// Slots for one device, and for the smallest of so many with most room: 2, 4 and 8 of one worker.
constexpr std::size_t kSlotSizes = 4;
constexpr std::size_t devices_of_slot(std::size_t size) { return std::size_t(1) << size; }

/// A healthy device of an open worker, or several.
struct Slot {
  Bytes room;              // allocatable on each of the devices, at least
  std::uint32_t ours = 0;  // instances of ours on the worker
  std::uint32_t busy = 0;  // on the device; of several, the fewest that so many devices have each
  const WorkerEntry* worker = nullptr;
};
/// By ours, busy, room and worker id.
bool before(const Slot& a, const Slot& b);
/// Appends the slots of that size on the worker's devices of this type.
void add_slots(const WorkerEntry& entry, const DeviceType& type, std::size_t size, std::vector<Slot>& out);

/// Slots in order, in leaves; a copy shares those that no change has touched.
class SlotList {
 public:
  struct At {
    std::uint32_t leaf = 0;
    std::uint32_t slot = 0;
  };

  SlotList() = default;
  explicit SlotList(std::vector<Slot> slots);

  /// Null behind the last.
  [[nodiscard]] const Slot* at(At at) const;
  [[nodiscard]] At next(At at) const;
  /// The first with at least this room, at `from` or behind.
  [[nodiscard]] At fit(At from, Bytes room) const;

  /// Takes out `gone`, which must be there, and puts `come` in.
  void change(std::vector<Slot> gone, std::vector<Slot> come);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Leaf {
    Slot first;
    Bytes most;  // room
    std::shared_ptr<const std::vector<Slot>> slots;
  };

  using Range = std::vector<Slot>::const_iterator;
  /// The first of them, and those behind it that lie in the same leaf.
  Range remove(Range next, Range end);
  Range add(Range next, Range end);
  static Leaf make_leaf(std::vector<Slot> slots);
  /// The leaf that holds the slot, or would.
  [[nodiscard]] std::size_t leaf_for(const Slot& slot) const;
  /// The first slot that is not before `slot`, at `from` or behind.
  [[nodiscard]] At lower_bound(At from, const Slot& slot) const;

  std::vector<Leaf> leaves_;
};

}  // namespace berth::fleet
