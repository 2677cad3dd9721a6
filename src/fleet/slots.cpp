#include "fleet/slots.h"

#include <algorithm>
#include <tuple>

#include "base/assert.h"
#include "fleet/snapshot.h"

namespace berth::fleet {
namespace {

auto figures(const Slot& s) { return std::tie(s.ours, s.busy, s.room); }

}  // namespace

bool before(const Slot& a, const Slot& b) {
  if (figures(a) != figures(b)) return figures(a) < figures(b);
  if (a.worker == b.worker || a.worker == nullptr || b.worker == nullptr) return false;
  return a.worker->worker.id < b.worker->worker.id;
}

void add_slots(const WorkerEntry& entry, const DeviceType& type, std::size_t size, std::vector<Slot>& out) {
  const std::size_t devices = devices_of_slot(size);
  if (type.positions.size() < devices || !entry.open()) return;
  const std::uint32_t ours = entry.ours();
  if (devices == 1) {
    for (const auto p : type.positions)
      out.push_back({entry.capacity[p].allocatable, ours, entry.instances[p], &entry});
    return;
  }
  std::vector<Bytes> rooms;
  std::vector<std::uint32_t> busy;
  for (const auto p : type.positions) {
    rooms.push_back(entry.capacity[p].allocatable);
    busy.push_back(entry.instances[p]);
  }
  const auto nth = static_cast<std::ptrdiff_t>(devices - 1);
  std::nth_element(rooms.begin(), rooms.begin() + nth, rooms.end(), std::greater<>());
  std::nth_element(busy.begin(), busy.begin() + nth, busy.end());
  out.push_back({rooms[devices - 1], ours, busy[devices - 1], &entry});
}

SlotList::SlotList(std::vector<Slot> slots) {
  std::sort(slots.begin(), slots.end(), before);
  for (std::size_t from = 0; from < slots.size(); from += kSlotsPerLeaf) {
    const auto first = slots.begin() + static_cast<std::ptrdiff_t>(from);
    const auto last = slots.begin() + static_cast<std::ptrdiff_t>(std::min(from + kSlotsPerLeaf, slots.size()));
    leaves_.push_back(make_leaf({first, last}));
  }
}

SlotList::Leaf SlotList::make_leaf(std::vector<Slot> slots) {
  Bytes most;
  for (const auto& slot : slots) most = std::max(most, slot.room);
  return {slots.front(), most, std::make_shared<const std::vector<Slot>>(std::move(slots))};
}

std::size_t SlotList::size() const {
  std::size_t all = 0;
  for (const auto& leaf : leaves_) all += leaf.slots->size();
  return all;
}

const Slot* SlotList::at(At at) const {
  return at.leaf < leaves_.size() ? &(*leaves_[at.leaf].slots)[at.slot] : nullptr;
}

SlotList::At SlotList::next(At at) const {
  if (at.slot + 1 < leaves_[at.leaf].slots->size()) return {at.leaf, at.slot + 1};
  return {at.leaf + 1, 0};
}

std::size_t SlotList::leaf_for(const Slot& slot) const {
  const auto behind =
      std::partition_point(leaves_.begin(), leaves_.end(), [&](const Leaf& leaf) { return !before(slot, leaf.first); });
  return behind == leaves_.begin() ? 0 : static_cast<std::size_t>(behind - leaves_.begin()) - 1;
}

SlotList::At SlotList::lower_bound(At from, const Slot& slot) const {
  // Equal slots may begin in the leaf before.
  const auto first = leaves_.begin() + from.leaf;
  const auto behind = std::partition_point(first, leaves_.end(), [&](const Leaf& l) { return before(l.first, slot); });
  const auto leaf = behind == first ? first : behind - 1;
  const auto& slots = *leaf->slots;
  const auto begin = slots.begin() + (leaf == first ? from.slot : 0);
  const auto spot = std::lower_bound(begin, slots.end(), slot, before);
  const auto number = static_cast<std::uint32_t>(leaf - leaves_.begin());
  if (spot == slots.end()) return {number + 1, 0};
  return {number, static_cast<std::uint32_t>(spot - slots.begin())};
}

SlotList::At SlotList::fit(At from, Bytes room) const {
  for (const Slot* slot = at(from); slot != nullptr && slot->room < room; slot = at(from)) {
    // Leaves without such a room are passed over whole; in one that has it, the search goes on in this group of equal
    // instances, or at the next.
    if (from.slot == 0 && leaves_[from.leaf].most < room) {
      ++from.leaf;
      continue;
    }
    from = lower_bound(from, {room, slot->ours, slot->busy, nullptr});
  }
  return from;
}

void SlotList::change(std::vector<Slot> gone, std::vector<Slot> come) {
  std::sort(gone.begin(), gone.end(), before);
  std::sort(come.begin(), come.end(), before);
  for (auto next = gone.cbegin(); next != gone.cend();) next = remove(next, gone.cend());
  for (auto next = come.cbegin(); next != come.cend();) next = add(next, come.cend());
}

SlotList::Range SlotList::remove(Range next, Range end) {
  const At at = lower_bound({}, *next);
  ASSERT(at.leaf < leaves_.size());
  std::vector<Slot> left;
  left.reserve(leaves_[at.leaf].slots->size());
  for (const Slot& slot : *leaves_[at.leaf].slots) {
    if (next != end && slot.worker == next->worker && figures(slot) == figures(*next))
      ++next;
    else
      left.push_back(slot);
  }
  ASSERT(left.size() < leaves_[at.leaf].slots->size());
  if (left.empty())
    leaves_.erase(leaves_.begin() + at.leaf);
  else
    leaves_[at.leaf] = make_leaf(std::move(left));
  return next;
}

SlotList::Range SlotList::add(Range next, Range end) {
  if (leaves_.empty()) leaves_.push_back(make_leaf({*next++}));
  if (next == end) return next;
  const std::size_t at = leaf_for(*next);
  auto last = next + 1;
  while (last != end && last - next < static_cast<std::ptrdiff_t>(kSlotsPerLeaf / 2) &&
         (at + 1 == leaves_.size() || before(*last, leaves_[at + 1].first)))
    ++last;
  std::vector<Slot> all;
  const auto& old = *leaves_[at].slots;
  all.reserve(old.size() + static_cast<std::size_t>(last - next));
  std::merge(old.begin(), old.end(), next, last, std::back_inserter(all), before);
  if (all.size() <= kSlotsPerLeaf) {
    leaves_[at] = make_leaf(std::move(all));
    return last;
  }
  const auto half = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  const auto second = make_leaf({half, all.end()});
  leaves_[at] = make_leaf({all.begin(), half});
  leaves_.insert(leaves_.begin() + static_cast<std::ptrdiff_t>(at) + 1, second);
  return last;
}

}  // namespace berth::fleet
