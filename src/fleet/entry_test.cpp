#include <doctest/doctest.h>

#include "fleet/snapshot.h"

namespace berth::fleet {
namespace {

Worker one_device() {
  Worker w;
  w.id = w.name = "w";
  w.memory_total_bytes = Bytes(8 * kGiB);
  Device d;
  d.id = "g0";
  d.memory_total_bytes = Bytes(8 * kGiB);
  w.devices = {d};
  return w;
}

Occupant claims(std::vector<DeviceClaim> devices) {
  Occupant o;
  o.id = "i";
  o.claim.devices = std::move(devices);
  return o;
}

}  // namespace

TEST_CASE("a claim on a device that is gone is shown as lost and counts against nothing else") {
  auto o = claims({{"gone", Bytes(kGiB)}, {"g0", Bytes(2 * kGiB)}});
  o.observed = {{"gone", Bytes(kGiB)}, {"never", Bytes(5)}};
  const auto entry = make_entry(one_device(), {o});
  REQUIRE(entry);
  REQUIRE((*entry)->lost.size() == 2);
  CHECK((*entry)->lost[0].occupant == "i");
  CHECK((*entry)->lost[0].device == "gone");
  CHECK((*entry)->lost[0].bytes == Bytes(kGiB));
  CHECK((*entry)->lost[1].device == "never");
  CHECK((*entry)->capacity[0].claimed == Bytes(2 * kGiB));
  CHECK((*entry)->occupants[0].claim.devices.size() == 1);
  const auto whole = make_entry(one_device(), {claims({{"g0", Bytes(kGiB)}})});
  REQUIRE(whole);
  CHECK((*whole)->lost.empty());
}

TEST_CASE("what claims may come to, and what is left of it, never goes below nothing") {
  const DeviceCapacity c{.total = Bytes(10), .reserved = Bytes(2), .claimed = Bytes(4), .foreign = Bytes(3)};
  CHECK(claimable(c) == Bytes(5));
  CHECK(allocatable(c) == Bytes(1));
  CHECK(allocatable(c, Bytes(3)) == Bytes(4));
  CHECK(allocatable(c, Bytes(9)) == Bytes(5));
  const DeviceCapacity full{.total = Bytes(10), .reserved = Bytes(2), .claimed = Bytes(4), .foreign = Bytes(9)};
  CHECK(claimable(full) == Bytes());
  CHECK(allocatable(full, Bytes(4)) == Bytes());
}

TEST_CASE("the order of claims changes no hash") {
  auto w = one_device();
  w.devices.push_back(w.devices[0]);
  w.devices[1].id = "g1";
  const auto a = make_entry(w, {claims({{"g0", Bytes(1)}, {"g1", Bytes(2)}})});
  const auto b = make_entry(w, {claims({{"g1", Bytes(2)}, {"g0", Bytes(1)}})});
  REQUIRE(a);
  REQUIRE(b);
  CHECK((*a)->hash == (*b)->hash);
}

}  // namespace berth::fleet
