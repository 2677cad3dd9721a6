// Where a replica goes and what it takes there.
#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/compare.h"

namespace berth::cli::conformance {
namespace {

bool used_by(const fleet::PlanWorker& place, const CaseGpu& gpu) {
  const std::string id = fmt::format("{}:{}", gpu.runtime, gpu.index);
  return std::find(place.devices.begin(), place.devices.end(), id) != place.devices.end();
}

Bytes claimed_bytes(const fleet::PlanWorker& place, const CaseGpu& gpu) {
  const std::string id = fmt::format("{}:{}", gpu.runtime, gpu.index);
  for (const auto& claim : place.claim.devices)
    if (claim.device == id) return claim.bytes;
  return {};
}

std::string text_of(const std::map<std::string, Bytes>& by_index) {
  std::string out;
  for (const auto& [index, bytes] : by_index)
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", index, bytes.value);
  return "{" + out + "}";
}

/// The need by the rule that the cases' scheduler publishes for engines that take a share of the device: weights and a
/// fifth of them, and a footprint of the framework by the kind of model. Absent where it has another rule.
/// Source: GPUStack's documentation of its scheduler, "VRAM estimation".
std::optional<Bytes> published_estimate(const Case& c) {
  const auto& model = model_of(c);
  const auto backend = model.backend_requested ? model.backend_requested : model.backend_resolved;
  const std::string engine = engine_id(backend.value_or(""));
  if (engine != "vllm" && engine != "sglang") return std::nullopt;
  if (!c.model_facts || !c.model_facts->weight_bytes || !model.lora_adapters.empty()) return std::nullopt;
  const auto is = [&](std::string_view category) { return model.categories == std::vector{std::string(category)}; };
  std::uint64_t footprint = 0;
  if (is("llm")) footprint = 2 * kGiB;
  if (is("embedding") || is("reranker")) footprint = 512 * kMiB;
  if (footprint == 0) return std::nullopt;
  const std::uint64_t weights = c.model_facts->weight_bytes->value;
  return Bytes(weights + weights / 5 + footprint);
}

}  // namespace

void Comparison::devices(const std::string& what,
                         const fleet::PlanWorker& got,
                         const std::optional<std::string>& runtime,
                         const std::optional<std::vector<int>>& indexes) {
  const auto* worker = worker_named(got.worker_name);
  std::set<int> used;
  std::set<std::string> runtimes;
  for (const auto& gpu : worker == nullptr ? std::vector<CaseGpu>() : worker->gpus) {
    if (!used_by(got, gpu)) continue;
    used.insert(gpu.index);
    runtimes.insert(gpu.runtime);
  }
  if (runtime)
    check(runtimes == std::set<std::string>{*runtime},
          fmt::format("{}.gpu_runtime: expected {}, got {}", what, printable(*runtime), fmt::join(runtimes, ",")));
  if (!indexes) return;
  const std::set<int> wanted(indexes->begin(), indexes->end());
  check(used == wanted,
        fmt::format("{}.gpu_indexes: expected {}, got {}", what, fmt::join(wanted, ","), fmt::join(used, ",")));
}

void Comparison::share(const std::string& what, const fleet::PlanWorker& got, const CaseShare& wanted) {
  const auto& plan = decision_.plans.front();
  const auto same = [&](std::string_view name, const auto& expected, const auto& is, const auto& text) {
    if (expected)
      check(expected == is, fmt::format("{}.{}: expected {}, got {}", what, name, text(*expected), text(*is)));
  };
  const auto number = [](const auto& value) { return fmt::format("{}", value); };
  const auto bytes = [](Bytes value) { return std::to_string(value.value); };
  same("ram_bytes", wanted.ram_bytes, std::optional(got.claim.memory_bytes), bytes);
  std::map<std::string, Bytes> by_index;
  if (const auto* worker = worker_named(got.worker_name))
    for (const auto& gpu : worker->gpus)
      if (used_by(got, gpu)) by_index[std::to_string(gpu.index)] = claimed_bytes(got, gpu);
  same("vram_bytes_by_gpu", wanted.vram_bytes_by_gpu, std::optional(by_index), text_of);
  same("offload_layers", wanted.offload_layers, std::optional(plan.offload_layers.value_or(0)), number);
  same("total_layers", wanted.total_layers, std::optional(plan.total_layers.value_or(0)), number);
  same("vram_utilization", wanted.vram_utilization, std::optional(plan.settings.utilization.value_or(0)), number);
  if (wanted.tensor_split) differs(fmt::format("{}.tensor_split is not compared yet", what));
  if (wanted.unified) differs(fmt::format("{}.unified is not compared yet", what));
}

void Comparison::followers(const std::string& what, const std::vector<CaseFollower>& wanted) {
  const auto& workers = decision_.plans.front().workers;
  check(workers.size() == wanted.size() + 1,
        fmt::format("{}.subordinates: expected {}, got {}", what, wanted.size(), workers.size() - 1));
  for (const auto& follower : wanted) {
    const auto got = std::find_if(workers.begin() + 1, workers.end(), [&](const fleet::PlanWorker& w) {
      return follower.worker.empty() ? follower.worker_id && w.worker == worker_id(*follower.worker_id)
                                     : w.worker_name == follower.worker;
    });
    const std::string name = follower.worker.empty() ? std::to_string(follower.worker_id.value_or(0)) : follower.worker;
    const std::string where = fmt::format("{}.subordinates of {}", what, printable(name));
    check(got != workers.end(), fmt::format("{}: the plan has none", where));
    if (got == workers.end()) continue;
    devices(where, *got, follower.gpu_runtime, follower.gpu_indexes);
    if (follower.claim) share(where + ".claim", *got, *follower.claim);
  }
}

void Comparison::place(const std::string& what, const CasePlace& wanted) {
  if (decision_.plans.empty()) return check(false, fmt::format("{}: expected {}, got no plan", what, wanted.worker));
  const auto& got = decision_.plans.front().workers.front();
  check(got.worker_name == wanted.worker,
        fmt::format("{}.worker: expected {}, got {}", what, printable(wanted.worker), got.worker_name));
  if (wanted.worker_id)
    check(got.worker == worker_id(*wanted.worker_id),
          fmt::format("{}.worker_id: expected {}, got {}", what, *wanted.worker_id, got.worker));
  if (wanted.score) differs(fmt::format("{}.score is not compared: berth gives no scores", what));
  if (got.worker_name == wanted.worker) {
    devices(what, got, wanted.gpu_runtime, wanted.gpu_indexes);
    if (wanted.claim) share(what + ".claim", got, *wanted.claim);
  }
  if (wanted.subordinates) followers(what, *wanted.subordinates);
}

void Comparison::choice(const wire::RawJson& wanted) {
  if (wanted.text.empty()) return;
  if (wanted.text == "null") {
    const std::string got = decision_.plans.empty() ? "" : decision_.plans.front().workers.front().worker_name;
    return check(decision_.plans.empty(), fmt::format("choice: expected none, got {}", got));
  }
  const auto place_wanted = read_place(wanted);
  if (!place_wanted) return differs(fmt::format("expected.choice is not understood: {}", place_wanted.error().message));
  place("choice", *place_wanted);
}

// An estimate is the other scheduler's: berth has sums of its own, so what is held against it is the rule it was made
// by. That says nothing of berth's answer and counts as nothing compared.
void Comparison::estimate(const CaseEstimate& wanted) {
  const auto rule = published_estimate(case_);
  const auto holds = [&](std::string_view name, const std::optional<Bytes>& told, Bytes by_rule) {
    if (!told || (rule && *told == by_rule)) return;
    if (!rule) return left_out_.push_back(fmt::format("estimate.{}", name));  // no published rule gives it
    differs(fmt::format("estimate.{}: expected {}, the rule it is made by gives {}", name, told->value, by_rule.value));
  };
  holds("vram_bytes", wanted.vram_bytes, rule.value_or(Bytes()));
  holds("ram_bytes", wanted.ram_bytes, Bytes());
  const std::array others = {std::pair{"gpu_fraction", wanted.gpu_fraction.has_value()},
                             std::pair{"gpu_fraction_by_runtime", wanted.gpu_fraction_by_runtime.has_value()},
                             std::pair{"gpus_required", wanted.gpus_required.has_value()},
                             std::pair{"total_layers", wanted.total_layers.has_value()}};
  for (const auto& [name, told] : others)
    if (told) differs(fmt::format("expected.estimate.{} is not compared yet", name));
}

void Comparison::never_used(const std::vector<std::string>& names) {
  for (const auto& name : names) {
    if (worker_named(name) == nullptr) {
      differs(fmt::format("workers_never_used names {}, which the case does not have", printable(name)));
      continue;
    }
    const bool used = std::any_of(decision_.plans.begin(), decision_.plans.end(), [&](const fleet::Plan& plan) {
      return std::any_of(
          plan.workers.begin(), plan.workers.end(), [&](const fleet::PlanWorker& w) { return w.worker_name == name; });
    });
    check(!used, fmt::format("worker {} must never be used, but is", name));
  }
}

}  // namespace berth::cli::conformance
