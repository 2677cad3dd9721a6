#include "fleet/index.h"

#include <algorithm>

#include "base/assert.h"
#include "fleet/snapshot.h"

namespace berth::fleet {
namespace {

using Workers = std::vector<const WorkerEntry*>;

Lane lane_of(const IndexBlock& block, std::size_t type, const WorkerClass& cls) {
  Lane lane;
  lane.block = &block;
  lane.cls = block.cls;
  lane.type = static_cast<std::uint16_t>(type);
  lane.devices = static_cast<std::uint16_t>(cls.types[type].positions.size());
  for (std::size_t w = 0; w < block.workers.size(); ++w) {
    if (block.shut[w] != 0) continue;
    lane.ours = std::min(lane.ours, block.ours[w]);
    lane.memory = std::max(lane.memory, block.workers[w]->memory.allocatable);
    Bytes sum;
    const auto rooms = block.rooms_of(type, w);
    for (std::size_t g = 0; g < rooms.size(); ++g) {
      sum += rooms[g];
      if (g < kLaneTops) lane.tops[g] = std::max(lane.tops[g], rooms[g]);
    }
    lane.sum = std::max(lane.sum, sum);
  }
  return lane;
}

/// The figures of the worker at `w`, which is in its place.
void enter(IndexBlock& block, const std::vector<DeviceType>& types, std::size_t w) {
  const WorkerEntry& e = *block.workers[w];
  block.ours[w] = e.ours();
  block.shut[w] = e.open() ? 0 : 1;
  for (std::size_t t = 0; t < types.size(); ++t) {
    const auto& positions = types[t].positions;
    const auto rooms = std::span(block.rooms[t]).subspan(w * positions.size(), positions.size());
    for (std::size_t i = 0; i < positions.size(); ++i) rooms[i] = e.capacity[positions[i]].allocatable;
    std::sort(rooms.begin(), rooms.end(), std::greater<>());
  }
}

void enter_files(IndexBlock& block) {
  block.files.clear();
  for (std::size_t w = 0; w < block.workers.size(); ++w)
    for (const auto& file : block.workers[w]->worker.model_files)
      block.files.push_back({hash_file(file), static_cast<std::uint32_t>(w)});
  std::sort(block.files.begin(), block.files.end());
}

Workers::iterator place_in(Workers& workers, const std::string& id) {
  return std::lower_bound(workers.begin(), workers.end(), id, [](const WorkerEntry* e, const std::string& key) {
    return e->worker.id < key;
  });
}

std::pair<Workers, Workers> halves(const Workers& all) {
  const auto half = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  return {Workers(all.begin(), half), Workers(half, all.end())};
}

}  // namespace

std::uint64_t hash_file(std::string_view key) { return Hasher().add(key).finish().hi; }

FleetIndex::Block FleetIndex::make_block(std::uint32_t number, Workers workers) const {
  const auto& types = worker_class(number).types;
  auto block = std::make_shared<IndexBlock>();
  block->cls = number;
  block->rooms.resize(types.size());
  block->ours.resize(workers.size());
  block->shut.resize(workers.size());
  block->workers = std::move(workers);
  for (std::size_t t = 0; t < types.size(); ++t)
    block->rooms[t].resize(block->workers.size() * types[t].positions.size());
  for (std::size_t w = 0; w < block->workers.size(); ++w) enter(*block, types, w);
  enter_files(*block);
  return block;
}

FleetIndex::Block FleetIndex::make_block(const IndexBlock& before,
                                         std::size_t changed,
                                         const WorkerEntry& fresh) const {
  const auto& types = worker_class(before.cls).types;
  auto block = std::make_shared<IndexBlock>(before);
  block->workers[changed] = &fresh;
  enter(*block, types, changed);
  if (before.workers[changed]->worker.model_files != fresh.worker.model_files) enter_files(*block);
  return block;
}

std::shared_ptr<const FleetIndex::Page> FleetIndex::make_page(std::vector<Block> blocks) const {
  auto page = std::make_shared<Page>();
  for (const auto& block : blocks) {
    const auto& cls = worker_class(block->cls);
    for (std::size_t t = 0; t < cls.types.size(); ++t) page->lanes.push_back(lane_of(*block, t, cls));
  }
  page->blocks = std::move(blocks);
  return page;
}

std::optional<std::uint32_t> FleetIndex::find_class(const Hash& key) const {
  const auto& numbers = classes_->numbers;
  const auto at = std::lower_bound(
      numbers.begin(), numbers.end(), key, [](const auto& known, const Hash& wanted) { return known.first < wanted; });
  if (at == numbers.end() || at->first != key) return std::nullopt;
  return at->second;
}

std::uint32_t FleetIndex::number_of(const WorkerEntry& entry) {
  if (const auto known = find_class(entry.types_key)) return *known;
  auto classes = std::make_shared<Classes>(*classes_);
  const auto number = static_cast<std::uint32_t>(classes->list.size());
  auto cls = std::make_shared<WorkerClass>();
  cls->key = entry.types_key;
  cls->types = device_types(entry.worker);
  cls->simulated = entry.worker.simulated;
  cls->first_type = type_count_;
  type_count_ += cls->types.size();
  classes->list.push_back(std::move(cls));
  const std::pair<Hash, std::uint32_t> row(entry.types_key, number);
  classes->numbers.insert(std::upper_bound(classes->numbers.begin(), classes->numbers.end(), row), row);
  slots_.push_back(std::make_shared<const std::vector<TypeSlots>>(classes->list.back()->types.size()));
  classes_ = std::move(classes);
  return number;
}

std::shared_ptr<const FleetIndex> FleetIndex::build(std::span<const std::shared_ptr<const WorkerEntry>> entries) {
  auto index = std::make_shared<FleetIndex>();
  std::vector<Workers> classes;
  for (const auto& e : entries) {
    const std::uint32_t number = index->number_of(*e);
    if (number >= classes.size()) classes.resize(number + 1);
    classes[number].push_back(e.get());
  }
  std::vector<Block> blocks;
  const auto flush = [&] {
    if (!blocks.empty()) index->pages_.push_back(index->make_page(std::move(blocks)));
    blocks.clear();
  };
  for (std::uint32_t number = 0; number < classes.size(); ++number) {
    const auto& all = classes[number];
    for (std::size_t from = 0; from < all.size(); from += kBlockWorkers) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(from);
      const auto last = all.begin() + static_cast<std::ptrdiff_t>(std::min(from + kBlockWorkers, all.size()));
      blocks.push_back(index->make_block(number, Workers(first, last)));
      if (blocks.size() == kPageBlocks) flush();
    }
    index->slots_[number] = index->make_slots(number, all);
  }
  flush();
  return index;
}

std::shared_ptr<const std::vector<TypeSlots>> FleetIndex::make_slots(std::uint32_t cls, const Workers& workers) const {
  const auto& types = worker_class(cls).types;
  auto out = std::make_shared<std::vector<TypeSlots>>(types.size());
  for (std::size_t t = 0; t < types.size(); ++t) {
    for (std::size_t size = 0; size < kSlotSizes; ++size) {
      std::vector<Slot> slots;
      slots.reserve(size == 0 ? workers.size() * types[t].positions.size() : workers.size());
      for (const auto* worker : workers) add_slots(*worker, types[t], size, slots);
      (*out)[t][size] = SlotList(std::move(slots));
    }
  }
  return out;
}

void FleetIndex::exchange_slots(std::uint32_t cls, const WorkerEntry* old, const WorkerEntry* fresh) {
  const auto& types = worker_class(cls).types;
  auto all = std::make_shared<std::vector<TypeSlots>>(*slots_[cls]);
  for (std::size_t t = 0; t < types.size(); ++t) {
    for (std::size_t size = 0; size < kSlotSizes; ++size) {
      std::vector<Slot> gone, come;
      if (old != nullptr) add_slots(*old, types[t], size, gone);
      if (fresh != nullptr) add_slots(*fresh, types[t], size, come);
      (*all)[t][size].change(std::move(gone), std::move(come));
    }
  }
  slots_[cls] = std::move(all);
}

std::optional<FleetIndex::Place> FleetIndex::block_for(std::uint32_t cls, const std::string& id) const {
  const auto begins_before = [&](const Block& b) {
    return b->cls != cls ? b->cls < cls : b->workers.front()->worker.id <= id;
  };
  // The last block that begins at or before the id, else the first of the class.
  const auto page = std::partition_point(
      pages_.begin(), pages_.end(), [&](const auto& p) { return begins_before(p->blocks.front()); });
  if (page != pages_.begin()) {
    const auto& blocks = (*(page - 1))->blocks;
    const auto after = std::partition_point(blocks.begin(), blocks.end(), begins_before);
    const Place last{static_cast<std::size_t>(page - pages_.begin()) - 1,
                     static_cast<std::size_t>(after - blocks.begin()) - 1};
    if (blocks[last.block]->cls == cls) return last;
    if (after != blocks.end() && (*after)->cls == cls) return Place{last.page, last.block + 1};
  }
  if (page != pages_.end() && (*page)->blocks.front()->cls == cls)
    return Place{static_cast<std::size_t>(page - pages_.begin()), 0};
  return std::nullopt;
}

/// The page's other lanes are as they were.
void FleetIndex::set_block(Place place, Block block) {
  auto page = std::make_shared<Page>(*pages_[place.page]);
  const auto& cls = worker_class(block->cls);
  auto lane = std::find_if(page->lanes.begin(), page->lanes.end(), [&](const Lane& l) {
    return l.block == page->blocks[place.block].get();
  });
  for (std::size_t t = 0; t < cls.types.size(); ++t, ++lane) *lane = lane_of(*block, t, cls);
  page->blocks[place.block] = std::move(block);
  pages_[place.page] = std::move(page);
}

void FleetIndex::exchange(Place place, const WorkerEntry& old, const WorkerEntry& fresh) {
  const IndexBlock& before = *pages_[place.page]->blocks[place.block];
  const auto spot = std::lower_bound(
      before.workers.begin(), before.workers.end(), old.worker.id, [](const WorkerEntry* e, const std::string& key) {
        return e->worker.id < key;
      });
  ASSERT(spot != before.workers.end() && *spot == &old);
  set_block(place, make_block(before, static_cast<std::size_t>(spot - before.workers.begin()), fresh));
}

void FleetIndex::replace(Place place, Workers workers, std::uint32_t cls) {
  auto blocks = pages_[place.page]->blocks;
  const auto spot = blocks.begin() + static_cast<std::ptrdiff_t>(place.block);
  if (!workers.empty() && workers.size() <= kBlockWorkers) {
    set_block(place, make_block(cls, std::move(workers)));
    return;
  }
  if (workers.empty()) {
    blocks.erase(spot);
  } else {
    auto [first, second] = halves(workers);
    *spot = make_block(cls, std::move(first));
    blocks.insert(spot + 1, make_block(cls, std::move(second)));
  }
  const auto page = pages_.begin() + static_cast<std::ptrdiff_t>(place.page);
  if (blocks.empty()) {
    pages_.erase(page);
  } else if (blocks.size() <= kPageBlocks) {
    *page = make_page(std::move(blocks));
  } else {
    const auto half = blocks.begin() + static_cast<std::ptrdiff_t>(blocks.size() / 2);
    auto second = make_page({half, blocks.end()});
    *page = make_page({blocks.begin(), half});
    pages_.insert(page + 1, std::move(second));
  }
}

/// As the first block of its class, which has the highest number with workers or stands between others.
void FleetIndex::append(std::uint32_t cls, Workers workers) {
  const auto page =
      std::partition_point(pages_.begin(), pages_.end(), [&](const auto& p) { return p->blocks.front()->cls < cls; });
  auto block = make_block(cls, std::move(workers));
  if (page == pages_.begin()) {
    pages_.insert(page, make_page({std::move(block)}));
    return;
  }
  auto blocks = (*(page - 1))->blocks;
  const auto spot = std::partition_point(blocks.begin(), blocks.end(), [&](const Block& b) { return b->cls < cls; });
  if (blocks.size() < kPageBlocks) {
    blocks.insert(spot, std::move(block));
    *(page - 1) = make_page(std::move(blocks));
    return;
  }
  // A full page: what comes behind the new block begins a page of its own.
  std::vector<Block> rest(spot, blocks.end());
  blocks.erase(spot, blocks.end());
  rest.insert(rest.begin(), std::move(block));  // the page's first block stays: its class is an earlier one
  *(page - 1) = make_page(std::move(blocks));
  pages_.insert(page, make_page(std::move(rest)));
}

void FleetIndex::add(const WorkerEntry& entry) {
  const std::uint32_t cls = number_of(entry);
  exchange_slots(cls, nullptr, &entry);
  const auto place = block_for(cls, entry.worker.id);
  if (!place) return append(cls, {&entry});
  Workers workers = pages_[place->page]->blocks[place->block]->workers;
  workers.insert(place_in(workers, entry.worker.id), &entry);
  replace(*place, std::move(workers), cls);
}

void FleetIndex::remove(const WorkerEntry& entry) {
  const auto cls = find_class(entry.types_key);
  ASSERT(cls.has_value());
  exchange_slots(*cls, &entry, nullptr);
  const auto place = block_for(*cls, entry.worker.id);
  ASSERT(place.has_value());
  Workers workers = pages_[place->page]->blocks[place->block]->workers;
  const auto spot = place_in(workers, entry.worker.id);
  ASSERT(spot != workers.end() && *spot == &entry);
  workers.erase(spot);
  replace(*place, std::move(workers), *cls);
}

std::shared_ptr<const FleetIndex> FleetIndex::with(const WorkerEntry* old, const WorkerEntry* fresh) const {
  auto index = std::make_shared<FleetIndex>(*this);
  if (old == nullptr || fresh == nullptr || old->types_key != fresh->types_key) {
    if (old != nullptr) index->remove(*old);
    if (fresh != nullptr) index->add(*fresh);
    return index;
  }
  const auto cls = index->find_class(old->types_key);
  ASSERT(cls.has_value());
  const auto place = index->block_for(*cls, old->worker.id);
  ASSERT(place.has_value());
  index->exchange(*place, *old, *fresh);
  index->exchange_slots(*cls, old, fresh);
  return index;
}

}  // namespace berth::fleet
