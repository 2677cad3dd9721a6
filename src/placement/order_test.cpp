#include "placement/order.h"

#include <doctest/doctest.h>

#include "base/testing.h"
#include "placement/random_fleet.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;

std::string text_of_key(const std::vector<fleet::KeyPart>& key) {
  std::string out;
  for (const auto& part : key) out += part.name + "=" + part.value + " ";
  return out;
}

}  // namespace

TEST_CASE("the key of a plan that is there is the key that it was chosen by") {
  std::uint64_t compared = 0, several = 0;
  const auto engines = catalog();
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(3'000); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto machines = random_machines(rng);
    auto request = random_request(rng, machines);
    request.replicas = 1;
    if (seed % 3 == 0) {
      request = request_for(vllm_facts(between(rng, 8, 40) * kGiB));
      request.restriction.across_workers = true;
    }
    const auto snapshot = snapshot_of(machines);
    const auto d = decide(snapshot, request, {}, engines);
    if (d.plans.empty()) continue;
    const auto key = plan_key(snapshot, request, {}, engines, d.plans.front());
    REQUIRE_MESSAGE(key, (key ? "" : key.error().message));
    CHECK(text_of_key(*key) == text_of_key(d.plans.front().key));
    ++compared;
    several += d.plans.front().workers.size() > 1 ? 1 : 0;
  }
  CHECK(compared >= berth::testing::at_least(300));
  CHECK(several >= berth::testing::at_least(1));
}

TEST_CASE("a plan on what is not there has no key") {
  const auto snapshot = *FleetSnapshot::build({*fleet::make_entry(linux_worker("w", Bytes(64 * kGiB)), {})}, {});
  const auto request = request_for(llama_facts({}));
  const auto engines = catalog();
  const auto plan = decide(snapshot, request, {}, engines).plans.front();
  const auto complaint = [&](auto&& change) {
    auto other = plan;
    change(other);
    const auto key = plan_key(snapshot, request, {}, engines, other);
    return key ? std::string() : key.error().message;
  };
  CHECK(complaint([](Plan&) {}).empty());
  CHECK(complaint([](Plan& p) { p.workers.front().worker = "x"; }) == "there is no worker \"x\"");
  CHECK(complaint([](Plan& p) { p.workers.front().devices = {"g9"}; }) == "worker w has no device g9");
  CHECK(complaint([](Plan& p) { p.engine = "abacus"; }) == "the catalog has no engine \"abacus\"");
  CHECK(complaint([](Plan& p) { p.workers.clear(); }) == "the plan names no worker");
}

}  // namespace berth::placement
