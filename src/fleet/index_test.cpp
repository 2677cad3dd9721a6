#include "fleet/index.h"

#include <doctest/doctest.h>
#include <map>
#include <set>

#include "base/rng.h"
#include "fleet/snapshot.h"

namespace berth::fleet {
namespace {

constexpr int kKinds = 5;

FleetSnapshot::Entry worker(Rng& rng, int number) {
  Worker w;
  w.id = w.name = "w" + std::to_string(number);
  w.os = "linux";
  w.memory_total_bytes = Bytes((1 + rng.below(64)) * kGiB);
  const auto kind = rng.below(kKinds);
  for (std::uint64_t d = 0; d < kind; ++d) {
    Device device;
    device.id = "g" + std::to_string(d);
    device.name = d % 2 == 0 ? "even" : "odd";
    device.memory_total_bytes = Bytes(16 * kGiB);
    device.memory_used_bytes = Bytes(rng.below(16) * kGiB);
    w.devices.push_back(device);
  }
  if (rng.chance(1, 5)) w.state = WorkerState::kNotReady;
  w.cordoned = rng.chance(1, 7);
  for (const auto* file : {"a", "b", "c"})
    if (rng.chance(1, 3)) w.model_files.emplace_back(file);
  std::vector<Occupant> occupants;
  for (std::uint64_t o = rng.below(3); o > 0; --o) {
    Occupant occupant;
    occupant.id = "i" + std::to_string(o);
    occupant.claim.memory_bytes = Bytes(kMiB);
    if (kind > 0) occupant.claim.devices = {{"g" + std::to_string(rng.below(kind)), Bytes(kGiB)}};
    occupants.push_back(std::move(occupant));
  }
  return *make_entry(std::move(w), std::move(occupants));
}

/// Every list of slots holds what its workers give it, in order, and finds the first that is large enough.
void check_slots(const FleetSnapshot& snapshot) {
  const auto& index = snapshot.index();
  for (std::size_t c = 0; c < index.class_count(); ++c) {
    const auto& cls = index.worker_class(c);
    for (std::size_t t = 0; t < cls.types.size(); ++t) {
      for (std::size_t size = 0; size < kSlotSizes; ++size) {
        std::vector<Slot> wanted;
        snapshot.for_each([&](const WorkerEntry& e) {
          if (e.types_key == cls.key) add_slots(e, cls.types[t], size, wanted);
        });
        std::sort(wanted.begin(), wanted.end(), before);
        const SlotList& list = index.slots(c, t)[size];
        REQUIRE(list.size() == wanted.size());
        SlotList::At at;
        for (const Slot& slot : wanted) {
          REQUIRE(list.at(at) != nullptr);
          CHECK(list.at(at)->worker == slot.worker);
          CHECK(list.at(at)->room == slot.room);
          at = list.next(at);
        }
        CHECK(list.at(at) == nullptr);
        for (std::uint64_t gib = 0; gib < 18; gib += 3) {
          const auto first =
              std::find_if(wanted.begin(), wanted.end(), [&](const Slot& s) { return s.room >= Bytes(gib * kGiB); });
          const Slot* found = list.at(list.fit({}, Bytes(gib * kGiB)));
          REQUIRE((found == nullptr) == (first == wanted.end()));
          if (found != nullptr) CHECK(found->worker == first->worker);
        }
      }
    }
  }
}

/// Each worker once, in a block of its class, in order; each lane what its workers make it.
void check(const FleetSnapshot& snapshot) {
  std::set<const WorkerEntry*> seen;
  std::map<std::uint32_t, std::string> last;  // by class
  snapshot.index().each_lane([&](const Lane& lane) {
    const auto& cls = snapshot.index().worker_class(lane.cls);
    const auto& block = *lane.block;
    REQUIRE(block.cls == lane.cls);
    REQUIRE(!block.workers.empty());
    REQUIRE(block.workers.size() <= kBlockWorkers);
    std::uint32_t ours = UINT32_MAX;
    Bytes top, memory;
    for (std::size_t w = 0; w < block.workers.size(); ++w) {
      const auto& e = *block.workers[w];
      REQUIRE(e.types_key == cls.key);
      if (lane.type == 0) {
        REQUIRE(seen.insert(&e).second);
        REQUIRE(last[lane.cls] < e.worker.id);
        last[lane.cls] = e.worker.id;
      }
      const bool shut = e.worker.state != WorkerState::kReady || e.worker.cordoned;
      REQUIRE((block.shut[w] != 0) == shut);
      for (const auto* file : {"a", "b", "c"}) {
        const FileHolder holder{hash_file(file), static_cast<std::uint32_t>(w)};
        const auto& has = e.worker.model_files;
        CHECK(std::binary_search(block.files.begin(), block.files.end(), holder) ==
              (std::find(has.begin(), has.end(), file) != has.end()));
      }
      if (shut) continue;
      ours = std::min<std::uint32_t>(ours, static_cast<std::uint32_t>(e.occupants.size()));
      memory = std::max(memory, e.memory.allocatable);
      for (const auto p : cls.types[lane.type].positions) top = std::max(top, e.capacity[p].allocatable);
    }
    CHECK(lane.ours == ours);
    CHECK(lane.memory == memory);
    CHECK(lane.tops[0] == top);
  });
  check_slots(snapshot);
  std::size_t all = 0;
  snapshot.for_each([&](const WorkerEntry& e) { all += seen.contains(&e) ? 1 : 0; });
  CHECK(all == snapshot.size());
  CHECK(seen.size() == snapshot.size());
}

}  // namespace

TEST_CASE("an index reached by changes is as sound as one that was built") {
  for (const int most : {30, 900}) {
    Rng rng(static_cast<std::uint64_t>(most));
    std::vector<FleetSnapshot::Entry> first;
    for (int w = 0; w < most / 2; ++w) first.push_back(worker(rng, w));
    auto snapshot = *FleetSnapshot::build(std::move(first));
    check(snapshot);
    for (int step = 0; step < 4000; ++step) {
      const auto number = static_cast<int>(rng.below(static_cast<std::uint64_t>(most)));
      const auto before = snapshot;
      // Now and then a fleet that grows or shrinks for a while.
      const std::uint64_t leave = step / 1000 % 2 == 0 ? 1 : 3;
      if (rng.chance(leave, 4))
        snapshot = snapshot.without("w" + std::to_string(number));
      else
        snapshot = snapshot.with(worker(rng, number));
      if (step % 97 != 0) continue;
      check(snapshot);
      check(before);
    }
  }
}

}  // namespace berth::fleet
