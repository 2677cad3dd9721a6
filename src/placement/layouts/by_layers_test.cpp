// What layers do on devices that have nothing left.
#include <algorithm>
#include <doctest/doctest.h>

#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement {
namespace {

using namespace testing;
using fleet::Verdict;

FleetSnapshot full_devices() {
  auto worker = linux_worker("full", Bytes(64 * kGiB));
  for (const auto* id : {"d0", "d1"}) {
    worker.devices.push_back(cuda_device(id, Bytes(8 * kGiB)));
    worker.devices.back().memory_used_bytes = Bytes(8 * kGiB);
  }
  return *FleetSnapshot::build({*fleet::make_entry(std::move(worker), {})});
}

}  // namespace

TEST_CASE("devices without a free byte take no layers, and the report tells what they lack") {
  auto request = request_for(llama_facts({}));
  request.settings.cpu_offload = false;
  request.replicas = 2;
  const auto d = decide(full_devices(), request, Policy{}, catalog());
  CHECK(d.verdict == Verdict::kDoesNotFit);
  CHECK(d.plans.empty());
  const auto& line = *std::find_if(
      d.report.lines.begin(), d.report.lines.end(), [](const auto& l) { return l.engine == "llama.cpp"; });
  const auto memory =
      std::find_if(line.results.begin(), line.results.end(), [](const auto& r) { return r.rule == "memory"; });
  CHECK(memory->reason == "free_memory");
  CHECK(memory->needed > Bytes(256 * kMiB));
  CHECK(memory->available == Bytes());
}

TEST_CASE("with full devices a model goes to the host as a whole, not to devices without layers") {
  const auto d = decide(full_devices(), request_for(llama_facts({})), Policy{}, catalog());
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().layout == "cpu");
  CHECK(d.plans.front().workers.front().devices.empty());
}

}  // namespace berth::placement
