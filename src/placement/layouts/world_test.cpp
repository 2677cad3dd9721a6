// What the parallel sizes of a request make of one replica here: the sizes of engines/world.h, and no sum of this
// module.
#include <doctest/doctest.h>

#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;

/// An engine whose deployments may be parts of a group, whose copies may lie inside one, and whose prompts may be
/// shared.
EngineCatalog group_catalog() {
  auto engine = vllm_engine();
  engine.world.data_parallel_local = true;
  engine.world.part_by = {"--part"};
  engine.world.data_parallel_inside_by = "--inside";
  engine.world.prefill_context_parallel = engines::Combine::kMultiplies;
  for (const auto* name : {"--part", "--inside"}) {
    engines::Flag flag;
    flag.name = name;
    flag.type = engines::FlagType::kBool;
    engine.flags.push_back(flag);
  }
  return engines::in_catalog_order({engine});
}

FleetSnapshot four_devices() {
  auto worker = linux_worker("w", Bytes(64 * kGiB));
  for (const auto* id : {"g0", "g1", "g2", "g3"}) worker.devices.push_back(cuda_device(id, Bytes(24 * kGiB)));
  return *FleetSnapshot::build({*fleet::make_entry(std::move(worker), {})}, {});
}

fleet::Request grouped(std::uint32_t tp, std::uint32_t dp, std::vector<std::string> flags) {
  auto request = request_for(vllm_facts(2 * kGiB));
  request.restriction.engine = "vllm";
  request.restriction.tensor_parallel = tp;
  request.restriction.data_parallel = dp;
  request.settings.flags = std::move(flags);
  return request;
}

std::string reject_of(const Decision& d) {
  for (const auto& line : d.report.lines)
    for (const auto& result : line.results)
      if (result.outcome == fleet::Outcome::kReject || result.outcome == fleet::Outcome::kUnknown) return result.reason;
  return "";
}

std::size_t devices_of(const Decision& d) {
  return d.plans.empty() ? 0 : d.plans.front().workers.front().devices.size();
}

}  // namespace

TEST_CASE("a deployment that is one part of a group takes the devices of its own copies") {
  const auto snapshot = four_devices();
  auto request = grouped(2, 4, {"--part"});
  CHECK(reject_of(decide(snapshot, request, {}, group_catalog())) == "too_few_devices");
  request.restriction.data_parallel_local = 1;
  const auto d = decide(snapshot, request, {}, group_catalog());
  CHECK(d.verdict == fleet::Verdict::kFits);
  CHECK(devices_of(d) == 2);
  REQUIRE(d.plans.size() == 1);
  CHECK(d.plans.front().data_parallel == 4);  // what the engine is told: all copies
  request.settings.flags.clear();             // copies on one worker alone make no part of it
  CHECK(reject_of(decide(snapshot, request, {}, group_catalog())) == "too_few_devices");
}

TEST_CASE("copies inside the tensor-parallel group add no devices") {
  const auto snapshot = four_devices();
  CHECK(devices_of(decide(snapshot, grouped(2, 2, {}), {}, group_catalog())) == 4);
  const auto d = decide(snapshot, grouped(2, 2, {"--inside"}), {}, group_catalog());
  CHECK(devices_of(d) == 2);
  REQUIRE(d.plans.size() == 1);
  CHECK(d.plans.front().data_parallel == 2);
}

TEST_CASE("devices asked for each replica must be as many as the ranks of its parallel sizes") {
  const auto snapshot = four_devices();
  auto request = grouped(2, 2, {});
  request.restriction.devices_per_replica = 4;
  CHECK(devices_of(decide(snapshot, request, {}, group_catalog())) == 4);
  request.restriction.devices_per_replica = 3;
  const auto d = decide(snapshot, request, {}, group_catalog());
  CHECK(d.verdict == fleet::Verdict::kDoesNotFit);
  CHECK(reject_of(d) == "world_size_mismatch");
  bool said = false;
  for (const auto& result : d.report.lines.front().results)
    said = said || result.text == "the parallel sizes make 4 ranks, but 3 devices are asked for each replica";
  CHECK(said);
}

TEST_CASE("ranks that share a prompt's context are not judged, and nothing is placed as if they were not there") {
  auto request = grouped(2, 1, {});
  request.restriction.prefill_context_parallel = 2;
  request.restriction.across_workers = true;
  const auto d = decide(four_devices(), request, {}, group_catalog());
  CHECK(d.verdict == fleet::Verdict::kUnknown);
  CHECK(d.plans.empty());
  CHECK(reject_of(d) == "layout_not_judged");
}

}  // namespace berth::placement
