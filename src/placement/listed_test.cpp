// The rows of fleet::gpustack_policy, one after the other, on fleets by hand.
#include <doctest/doctest.h>

#include "base/testing.h"
#include "placement/decide.h"
#include "placement/listing.h"
#include "placement/random_fleet.h"

namespace berth::placement {
namespace {

using fleet::Verdict;

fleet::FleetSnapshot cuda_fleet(std::vector<std::vector<std::uint64_t>> workers,
                                std::vector<fleet::Occupant> on_first = {}) {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (std::size_t w = 0; w < workers.size(); ++w) {
    auto worker = testing::linux_worker("w" + std::to_string(w), Bytes(128 * kGiB));
    for (std::size_t i = 0; i < workers[w].size(); ++i)
      worker.devices.push_back(testing::cuda_device("cuda:" + std::to_string(i), Bytes(workers[w][i] * kGiB)));
    entries.push_back(*fleet::make_entry(std::move(worker), w == 0 ? on_first : std::vector<fleet::Occupant>()));
  }
  return *fleet::FleetSnapshot::build(std::move(entries));
}

fleet::Request share_request(std::uint64_t weights) {
  auto request = testing::request_for(testing::vllm_facts(weights));
  request.restriction.engine = "vllm";
  request.strategy = fleet::Strategy::kBinpack;
  return request;
}

Decision ask_listed(const fleet::FleetSnapshot& snapshot, const fleet::Request& request) {
  auto d = decide(snapshot, request, fleet::gpustack_policy(), testing::catalog());
  for (const auto& plan : d.plans)
    CHECK(verify(snapshot, request, fleet::gpustack_policy(), testing::catalog(), plan).ok);
  return d;
}

std::vector<std::string> listed_devices(const Decision& d) {
  return d.plans.empty() ? std::vector<std::string>() : d.plans.front().workers.front().devices;
}

std::string key_value(const Decision& d, std::string_view name) {
  for (const auto& part : d.plans.front().key)
    if (part.name == name) return part.value;
  return "";
}

TEST_CASE("a share of 0.9 is claimed of one device where that holds weights, a fifth of them and 2 GiB") {
  const auto d = ask_listed(cuda_fleet({{24, 24}}), share_request(4 * kGiB));
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(listed_devices(d) == std::vector<std::string>{"cuda:0"});
  CHECK(d.plans.front().workers.front().claim.devices.front().bytes == Bytes(23192823398));
  CHECK(key_value(d, "score") == "59999999999");
}

TEST_CASE("where one device is too small, as few as hold the need and as the heads divide by") {
  // 62 GiB of three devices with 21.6 GiB; 16 heads do not divide by 3.
  CHECK(listed_devices(ask_listed(cuda_fleet({{24, 24, 24, 24}}), share_request(50 * kGiB))).size() == 4);
  CHECK(listed_devices(ask_listed(cuda_fleet({{24, 24, 24, 24}}), share_request(20 * kGiB))).size() == 2);
  // Devices of a group are of one size, within a tenth.
  CHECK(ask_listed(cuda_fleet({{24, 16}}), share_request(20 * kGiB)).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("over workers by consent, whole workers with as many devices each") {
  auto request = share_request(30 * kGiB);
  const auto snapshot = cuda_fleet({{24}, {24}, {16, 16}});
  CHECK(ask_listed(snapshot, request).verdict == Verdict::kDoesNotFit);
  request.restriction.across_workers = true;
  const auto d = ask_listed(snapshot, request);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().workers.size() == 2);
  CHECK(d.plans.front().workers.back().worker_name == "w1");
  // Two and two are not three.
  request.restriction.pipeline_parallel = 3;
  CHECK(ask_listed(cuda_fleet({{24, 24}, {24, 24}}), request).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("a selection that is too small is taken for one replica, with a warning, and for two it is not") {
  auto request = share_request(50 * kGiB);
  const auto snapshot = cuda_fleet({{24, 24, 24, 24}});
  request.restriction.devices = {"w0/cuda:1", "w0/cuda:3"};
  request.restriction.devices_per_replica = 2;
  const auto d = ask_listed(snapshot, request);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(listed_devices(d) == std::vector<std::string>{"cuda:1", "cuda:3"});
  REQUIRE_FALSE(d.plans.front().warnings.empty());
  CHECK(d.plans.front().warnings.front().reason == "selection_overcommitted");
  request.replicas = 2;
  request.restriction.devices_per_replica = 1;
  CHECK(ask_listed(snapshot, request).verdict == Verdict::kDoesNotFit);
  CHECK(decide(snapshot, request, {}, testing::catalog()).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("what strangers and instances use beyond their claims does not count") {
  fleet::Occupant foreign;
  foreign.id = "x";
  foreign.kind = fleet::OccupantKind::kForeign;
  foreign.observed = {{"cuda:0", Bytes(20 * kGiB)}};
  const auto snapshot = cuda_fleet({{24}}, {foreign});
  CHECK(ask_listed(snapshot, share_request(4 * kGiB)).verdict == Verdict::kFits);
  CHECK(decide(snapshot, share_request(10 * kGiB), {}, testing::catalog()).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("binpack fills the fuller device, spread takes the empty worker") {
  fleet::Occupant other;
  other.id = "i1";
  other.deployment = "other";
  other.claim.worker = "id-w0";
  other.claim.devices = {{"cuda:1", Bytes(2 * kGiB)}};
  const auto snapshot = cuda_fleet({{24, 24}, {24}}, {other});
  CHECK(listed_devices(ask_listed(snapshot, share_request(4 * kGiB))) == std::vector<std::string>{"cuda:1"});
  auto request = share_request(4 * kGiB);
  request.strategy = fleet::Strategy::kSpread;
  const auto d = ask_listed(snapshot, request);
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().workers.front().worker_name == "w1");
  CHECK(key_value(d, "score") == "100000000000");
}

TEST_CASE("all candidates of the step are told, and replicas take what the last one left") {
  const auto snapshot = cuda_fleet({{24, 24}, {24}});
  const auto listing = list_candidates(snapshot, share_request(4 * kGiB), fleet::gpustack_policy(), testing::catalog());
  REQUIRE(listing);
  CHECK(listing->plans.size() == 3);
  REQUIRE(listing->need);
  CHECK(listing->need->share == 0.9);
  CHECK_FALSE(list_candidates(snapshot, share_request(1), {}, testing::catalog()));
  auto request = share_request(4 * kGiB);
  request.replicas = 4;
  CHECK(ask_listed(snapshot, request).fit_count == 3);
}

TEST_CASE("a GGUF file without recorded splits goes by berth's own sums") {
  const auto d = ask_listed(cuda_fleet({{24}}), testing::request_for(testing::llama_facts({})));
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(d.plans.front().layout == "single_device");
  CHECK(d.plans.front().memory.front().name == "weights");
}

TEST_CASE("layers lie as the recorded splits say") {
  auto facts = testing::llama_facts({});
  fleet::SplitReading one, two;
  one.rows = {{0, false, Bytes(40 * kGiB), Bytes(40 * kGiB), {{Bytes(1 * kGiB), Bytes(1 * kGiB), 0}}},
              {9, true, Bytes(1 * kGiB), Bytes(1 * kGiB), {{Bytes(40 * kGiB), Bytes(40 * kGiB), 9}}}};
  two.split = {Bytes(24 * kGiB), Bytes(24 * kGiB)};
  const fleet::SplitDevice half{Bytes(20 * kGiB), Bytes(20 * kGiB), 5};
  two.rows = {{9, true, Bytes(1 * kGiB), Bytes(1 * kGiB), {half, half}}};
  facts.splits = {one, two};
  const auto d = ask_listed(cuda_fleet({{24, 24, 24}}), testing::request_for(facts));
  REQUIRE(d.verdict == Verdict::kFits);
  CHECK(listed_devices(d).size() == 2);
  CHECK(d.plans.front().offload_layers == 9u);
  CHECK(d.plans.front().workers.front().tensor_split == std::vector<std::uint32_t>{1, 1});
  const auto host = ask_listed(cuda_fleet({{16}}), testing::request_for(facts));
  REQUIRE(host.verdict == Verdict::kFits);
  CHECK(host.plans.front().layout == "cpu");
}

TEST_CASE("devices of one framework go together, whatever they are called") {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  auto worker = testing::linux_worker("w0", Bytes(128 * kGiB));
  worker.devices = {testing::cuda_device("cuda:0", Bytes(24 * kGiB)), testing::cuda_device("cuda:1", Bytes(23 * kGiB))};
  entries.push_back(*fleet::make_entry(std::move(worker), {}));
  const auto snapshot = *fleet::FleetSnapshot::build(std::move(entries));
  CHECK(listed_devices(ask_listed(snapshot, share_request(25 * kGiB))).size() == 2);
  CHECK(decide(snapshot, share_request(35 * kGiB), {}, testing::catalog()).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("a part of the KV cache on the host: so much of what is claimed, on each worker") {
  auto request = share_request(4 * kGiB);
  request.facts->measured["kv/host/permille"] = 1200;
  const auto d = ask_listed(cuda_fleet({{24}}), request);
  REQUIRE(d.verdict == Verdict::kFits);
  const auto& claim = d.plans.front().workers.front().claim;
  CHECK(claim.memory_bytes == Bytes(claim.devices.front().bytes.value * 12 / 10));
  CHECK(ask_listed(cuda_fleet({{160}}), request).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("an image model lies on one device as a whole, or on as many as are asked for, on each as a whole") {
  auto request = share_request(20 * kGiB);
  request.task = "image";
  auto catalog = testing::catalog();
  catalog.edit([](auto& engines) {
    for (auto& engine : engines) engine.tasks.emplace_back("image");
  });
  const auto ask = [&](const fleet::Request& r) {
    return decide(cuda_fleet({{24, 24}}), r, fleet::gpustack_policy(), catalog);
  };
  CHECK(listed_devices(ask(request)).size() == 1);
  request.restriction.tensor_parallel = 2;
  const auto two = ask(request);
  REQUIRE(two.verdict == Verdict::kFits);
  CHECK(two.plans.front().workers.front().claim.devices.back().bytes == Bytes(20 * kGiB));
  request.facts->weight_bytes = Bytes(30 * kGiB);
  CHECK(ask(request).verdict == Verdict::kDoesNotFit);
}

TEST_CASE("on random fleets every plan verifies, and claims stay within what is there unless chosen by hand") {
  std::uint64_t plans = 0;
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(600); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto machines = testing::random_machines(rng, {});
    const auto request = testing::random_request(rng, machines);
    const auto snapshot = testing::snapshot_of(machines);
    const auto d = ask_listed(snapshot, request);
    CHECK(d.fit_count <= d.asked);
    for (const auto& result : d.report.request) CHECK(result.reason != "internal_error");
    for (const auto& plan : d.plans) {
      ++plans;
      if (!request.restriction.devices.empty()) continue;
      for (const auto& worker : plan.workers)
        for (const auto& claim : worker.claim.devices) {
          const auto* entry = snapshot.find(worker.worker);
          REQUIRE(entry != nullptr);
          const auto at = fleet::device_position(*entry, claim.device);
          CHECK(claim.bytes <= entry->worker.devices[at].memory_total_bytes);
        }
    }
  }
  CHECK(plans >= berth::testing::at_least(100));
}

}  // namespace
}  // namespace berth::placement
