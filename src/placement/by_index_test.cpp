#include "placement/by_index.h"

#include <doctest/doctest.h>

#include "base/testing.h"
#include "placement/random_fleet.h"

namespace berth::placement {

using namespace testing;

TEST_CASE("with and without the index every answer is the same") {
  const auto engines = catalog();
  std::uint64_t fits = 0;
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(6'000); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const FleetLimits limits{.workers_max = seed % 5 == 0 ? 40U : 6U, .devices_max = seed % 3 == 0 ? 8U : 4U};
    const auto machines = random_machines(rng, limits);
    auto request = random_request(rng, machines);
    if (seed % 2 == 0) {
      request.restriction.workers.clear();
      request.restriction.devices.clear();
      request.restriction.use = fleet::DeviceUse::kAny;
      request.replicas = static_cast<std::uint32_t>(1 + rng.below(9));
    }
    if (seed % 7 == 0) request.strategy = fleet::Strategy::kBinpack;
    const auto snapshot = snapshot_of(machines);
    const auto plain = decide(snapshot, request, {}, engines, {.index = false});
    const auto indexed = decide(snapshot, request, {}, engines);
    CHECK(digest(plain) == digest(indexed));
    const auto plans = decide(snapshot, request, {}, engines, {.report = false});
    CHECK(plan_digests(plain) == plan_digests(plans));
    CHECK(plain.verdict == plans.verdict);
    fits += plain.verdict == fleet::Verdict::kFits ? 1 : 0;
  }
  CHECK(fits >= berth::testing::at_least(1'000));
}

TEST_CASE("the index says nothing of requests that name workers or give claims back") {
  const auto engines = catalog();
  const auto snapshot = *FleetSnapshot::build({*fleet::make_entry(linux_worker("w", Bytes(64 * kGiB)), {})}, {});
  const auto possible = [&](auto&& change, Policy policy = {}) {
    auto request = *fleet::canonical(request_for(llama_facts({})));
    change(request);
    Context context = make_context(snapshot, request, policy, engines);
    Search search(context);
    return ByIndex(search, context).possible();
  };
  CHECK(possible([](Request&) {}));
  CHECK_FALSE(possible([](Request& r) { r.restriction.workers = {"w"}; }));
  CHECK_FALSE(possible([](Request& r) { r.restriction.devices = {"w/g"}; }));
  CHECK_FALSE(possible([](Request& r) { r.replaces = "d"; }));
}

}  // namespace berth::placement
