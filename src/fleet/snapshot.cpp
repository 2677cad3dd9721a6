#include "fleet/snapshot.h"

#include <algorithm>
#include <fmt/format.h>

namespace berth::fleet {
namespace {

using Entries = std::vector<FleetSnapshot::Entry>;

std::size_t chunk_for(const std::vector<FleetSnapshot::Chunk>& chunks, std::string_view id) {
  const auto after = std::partition_point(
      chunks.begin(), chunks.end(), [&](const auto& chunk) { return chunk->front()->worker.id <= id; });
  return after == chunks.begin() ? 0 : static_cast<std::size_t>(after - chunks.begin()) - 1;
}

Entries::const_iterator place_in(const Entries& entries, std::string_view id) {
  return std::lower_bound(entries.begin(), entries.end(), id, [](const FleetSnapshot::Entry& e, std::string_view key) {
    return e->worker.id < key;
  });
}

}  // namespace

std::uint32_t WorkerEntry::ours() const {
  return static_cast<std::uint32_t>(std::count_if(
      occupants.begin(), occupants.end(), [](const Occupant& o) { return o.kind != OccupantKind::kForeign; }));
}

Bytes claimable(const DeviceCapacity& c) { return c.total.minus_or_zero(c.reserved + c.foreign); }

Bytes allocatable(const DeviceCapacity& c, Bytes given_back) {
  return claimable(c).minus_or_zero(c.claimed.minus_or_zero(given_back));
}

Result<FleetSnapshot> FleetSnapshot::build(Entries entries, std::set<std::string> not_carried, std::uint64_t revision) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a->worker.id < b->worker.id; });
  std::set<std::pair<std::string, std::string>> names;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& w = entries[i]->worker;
    if (i > 0 && w.id == entries[i - 1]->worker.id) return invalid(fmt::format("two workers have the id \"{}\"", w.id));
    if (!names.emplace(w.cluster, w.name).second)
      return invalid(fmt::format("two workers of cluster \"{}\" have the name \"{}\"", w.cluster, w.name));
  }
  FleetSnapshot s;
  s.not_carried_ = std::move(not_carried);
  s.revision_ = revision;
  s.size_ = entries.size();
  for (std::size_t from = 0; from < entries.size(); from += kChunkWorkers) {
    const auto first = entries.begin() + static_cast<std::ptrdiff_t>(from);
    const auto last = entries.begin() + static_cast<std::ptrdiff_t>(std::min(from + kChunkWorkers, entries.size()));
    s.chunks_.push_back(std::make_shared<const Entries>(first, last));
  }
  for (const auto& e : entries) s.workers_hash_ += e->hash;
  s.index_ = FleetIndex::build(entries);
  return s;
}

FleetSnapshot FleetSnapshot::with(Entry entry) const {
  FleetSnapshot s = *this;
  ++s.revision_;
  s.workers_hash_ += entry->hash;
  s.index_ = index_->with(find(entry->worker.id), entry.get());
  if (chunks_.empty()) {
    s.chunks_.push_back(std::make_shared<const Entries>(1, std::move(entry)));
    s.size_ = 1;
    return s;
  }
  const std::size_t at = chunk_for(chunks_, entry->worker.id);
  Entries copy = *chunks_[at];
  const auto offset = place_in(copy, entry->worker.id) - copy.cbegin();
  const auto spot = copy.begin() + offset;
  if (spot != copy.end() && (*spot)->worker.id == entry->worker.id) {
    s.workers_hash_ -= (*spot)->hash;
    *spot = std::move(entry);
  } else {
    copy.insert(spot, std::move(entry));
    ++s.size_;
  }
  if (copy.size() > kChunkWorkers) {
    const auto half = copy.begin() + static_cast<std::ptrdiff_t>(copy.size() / 2);
    s.chunks_.insert(s.chunks_.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                     std::make_shared<const Entries>(half, copy.end()));
    copy.erase(half, copy.end());
  }
  s.chunks_[at] = std::make_shared<const Entries>(std::move(copy));
  return s;
}

FleetSnapshot FleetSnapshot::without(std::string_view worker_id) const {
  FleetSnapshot s = *this;
  ++s.revision_;
  if (chunks_.empty()) return s;
  const std::size_t at = chunk_for(chunks_, worker_id);
  Entries copy = *chunks_[at];
  const auto offset = place_in(copy, worker_id) - copy.cbegin();
  const auto spot = copy.begin() + offset;
  if (spot == copy.end() || (*spot)->worker.id != worker_id) return s;
  s.workers_hash_ -= (*spot)->hash;
  s.index_ = index_->with(spot->get(), nullptr);
  copy.erase(spot);
  --s.size_;
  if (copy.empty())
    s.chunks_.erase(s.chunks_.begin() + static_cast<std::ptrdiff_t>(at));
  else
    s.chunks_[at] = std::make_shared<const Entries>(std::move(copy));
  return s;
}

const WorkerEntry* FleetSnapshot::find(std::string_view worker_id) const {
  if (chunks_.empty()) return nullptr;
  const Entries& entries = *chunks_[chunk_for(chunks_, worker_id)];
  const auto spot = place_in(entries, worker_id);
  return spot != entries.end() && (*spot)->worker.id == worker_id ? spot->get() : nullptr;
}

const WorkerEntry* FleetSnapshot::find_by_name(std::string_view name) const {
  const WorkerEntry* found = nullptr;
  for_each([&](const WorkerEntry& e) {
    if (found == nullptr && e.worker.name == name) found = &e;
  });
  return found;
}

Hash FleetSnapshot::hash() const {
  Hasher h;
  for (const auto& input : not_carried_) h.add(input);
  h.add(workers_hash_.hi).add(workers_hash_.lo);
  return h.finish();
}

}  // namespace berth::fleet
