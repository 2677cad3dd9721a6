// What the report says beside the verdict: what was assumed, which workers only play one, what host memory there is.
#include <algorithm>
#include <doctest/doctest.h>
#include <set>

#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;

FleetSnapshot fleet_with(std::vector<fleet::Worker> workers) {
  std::vector<FleetSnapshot::Entry> entries;
  for (auto& worker : workers) entries.push_back(*fleet::make_entry(std::move(worker), {}));
  return *FleetSnapshot::build(std::move(entries), {});
}

}  // namespace

TEST_CASE("an embedding is computed in one batch: it is as large as the context, and counted") {
  const auto snapshot = fleet_with({linux_worker("w", Bytes(64 * kGiB))});
  auto request = request_for(llama_facts({}));
  const auto plain = decide(snapshot, request, {}, catalog());
  request.task = request.facts->task = "embed";
  const auto d = decide(snapshot, request, {}, catalog());
  REQUIRE(d.plans.size() == 1);
  CHECK(d.plans.front().settings.ubatch == 2048);
  CHECK(plain.plans.front().settings.ubatch == 512);
  CHECK(d.plans.front().workers.front().claim.memory_bytes > plain.plans.front().workers.front().claim.memory_bytes);
  bool said = false;
  for (const auto& line : d.report.defaults)
    said = said || (line.setting == "ubatch" && line.value == "2048" && line.why == "the whole input in one batch");
  CHECK(said);
  request.settings.ubatch = 256;  // who says it, gets it
  CHECK(decide(snapshot, request, {}, catalog()).plans.front().settings.ubatch == 256);
}

TEST_CASE("a simulated worker is told in its plan, its line and the summary, and apart from real ones") {
  auto real = linux_worker("a-real", Bytes(1 * kGiB));
  auto play = linux_worker("b-play", Bytes(64 * kGiB));
  play.simulated = true;
  const auto d = decide(fleet_with({real, play}), request_for(llama_facts({})), {}, catalog());
  REQUIRE(d.plans.size() == 1);
  CHECK(d.plans.front().workers.front().simulated);
  CHECK(d.summary.ends_with("on b-play (simulated)"));
  for (const auto& line : d.report.lines) {
    REQUIRE(line.examples.size() == 1);
    CHECK(line.simulated == (line.examples.front() == "b-play"));
    REQUIRE(line.host.has_value());
    CHECK(line.host->name == "host RAM");
    CHECK(line.host->total == Bytes((line.simulated ? 64 : 1) * kGiB));
  }
}

TEST_CASE("a real worker goes before a simulated one that is better in everything else") {
  auto play = linux_worker("a-play", Bytes(512 * kGiB));
  play.simulated = true;
  play.devices.push_back(cuda_device("gpu-0", Bytes(80 * kGiB)));
  const auto d =
      decide(fleet_with({play, linux_worker("b-real", Bytes(64 * kGiB))}), request_for(llama_facts({})), {}, catalog());
  REQUIRE(d.plans.size() == 1);
  CHECK(d.plans.front().workers.front().worker_name == "b-real");
}

TEST_CASE("a selected device that does not exist is told, though another one will do") {
  auto worker = linux_worker("w", Bytes(64 * kGiB));
  worker.devices.push_back(cuda_device("gpu-0", Bytes(80 * kGiB)));
  auto request = request_for(llama_facts({}));
  request.restriction.devices = {"w/gpu-0", "w/gpu-9"};
  const auto d = decide(fleet_with({worker}), request, {}, catalog());
  CHECK(d.verdict == fleet::Verdict::kFits);
  CHECK(d.report.notes == std::vector<std::string>{"selected device w/gpu-9 does not exist"});
}

TEST_CASE("an engine that is not on a worker comes with what to do about it") {
  auto worker = linux_worker("w", Bytes(64 * kGiB));
  worker.engines->clear();
  fleet::Policy policy;
  policy.allow_install = false;
  const auto d = decide(fleet_with({worker}), request_for(llama_facts({})), policy, catalog());
  CHECK(d.summary.find("put llama-server on the worker's PATH") != std::string::npos);
  CHECK(d.summary.find("--launcher-dir") != std::string::npos);
}

TEST_CASE("an engine that no worker is made for is told once, unless there is no other") {
  auto all = catalog();
  auto other = vllm_engine();
  other.id = other.title = "other";
  other.rows = {row_for("ascend", "cann")};
  all.edit([&](auto& engines) { engines.push_back(other); });
  auto worker = linux_worker("w1", Bytes(64 * kGiB));
  worker.devices = {cuda_device("d0", Bytes(8 * kGiB))};
  const auto snapshot = fleet_with({worker});
  auto request = request_for(vllm_facts(100 * kGiB));
  const auto engines_of = [&](const Decision& d) {
    std::set<std::string> out;
    for (const auto& line : d.report.lines) out.insert(line.engine);
    return out;
  };
  const auto both = decide(snapshot, request, Policy{}, all);
  CHECK(engines_of(both) == std::set<std::string>{"vllm"});
  const auto told = std::find_if(both.report.request.begin(), both.report.request.end(), [](const auto& r) {
    return r.reason == "no_worker_for_engine";
  });
  REQUIRE(told != both.report.request.end());
  CHECK(told->text == "other has builds for ascend on linux; no worker is such a machine");
  request.restriction.engine = "other";
  const auto alone = decide(snapshot, request, Policy{}, all);
  CHECK(engines_of(alone) == std::set<std::string>{"other"});
  CHECK(alone.report.request.empty());
}

}  // namespace berth::placement
