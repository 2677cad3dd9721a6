// A fleet and a model for cases that tell of neither.
#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/convert.h"

namespace berth::cli::conformance {
namespace {

constexpr Bytes kDeviceBytes(1024 * kGiB);
constexpr Bytes kHostBytes(16 * 1024 * kGiB);

CaseWorker& worker_of(Case& c, const std::string& name) {
  auto& workers = c.fleet.workers;
  const auto at = std::find_if(workers.begin(), workers.end(), [&](const CaseWorker& w) { return w.name == name; });
  if (at != workers.end()) return *at;
  CaseWorker worker;
  worker.id = static_cast<std::int64_t>(workers.size()) + 1;
  worker.name = name;
  worker.state = "ready";
  worker.os = "linux";
  worker.arch = "amd64";
  worker.memory.total_bytes = kHostBytes;
  return workers.emplace_back(std::move(worker));
}

Result<void> add_device(Case& c, const std::string& gpu_id) {
  TRY_VOID(device_ref(gpu_id).map([](const std::string&) {}));
  const auto parts = split(gpu_id, ':');
  const auto index = parse_u64(parts[2]);
  constexpr std::uint64_t kIndexMax = 4096;
  if (!index || *index > kIndexMax)
    return invalid(fmt::format("gpu_ids: \"{}\" must end in an index from 0 to {}", printable(gpu_id), kIndexMax));
  TRY(const auto runtime, runtime_row(parts[1]));
  CaseGpu gpu;
  gpu.vendor = runtime.vendor;
  gpu.runtime = runtime.runtime;
  gpu.index = static_cast<int>(*index);
  gpu.name = fmt::format("{} device", runtime.vendor);
  gpu.memory.total_bytes = kDeviceBytes;
  worker_of(c, std::string(parts[0])).gpus.push_back(std::move(gpu));
  return {};
}

/// Its heads divide by every usual number of ranks.
CaseFacts any_model() {
  CaseFacts facts;
  facts.weight_bytes = Bytes(64 * kGiB);
  facts.architectures = {"LlamaForCausalLM"};
  facts.layers = 64;
  facts.attention_heads = facts.kv_heads = facts.hidden_size = 40320;
  facts.head_dim = 1;
  facts.vocab_size = 40320;
  facts.max_context = 8192;
  facts.dtype = "bfloat16";
  return facts;
}

/// What the case does not tell of its model is that of one which is small beside every device.
CaseFacts small_model(CaseFacts facts) {
  const auto fill = [](auto& fact, auto value) {
    if (!fact) fact = value;
  };
  fill(facts.weight_bytes, Bytes(1 * kGiB));
  fill(facts.layers, 16U);
  fill(facts.attention_heads, 16U);
  fill(facts.kv_heads, 16U);
  fill(facts.hidden_size, 1024U);
  fill(facts.head_dim, 64U);
  fill(facts.vocab_size, 32'000U);
  fill(facts.max_context, 4096U);
  fill(facts.dtype, std::string("float16"));
  return facts;
}

}  // namespace

Result<Case> with_room(Case c) {
  if (!c.model) return invalid("the case has no model");
  auto& model = *c.model;
  if (model.source.empty()) model.source = "huggingface";
  if (c.kind == kKindEvaluate)
    c.model_facts = small_model(c.model_facts.value_or(CaseFacts()));
  else if (!c.model_facts)
    c.model_facts = any_model();
  if (!c.fleet.workers.empty()) return c;
  // Whoever names a version has a build of it.
  if (model.backend_version && c.backend_catalog.empty())
    c.backend_catalog.push_back({.runtime = "cuda", .backend_version = model.backend_version, .supported = true});
  if (model.gpu_selector)
    for (const auto& id : model.gpu_selector->gpu_ids) TRY_VOID(add_device(c, id));
  constexpr int kDevices = 64;
  if (c.fleet.workers.empty())
    for (int i = 0; i < kDevices; ++i) TRY_VOID(add_device(c, fmt::format("any:cuda:{}", i)));
  // A selection on several workers is the consent to use them.
  if (!model.distributed && c.fleet.workers.size() > 1) model.distributed = true;
  return c;
}

}  // namespace berth::cli::conformance
