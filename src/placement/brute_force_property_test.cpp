// One replica on at most 2 workers × 3 devices, against every subset of devices and every split of layers.
#include <algorithm>
#include <doctest/doctest.h>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "base/testing.h"
#include "estimate/estimate.h"
#include "placement/random_fleet.h"

namespace berth::placement {
namespace {

using namespace testing;
using estimate::DeviceTraits;

constexpr std::uint64_t kSeeds = 400;

struct Usable {
  std::vector<Bytes> devices;  // allocatable, of one type
  DeviceTraits traits;
  Bytes total;  // of each
};

std::vector<Usable> by_type(const fleet::WorkerEntry& entry, const Request& request) {
  std::vector<Usable> out;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < entry.worker.devices.size(); ++i) {
    const auto& d = entry.worker.devices[i];
    const auto& chosen = request.restriction.devices;
    const auto name = entry.worker.name + "/" + d.id;
    if (d.health == fleet::Health::kUnhealthy) continue;
    if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), name) == chosen.end()) continue;
    auto at = std::find(names.begin(), names.end(), d.name);
    if (at == names.end()) {
      names.push_back(d.name);
      out.push_back({{}, {.framework = d.framework, .unified_memory = false}, d.memory_total_bytes});
      at = names.end() - 1;
    }
    out[static_cast<std::size_t>(at - names.begin())].devices.push_back(entry.capacity[i].allocatable);
  }
  return out;
}

/// Calls `f` with every ordered choice of `count` of `n`.
void each_choice(std::size_t n,
                 std::size_t count,
                 std::vector<std::size_t>& chosen,
                 const std::function<void(const std::vector<std::size_t>&)>& f) {
  if (chosen.size() == count) return f(chosen);
  for (std::size_t i = 0; i < n; ++i) {
    if (std::find(chosen.begin(), chosen.end(), i) != chosen.end()) continue;
    chosen.push_back(i);
    each_choice(n, count, chosen, f);
    chosen.pop_back();
  }
}

/// Calls `f` with every way to give `left` layers to the devices from `at` on, at least one each.
void each_split(std::vector<std::uint32_t>& layers,
                std::size_t at,
                std::uint32_t left,
                const std::function<void()>& f) {
  if (at + 1 == layers.size()) {
    layers[at] = left;
    if (left > 0) f();
    return;
  }
  for (std::uint32_t n = 1; n < left; ++n) {
    layers[at] = n;
    each_split(layers, at + 1, left - n, f);
  }
}

bool llama_on(const Usable& type, Bytes memory, const estimate::LlamaModel& model, const Request& request) {
  const auto fixed = request.restriction.devices_per_replica;
  const std::uint32_t total = model.total_layers();
  bool fits = false;
  for (std::size_t g = 1; g <= type.devices.size(); ++g) {
    if (fixed && *fixed != g) continue;
    std::vector<std::size_t> chosen;
    each_choice(type.devices.size(), g, chosen, [&](const std::vector<std::size_t>& order) {
      for (std::uint32_t n = request.settings.cpu_offload ? 1 : total; n <= total; ++n) {
        if (n < g) continue;
        std::vector<std::uint32_t> layers(g);
        each_split(layers, 0, n, [&] {
          const auto split = model.split(layers, type.traits);
          bool all = split.host.high <= memory;
          for (std::size_t i = 0; i < g; ++i) all = all && split.devices[i].high <= type.devices[order[i]];
          fits = fits || all;
        });
      }
    });
  }
  return fits;
}

/// Whether the request leaves or names these sizes, and the model can be cut so.
bool admitted(const Request& request, std::uint32_t tp, std::uint32_t pp) {
  const auto& r = request.restriction;
  const std::uint32_t dp = r.data_parallel.value_or(1);
  const auto fixed = r.devices_per_replica;
  if (fixed ? *fixed != tp * pp * dp : !r.tensor_parallel && (tp & (tp - 1)) != 0) return false;
  const bool asked = r.tensor_parallel || r.pipeline_parallel || r.data_parallel;
  if (asked && !fixed && (r.tensor_parallel.value_or(1) != tp || r.pipeline_parallel.value_or(1) != pp)) return false;
  if (r.tensor_parallel.value_or(tp) != tp || r.pipeline_parallel.value_or(pp) != pp) return false;
  return *request.facts->attention_heads % tp == 0;
}

bool vllm_on(const Usable& type, Bytes memory, const Request& request) {
  const std::uint32_t dp = request.restriction.data_parallel.value_or(1);
  for (std::uint32_t tp = 1; tp <= type.devices.size(); ++tp) {
    for (std::uint32_t pp = 1; tp * pp * dp <= type.devices.size(); ++pp) {
      if (!admitted(request, tp, pp)) continue;
      const estimate::RankLayout layout{.tensor_parallel = tp, .pipeline_parallel = pp, .data_parallel = dp};
      const auto rank = estimate::rank_memory(*request.facts, request.settings, layout, type.traits);
      REQUIRE(rank.has_value());
      const Bytes claim(
          mul_div_ceil(type.total.value, mul_div_ceil(rank->device.high.value, 100, type.total.value), 100));
      const auto enough = std::count_if(
          type.devices.begin(), type.devices.end(), [&](Bytes allocatable) { return claim <= allocatable; });
      if (enough >= tp * pp * dp && rank->host.high <= memory) return true;
    }
  }
  return false;
}

/// What one worker offers of one kind of device.
struct Offer {
  std::string worker;
  std::string kind;
  Usable usable;
  Bytes memory;
};

/// Most groups of `tp` ranks of `claim` that devices and host RAM of a worker take.
std::uint32_t groups_on(const Offer& offer, const estimate::RankEstimate& rank, Bytes claim, std::uint32_t tp) {
  const auto enough = std::count_if(offer.usable.devices.begin(), offer.usable.devices.end(), [&](Bytes allocatable) {
    return claim <= allocatable;
  });
  std::uint32_t groups = static_cast<std::uint32_t>(enough) / tp;
  while (groups > 0 && rank.host_for(groups * tp).high > offer.memory) --groups;
  return groups;
}

/// Stages on another kind of device on each worker, each giving the same hundredths of itself.
bool mixed_stages(const std::vector<Offer>& offers, const Request& request, std::uint32_t tp, std::uint32_t pp) {
  const estimate::RankLayout layout{.tensor_parallel = tp, .pipeline_parallel = pp, .data_parallel = 1};
  for (std::uint64_t hundredths = 1; hundredths <= 100; ++hundredths) {
    std::map<std::string, std::uint32_t> most;
    for (const auto& offer : offers) {
      const auto rank = estimate::rank_memory(*request.facts, request.settings, layout, offer.usable.traits);
      REQUIRE(rank.has_value());
      const Bytes claim(mul_div_ceil(offer.usable.total.value, hundredths, 100));
      if (claim < rank->device.high) continue;
      auto& groups = most[offer.worker];
      groups = std::max(groups, groups_on(offer, *rank, claim, tp));
    }
    std::uint32_t groups = 0;
    for (const auto& [worker, n] : most) groups += n;
    if (groups >= pp) return true;
  }
  return false;
}

/// Whole groups dealt over all workers, or one group in equal shares.
bool over_workers(const std::vector<Offer>& offers, const Request& request) {
  const std::uint32_t dp = request.restriction.data_parallel.value_or(1);
  constexpr std::uint32_t kMost = 9;  // as many devices as these fleets have
  for (const auto& kind : offers) {
    for (std::uint32_t tp = 1; tp <= kMost; ++tp) {
      for (std::uint32_t pp = 1; tp * pp * dp <= kMost; ++pp) {
        if (!admitted(request, tp, pp)) continue;
        const estimate::RankLayout layout{.tensor_parallel = tp, .pipeline_parallel = pp, .data_parallel = dp};
        const auto rank = estimate::rank_memory(*request.facts, request.settings, layout, kind.usable.traits);
        REQUIRE(rank.has_value());
        const Bytes total = kind.usable.total;
        const Bytes claim(mul_div_ceil(total.value, mul_div_ceil(rank->device.high.value, 100, total.value), 100));
        if (claim > total) continue;
        std::uint32_t groups = 0;
        for (const auto& offer : offers)
          if (offer.kind == kind.kind) groups += groups_on(offer, *rank, claim, tp);
        if (groups >= pp * dp) return true;
        if (dp == 1 && pp > 1 && mixed_stages(offers, request, tp, pp)) return true;
        for (std::uint32_t m = 2; pp * dp == 1 && m <= tp; ++m) {
          if (tp % m != 0) continue;
          std::uint32_t able = 0;
          for (const auto& offer : offers)
            if (offer.kind == kind.kind && groups_on(offer, *rank, claim, tp / m) > 0) ++able;
          if (able >= m) return true;
        }
      }
    }
  }
  return false;
}

bool open(const fleet::Worker& worker, const Request& request) {
  const auto& r = request.restriction;
  if (worker.state != fleet::WorkerState::kReady || worker.cordoned) return false;
  for (const auto& [key, value] : r.labels)
    if (!worker.labels.contains(key) || worker.labels.at(key) != value) return false;
  return r.workers.empty() || std::find(r.workers.begin(), r.workers.end(), worker.name) != r.workers.end();
}

bool brute_force(const FleetSnapshot& snapshot, const Request& request) {
  const bool llama = request.facts->format == "gguf";
  bool fits = false;
  std::vector<Offer> offers;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    if (!open(entry.worker, request)) return;
    const Bytes memory = entry.memory.allocatable;
    const auto types = by_type(entry, request);
    if (!llama) {
      for (const auto& type : types) {
        if (type.traits.framework != "cuda") continue;
        fits = fits || vllm_on(type, memory, request);
        offers.push_back({entry.worker.id, type.traits.framework + std::to_string(type.total.value), type, memory});
      }
      return;
    }
    const auto model = estimate::LlamaModel::prepare(*request.facts, request.settings);
    REQUIRE(model.has_value());
    for (const auto& type : types) fits = fits || llama_on(type, memory, *model, request);
    const auto& r = request.restriction;
    const bool cpu = r.devices.empty() && !r.devices_per_replica && request.settings.cpu_offload;
    if (cpu) fits = fits || model->split({}, {.framework = "cpu", .unified_memory = false}).host.high <= memory;
  });
  return fits || (request.restriction.across_workers && over_workers(offers, request));
}

}  // namespace

TEST_CASE("one replica fits exactly when some subset of devices and some split of layers fits") {
  std::uint64_t yes = 0;
  std::uint64_t no = 0;
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(kSeeds); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto machines = random_machines(rng, {.workers_max = 3, .devices_max = 3, .all_open = false});
    auto request = random_request(rng, machines);
    request.replicas = 1;
    request.accept.clear();
    const auto snapshot = snapshot_of(machines);
    const bool possible = brute_force(snapshot, request);
    const auto decision = decide(snapshot, request, Policy{}, catalog());
    CHECK_MESSAGE((decision.verdict == fleet::Verdict::kFits) == possible, decision.summary);
    ++(possible ? yes : no);
  }
  CHECK(yes >= berth::testing::at_least(80));
  CHECK(no >= berth::testing::at_least(50));
}

TEST_CASE("stages lie on unlike devices of several workers exactly when some way of dealing them out fits") {
  std::uint64_t mixed = 0, no = 0;
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(4 * kSeeds); ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    auto machines = random_machines(rng, {.workers_max = 3, .devices_max = 2, .all_open = true});
    auto request = plain_request(rng);
    request.facts = vllm_facts(between(rng, 4, 40) * 512 * kMiB);
    request.restriction = {};
    request.restriction.across_workers = true;
    if (rng.chance(3, 4)) request.restriction.pipeline_parallel = static_cast<std::uint32_t>(between(rng, 2, 3));
    for (auto& m : machines) {
      m.occupants.clear();
      m.worker.memory_total_bytes = Bytes(64 * kGiB);
      m.worker.devices.clear();
      const std::uint64_t gib = rng.chance(1, 2) ? 8 : 16;
      for (std::uint64_t d = rng.chance(1, 4) ? 2 : 1; d > 0; --d) {
        m.worker.devices.push_back(cuda_device("d" + std::to_string(d), Bytes(gib * kGiB)));
        if (rng.chance(1, 4)) m.worker.devices.back().memory_used_bytes = Bytes(rng.below(gib * kGiB));
      }
    }
    const auto snapshot = snapshot_of(machines);
    const bool possible = brute_force(snapshot, request);
    const auto decision = decide(snapshot, request, Policy{}, catalog());
    CHECK_MESSAGE((decision.verdict == fleet::Verdict::kFits) == possible, decision.summary);
    no += possible ? 0 : 1;
    if (decision.plans.empty()) continue;
    std::set<std::uint64_t> totals;
    for (const auto& part : decision.plans.front().workers)
      for (const auto& id : part.devices)
        for (const auto& d : snapshot.find(part.worker)->worker.devices)
          if (d.id == id) totals.insert(d.memory_total_bytes.value);
    mixed += totals.size() > 1 ? 1 : 0;
    CHECK(verify(snapshot, request, Policy{}, catalog(), decision.plans.front()).ok);
  }
  CHECK(mixed >= berth::testing::at_least(10));
  CHECK(no >= berth::testing::at_least(200));
}

}  // namespace berth::placement
