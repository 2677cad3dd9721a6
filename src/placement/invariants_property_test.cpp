// The invariants of DESIGN §1 over random small fleets and requests. A failure prints its seed.
#include <doctest/doctest.h>
#include <map>
#include <memory>

#include "base/testing.h"
#include "placement/random_fleet.h"

namespace berth::placement {
namespace {

using namespace testing;
using fleet::Verdict;

constexpr std::uint64_t kFleetSeeds = 400;

struct Case {
  Machines machines;
  Request request;
  FleetSnapshot snapshot;
};

const Policy kPolicy;
const EngineCatalog kCatalog = catalog();

Case draw(Rng& rng, const FleetLimits& limits = {}) {
  Case c;
  c.machines = random_machines(rng, limits);
  c.request = random_request(rng, c.machines);
  c.snapshot = snapshot_of(c.machines);
  return c;
}

Decision ask(const FleetSnapshot& snapshot, const Request& request) {
  return decide(snapshot, request, kPolicy, kCatalog);
}

bool limited(const Decision& d) {
  for (const auto& note : d.report.notes)
    if (note.find("steps") != std::string::npos) return true;
  return false;
}

template <class Body>
void over_seeds(std::uint64_t count, Body&& body) {
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(count); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    body(rng);
  }
}

Request selecting(const Request& request, const fleet::Plan& plan) {
  Request r = request;
  r.restriction.workers.clear();
  r.restriction.devices.clear();
  for (const auto& part : plan.workers) {
    if (part.devices.empty()) r.restriction.workers.push_back(part.worker);
    for (const auto& d : part.devices) r.restriction.devices.push_back(part.worker_name + "/" + d);
  }
  return r;
}

}  // namespace

TEST_CASE("invariant 1: the plan of an automatic decision, sent back as a selection, is chosen again") {
  std::uint64_t compared = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng);
    c.request.replicas = 1;
    const auto automatic = ask(c.snapshot, c.request);
    if (automatic.verdict != Verdict::kFits) return;
    const auto manual = ask(c.snapshot, selecting(c.request, automatic.plans.front()));
    CAPTURE(automatic.plans.front().layout);
    CHECK(manual.verdict == Verdict::kFits);
    CHECK(plan_digests(manual) == plan_digests(automatic));
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(100));
}

TEST_CASE("invariant 2: what fits on selected devices fits on any superset and without a selection") {
  std::uint64_t compared = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng);
    const auto all = device_names(c.machines);
    if (all.empty()) return;
    Request small = c.request;
    small.restriction.workers.clear();
    small.restriction.devices = some_of(rng, all);
    const auto narrow = ask(c.snapshot, small);
    if (narrow.verdict != Verdict::kFits) return;
    Request large = small;
    for (const auto& name : all)
      if (rng.chance(1, 2)) large.restriction.devices.push_back(name);
    const auto wide = ask(c.snapshot, large);
    Request none = small;
    none.restriction.devices.clear();
    const auto automatic = ask(c.snapshot, none);
    CAPTURE(narrow.plans.front().layout);
    CHECK((limited(wide) || wide.verdict == Verdict::kFits));
    CHECK((limited(automatic) || automatic.verdict == Verdict::kFits));
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(20));
}

TEST_CASE("invariant 2: what fits with all of the selected devices fits when any of a superset may be used") {
  std::uint64_t compared = 0;
  over_seeds(2 * kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng, {.workers_max = 2, .devices_max = 4, .all_open = true});
    const auto all = device_names(c.machines);
    if (all.empty()) return;
    Request every = c.request;
    every.restriction.workers.clear();
    every.restriction.labels.clear();
    every.restriction.devices_per_replica.reset();
    every.restriction.devices = some_of(rng, all);
    every.restriction.use = fleet::DeviceUse::kAll;
    const auto chosen = ask(c.snapshot, every);
    CHECK((chosen.fit_count == 0 || chosen.fit_count == every.replicas));
    if (chosen.verdict != Verdict::kFits) return;
    Request any = every;
    any.restriction.use = fleet::DeviceUse::kAny;
    for (const auto& name : all)
      if (rng.chance(1, 2)) any.restriction.devices.push_back(name);
    CAPTURE(chosen.plans.front().layout);
    const auto wide = ask(c.snapshot, any);
    CHECK((limited(wide) || wide.verdict == Verdict::kFits));
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(20));
}

TEST_CASE("invariants 3 and 10: a decision is the same bytes whenever it is asked, whatever was asked in between") {
  over_seeds(kFleetSeeds / 2, [&](Rng& rng) {
    const Case c = draw(rng);
    const auto first = digest(ask(c.snapshot, c.request));
    const Case other = draw(rng);
    (void)ask(other.snapshot, other.request);
    (void)ask(c.snapshot, random_request(rng, c.machines));
    CHECK(digest(ask(c.snapshot, c.request)) == first);
    CHECK(digest(ask(snapshot_of(c.machines), c.request)) == first);
  });
}

TEST_CASE("invariant 4: a worker that is not ready changes neither verdict nor plans") {
  std::uint64_t compared = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    const Case c = draw(rng);
    Machines ready;
    for (const auto& m : c.machines)
      if (m.worker.state == fleet::WorkerState::kReady) ready.push_back(m);
    if (ready.size() == c.machines.size()) return;
    const auto with = ask(c.snapshot, c.request);
    const auto without = ask(snapshot_of(ready), c.request);
    CHECK(with.verdict == without.verdict);
    CHECK(with.fit_count == without.fit_count);
    CHECK(plan_digests(with) == plan_digests(without));
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(50));
}

TEST_CASE("invariant 5: one more free device, or memory that becomes free, never turns yes into no") {
  std::uint64_t compared = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng);
    const auto before = ask(c.snapshot, c.request);
    if (before.verdict != Verdict::kFits) return;
    Machines larger = c.machines;
    auto device = random_device(rng, "dx", rng.below(kDeviceKinds));
    device.health = fleet::Health::kHealthy;
    device.memory_used_bytes = Bytes();
    larger[rng.below(larger.size())].worker.devices.push_back(device);
    const auto more = ask(snapshot_of(larger), c.request);
    CAPTURE(before.plans.front().layout);
    CHECK_MESSAGE((limited(more) || more.verdict == Verdict::kFits), "with a device more: " << more.summary);
    Machines freer = c.machines;
    auto& m = freer[rng.below(freer.size())];
    if (!m.occupants.empty()) m.occupants.pop_back();
    for (auto& d : m.worker.devices) d.memory_used_bytes = Bytes();
    m.worker.memory_used_bytes = Bytes();
    const auto free = ask(snapshot_of(freer), c.request);
    CHECK_MESSAGE((limited(free) || free.verdict == Verdict::kFits), "with memory freed: " << free.summary);
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(50));
}

TEST_CASE("invariant 6: when n replicas fit, n - 1 fit") {
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng);
    std::uint32_t last = 0;
    for (std::uint32_t n = 1; n <= 4; ++n) {
      c.request.replicas = n;
      const auto d = ask(c.snapshot, c.request);
      if (limited(d)) return;
      CAPTURE(n);
      CHECK(d.fit_count <= n);
      CHECK(d.fit_count == std::min(n, d.fit_count));
      if (n > 1) CHECK(d.fit_count >= last);
      if (d.verdict == Verdict::kFits && n > 1) CHECK(last == n - 1);
      last = d.fit_count;
    }
  });
}

TEST_CASE("invariants 6 and 7: the claims of one decision stay within what is allocatable") {
  std::uint64_t plans = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    const Case c = draw(rng);
    const auto d = ask(c.snapshot, c.request);
    CHECK(d.plans.size() == d.fit_count);
    std::map<std::pair<std::string, std::string>, Bytes> taken;
    for (const auto& plan : d.plans)
      for (const auto& part : plan.workers) {
        const auto* entry = c.snapshot.find(part.worker);
        REQUIRE(entry != nullptr);
        CHECK(entry->worker.state == fleet::WorkerState::kReady);
        CHECK_FALSE(entry->worker.cordoned);
        for (const auto& claim : part.claim.devices) CHECK(claim.bytes > Bytes());
        taken[{part.worker, ""}] += part.claim.memory_bytes;
        for (const auto& claim : part.claim.devices) taken[{part.worker, claim.device}] += claim.bytes;
        ++plans;
      }
    for (const auto& [where, bytes] : taken) {
      const auto& [worker, device] = where;
      const auto* entry = c.snapshot.find(worker);
      const auto at = device.empty() ? 0 : fleet::device_position(*entry, device);
      REQUIRE(at != std::string::npos);
      const auto& capacity = device.empty() ? entry->memory : entry->capacity[at];
      CAPTURE(worker);
      CAPTURE(device);
      CHECK(bytes <= capacity.allocatable);
      CHECK(bytes + capacity.claimed + capacity.reserved + capacity.foreign <= capacity.total);
    }
  });
  CHECK(plans >= berth::testing::at_least(200));
}

TEST_CASE("invariant 8: the order of workers, devices, occupants and lists is irrelevant") {
  over_seeds(kFleetSeeds / 2, [&](Rng& rng) {
    Case c = draw(rng);
    const auto first = digest(ask(c.snapshot, c.request));
    shuffle(rng, c.machines);
    for (auto& m : c.machines) {
      shuffle(rng, m.worker.devices);
      shuffle(rng, m.occupants);
      shuffle(rng, *m.worker.engines);
    }
    shuffle(rng, c.request.restriction.devices);
    shuffle(rng, c.request.restriction.workers);
    const auto turned = snapshot_of(c.machines);
    CHECK(turned.hash() == c.snapshot.hash());
    CHECK(digest(ask(turned, c.request)) == first);
  });
}

TEST_CASE("invariant 11: requests on separate workers give the same plans in either order") {
  std::uint64_t compared = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    const Case c = draw(rng, {.workers_max = 4, .devices_max = 4, .all_open = true});
    if (c.machines.size() < 2) return;
    Request one = plain_request(rng);
    Request two = plain_request(rng);
    one.restriction.workers = {c.machines[0].worker.name};
    two.restriction.workers = {c.machines[1].worker.name};
    const auto alone = ask(c.snapshot, two);
    const auto first = ask(c.snapshot, one);
    if (first.plans.empty()) return;
    Machines after = c.machines;
    occupy(after, first.plans.front(), "first");
    const auto second = ask(snapshot_of(after), two);
    CHECK(second.verdict == alone.verdict);
    CHECK(plan_digests(second) == plan_digests(alone));
    ++compared;
  });
  CHECK(compared >= berth::testing::at_least(50));
}

TEST_CASE("invariant 13: a snapshot reached by updates decides like one built cold") {
  over_seeds(kFleetSeeds / 2, [&](Rng& rng) {
    const Case c = draw(rng);
    FleetSnapshot grown;
    Machines order = c.machines;
    shuffle(rng, order);
    for (const auto& m : order) {
      Machine early = m;
      early.occupants.clear();
      early.worker.cordoned = !early.worker.cordoned;
      grown = grown.with(entry_of(early));
    }
    grown = grown.with(entry_of(random_machine(rng, "passing", {})));
    shuffle(rng, order);
    for (const auto& m : order) grown = grown.with(entry_of(m));
    grown = grown.without("id-passing");
    CHECK(grown.hash() == c.snapshot.hash());
    CHECK(digest(ask(grown, c.request)) == digest(ask(c.snapshot, c.request)));
  });
}

TEST_CASE("every plan of a decision is verified on the same snapshot, and refused once its memory is taken") {
  std::uint64_t plans = 0;
  std::uint64_t refused = 0;
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    const Case c = draw(rng);
    const auto d = ask(c.snapshot, c.request);
    for (const auto& plan : d.plans) {
      const auto v = verify(c.snapshot, c.request, kPolicy, kCatalog, plan);
      CHECK_MESSAGE(v.ok, (v.ok ? "" : v.rejects.front().text));
      ++plans;
    }
    if (d.plans.empty()) return;
    // A stranger takes the RAM of the first plan's worker.
    Machines after = c.machines;
    for (auto& m : after)
      if (m.worker.id == d.plans.front().workers.front().worker)
        m.worker.memory_used_bytes = m.worker.memory_total_bytes;
    const auto v = verify(snapshot_of(after), c.request, kPolicy, kCatalog, d.plans.front());
    refused += v.ok ? 0 : 1;
    CHECK_FALSE(v.ok);
  });
  CHECK(plans >= berth::testing::at_least(200));
  CHECK(refused >= berth::testing::at_least(100));
}

TEST_CASE("with consent to uncertain memory, claims stay within capacity and plans pass verify") {
  over_seeds(kFleetSeeds, [&](Rng& rng) {
    Case c = draw(rng);
    const auto strict = ask(c.snapshot, [&] {
      Request r = c.request;
      r.accept.clear();
      return r;
    }());
    c.request.accept = {"memory_uncertain"};
    const auto lenient = ask(c.snapshot, c.request);
    CHECK(lenient.fit_count >= strict.fit_count);
    for (const auto& plan : lenient.plans) CHECK(verify(c.snapshot, c.request, kPolicy, kCatalog, plan).ok);
  });
}

}  // namespace berth::placement
