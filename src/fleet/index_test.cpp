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
  std::vector<Occupant> occupants;
  for (std::uint64_t o = rng.below(3); o > 0; --o) {
    Occupant occupant;
    occupant.id = "i" + std::to_string(o);
    occupant.claim.memory_bytes = Bytes(kMiB);
    occupants.push_back(std::move(occupant));
  }
  return *make_entry(std::move(w), std::move(occupants));
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
      if (shut) continue;
      ours = std::min<std::uint32_t>(ours, static_cast<std::uint32_t>(e.occupants.size()));
      memory = std::max(memory, e.memory.allocatable);
      for (const auto p : cls.types[lane.type].positions) top = std::max(top, e.capacity[p].allocatable);
    }
    CHECK(lane.ours == ours);
    CHECK(lane.memory == memory);
    CHECK(lane.tops[0] == top);
  });
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
