// What nobody tells changes no verdict, what one worker does not tell is unknown, and what does not exist is said.
#include <algorithm>
#include <doctest/doctest.h>

#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;
using fleet::Outcome;
using fleet::Verdict;

FleetSnapshot fleet_of(std::vector<fleet::Worker> workers, std::set<std::string> not_carried) {
  std::vector<FleetSnapshot::Entry> entries;
  for (auto& worker : workers) entries.push_back(*fleet::make_entry(std::move(worker), {}));
  return *FleetSnapshot::build(std::move(entries), std::move(not_carried));
}

engines::EngineCatalog particular_catalog() {
  auto c = catalog();
  c.edit([](auto& engines) {
    for (auto& engine : engines)
      for (auto& row : engine.rows) row.arch = {"amd64"};
  });
  return c;
}

const fleet::RuleResult& result_of(const Decision& d, std::string_view rule) {
  for (const auto& line : d.report.lines)
    for (const auto& result : line.results)
      if (line.engine == "llama.cpp" && result.rule == rule) return result;
  static const fleet::RuleResult kNone;
  return kNone;
}

}  // namespace

TEST_CASE("a system or architecture that the source never carries is not evaluated and changes no verdict") {
  auto worker = linux_worker("w", Bytes(64 * kGiB));
  worker.os.clear();
  worker.arch.clear();
  const auto d = decide(fleet_of({worker}, {"os", "arch"}), request_for(llama_facts({})), {}, particular_catalog());
  CHECK(d.verdict == Verdict::kFits);
  for (const auto* rule : {"engine_os", "engine_arch"}) {
    CHECK(result_of(d, rule).outcome == Outcome::kNotEvaluated);
    CHECK(result_of(d, rule).because == "not_carried");
  }
}

TEST_CASE("a system or architecture that only this worker does not tell is unknown until it is accepted") {
  for (const bool os : {true, false}) {
    CAPTURE(os);
    auto worker = linux_worker("w", Bytes(64 * kGiB));
    (os ? worker.os : worker.arch).clear();
    auto request = request_for(llama_facts({}));
    auto d = decide(fleet_of({worker}, {}), request, {}, particular_catalog());
    CHECK(d.verdict == Verdict::kUnknown);
    CHECK(result_of(d, os ? "engine_os" : "engine_arch").reason == (os ? "os_unknown" : "arch_unknown"));
    request.accept = {os ? "os_unknown" : "arch_unknown"};
    d = decide(fleet_of({worker}, {}), request, {}, particular_catalog());
    CHECK(d.verdict == Verdict::kFits);
    CHECK(result_of(d, os ? "engine_os" : "engine_arch").outcome == Outcome::kWarn);
  }
}

TEST_CASE("a selected device of a worker that is not in the fleet is named") {
  auto request = request_for(llama_facts({}));
  request.restriction.devices = {"nowhere/cuda:1"};
  const auto d = decide(fleet_of({linux_worker("w", Bytes(64 * kGiB))}, {}), request, {}, catalog());
  CHECK(d.verdict == Verdict::kDoesNotFit);
  REQUIRE(!d.report.request.empty());
  CHECK(d.report.request.front().rule == "selection");
  CHECK(d.report.request.front().reason == "selected_device_missing");
  CHECK(d.report.request.front().args.at("worker") == "nowhere");
  CHECK(d.report.request.front().text == "selected device nowhere/cuda:1 does not exist");
}

TEST_CASE("weights that are too much for every device are so whatever else is not known of the model") {
  auto worker = linux_worker("w1", Bytes(512 * kGiB));
  for (const auto* id : {"d0", "d1"}) worker.devices.push_back(cuda_device(id, Bytes(24 * kGiB)));
  const auto snapshot = fleet_of({worker}, {});
  auto request = request_for(vllm_facts(100 * kGiB));
  request.facts->layers.reset();
  const auto d = decide(snapshot, request, Policy{}, catalog());
  CHECK(d.verdict == Verdict::kDoesNotFit);
  const auto line =
      std::find_if(d.report.lines.begin(), d.report.lines.end(), [](const auto& l) { return l.engine == "vllm"; });
  REQUIRE(line != d.report.lines.end());
  const auto memory =
      std::find_if(line->results.begin(), line->results.end(), [](const auto& r) { return r.rule == "memory"; });
  CHECK(memory->reason == "free_memory");
  CHECK(memory->needed == Bytes(50 * kGiB));
  request.facts->weight_bytes = Bytes(40 * kGiB);
  CHECK(decide(snapshot, request, Policy{}, catalog()).verdict == Verdict::kUnknown);
}

}  // namespace berth::placement
