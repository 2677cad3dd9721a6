// Engines of which nobody but the deployment says what they take.
#include <doctest/doctest.h>
#include <numeric>

#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;
using fleet::Verdict;

engines::EngineCatalog own_catalog(const std::vector<std::string>& vendors) {
  engines::Engine e;
  e.id = e.title = "custom";
  e.memory = engines::MemoryModel::kDeclared;
  e.tasks = {"generate"};
  e.layouts = {"declared"};
  e.on_request = true;
  for (const auto& vendor : vendors) {
    engines::SupportRow row;
    row.vendor = vendor;
    row.source = "made up";
    e.rows.push_back(row);
  }
  e.recipe.command_from_request = true;
  auto all = catalog();
  all.edit([&](auto& engines) { engines.push_back(std::move(e)); });
  return all;
}

/// Two devices of 24 GiB; on the first a stranger holds 1 GiB, of the second another deployment of ours has 4 GiB.
FleetSnapshot two_devices(bool second_taken) {
  auto worker = linux_worker("w1", Bytes(64 * kGiB));
  for (const auto* id : {"d0", "d1"}) worker.devices.push_back(cuda_device(id, Bytes(24 * kGiB)));
  worker.devices[0].memory_used_bytes = Bytes(kGiB);
  std::vector<fleet::Occupant> occupants;
  if (second_taken) {
    fleet::Occupant o;
    o.id = o.deployment = "other";
    o.claim = {.worker = worker.id, .devices = {{"d1", Bytes(4 * kGiB)}}, .memory_bytes = {}, .disk_bytes = {}};
    occupants.push_back(std::move(o));
  }
  return *FleetSnapshot::build({*fleet::make_entry(std::move(worker), std::move(occupants))});
}

Request own_request() {
  Request r;
  r.deployment = "own";
  r.source = {.kind = "local", .path = "/models/own"};
  r.restriction.engine = "custom";
  r.settings.command = {"/opt/own/serve", "--port", "{port}"};
  return r;
}

fleet::Decision decided(const Request& request, const FleetSnapshot& fleet, const engines::EngineCatalog& catalog) {
  return decide(fleet, *fleet::canonical(request), Policy{}, catalog);
}

Bytes sum_of(const std::vector<fleet::MemoryPart>& parts) {
  return std::accumulate(parts.begin(), parts.end(), Bytes(), [](Bytes sum, const auto& p) { return sum + p.high; });
}

}  // namespace

TEST_CASE("a custom engine that declares nothing takes one whole device, less what strangers hold, or none") {
  const auto all = own_catalog({"any"});
  const auto d = decided(own_request(), two_devices(true), all);
  REQUIRE(d.verdict == Verdict::kFits);
  const auto& plan = d.plans.front();
  CHECK(plan.workers.front().devices == std::vector<std::string>{"d0"});
  const auto reserved = Policy{};
  CHECK(plan.workers.front().claim.devices.front().bytes == Bytes(23 * kGiB));
  CHECK(plan.layout == "declared");
  CHECK(plan.memory.front().name == "whole_device");
  CHECK(sum_of(plan.memory) == Bytes(23 * kGiB));
  CHECK(verify(two_devices(true), *fleet::canonical(own_request()), reserved, all, plan).ok);
  auto both = own_request();
  both.replicas = 2;
  CHECK(decided(both, two_devices(false), all).fit_count == 2);
  CHECK(decided(both, two_devices(true), all).fit_count == 1);
  // Without the word of its user it is no answer to a question about a model.
  auto nobody = own_request();
  nobody.restriction.engine.reset();
  for (const auto& line : decided(nobody, two_devices(true), all).report.lines) CHECK(line.engine != "custom");
}

TEST_CASE("selected devices are taken whole") {
  auto request = own_request();
  request.restriction.devices = {"w1/d0", "w1/d1"};
  request.restriction.use = fleet::DeviceUse::kAll;
  const auto d = decided(request, two_devices(false), own_catalog({"any"}));
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().workers.front().devices.size() == 2);
  CHECK(sum_of(d.plans.front().memory) == Bytes(47 * kGiB));
}

TEST_CASE("what is declared is what is claimed") {
  auto request = own_request();
  request.settings.needs = {.device_bytes = Bytes(10 * kGiB), .devices = 2, .memory_bytes = Bytes(6 * kGiB)};
  const auto d = decided(request, two_devices(true), own_catalog({"any"}));
  REQUIRE(d.verdict == Verdict::kFits);
  const auto& claim = d.plans.front().workers.front().claim;
  REQUIRE(claim.devices.size() == 2);
  for (const auto& device : claim.devices) CHECK(device.bytes == Bytes(10 * kGiB));
  CHECK(claim.memory_bytes == Bytes(6 * kGiB));
  CHECK(sum_of(d.plans.front().memory) == Bytes(26 * kGiB));
  request.settings.needs->device_bytes = Bytes(23 * kGiB + 1);
  CHECK(decided(request, two_devices(true), own_catalog({"any"})).verdict == Verdict::kDoesNotFit);
  request.settings.needs->device_bytes = Bytes(10 * kGiB);
  request.settings.needs->devices = 3;
  CHECK(decided(request, two_devices(true), own_catalog({"any"})).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("a program that needs no device runs on the host, and says or is assumed to take its weights") {
  auto request = own_request();
  request.settings.needs = {.device_bytes = {}, .devices = 0, .memory_bytes = Bytes(6 * kGiB)};
  const auto d = decided(request, two_devices(true), own_catalog({"any"}));
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().workers.front().devices.empty());
  CHECK(d.plans.front().workers.front().claim.memory_bytes == Bytes(6 * kGiB));
  request.settings.needs.reset();
  const auto bare = *FleetSnapshot::build({*fleet::make_entry(linux_worker("bare", Bytes(64 * kGiB)), {})});
  CHECK(decided(request, bare, own_catalog({"any"})).verdict == Verdict::kDoesNotFit);
  CHECK(decided(request, bare, own_catalog({"cpu"})).verdict == Verdict::kUnknown);
  request.facts = vllm_facts(8 * kGiB);
  const auto assumed = decided(request, bare, own_catalog({"cpu"}));
  REQUIRE(assumed.verdict == Verdict::kFits);
  CHECK(assumed.plans.front().workers.front().claim.memory_bytes == Bytes(12 * kGiB));
}

}  // namespace berth::placement
