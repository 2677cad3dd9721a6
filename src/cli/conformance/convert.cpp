#include "cli/conformance/convert.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "engines/request.h"

namespace berth::cli::conformance {
namespace {

Error not_understood(std::string_view key, std::string_view value) {
  return fail(Code::kNotSupported, fmt::format("{} is \"{}\", which is not understood", key, printable(value)));
}

template <class T>
struct Named {
  std::string_view theirs;
  T ours;
};

template <class Table>
auto look_up(const Table& table, std::string_view name, std::string_view key) -> Result<decltype(table.front().ours)> {
  const auto at = std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.theirs == name; });
  if (at == table.end()) return not_understood(key, name);
  return at->ours;
}

constexpr std::array kStates = {
    Named<fleet::WorkerState>{"ready", fleet::WorkerState::kReady},
    Named<fleet::WorkerState>{"running", fleet::WorkerState::kReady},  // the word of old recordings
    Named<fleet::WorkerState>{"not_ready", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"unreachable", fleet::WorkerState::kUnreachable},
    Named<fleet::WorkerState>{"pending", fleet::WorkerState::kPending},
    // On the way up, and nothing is placed before it is ready.
    Named<fleet::WorkerState>{"provisioning", fleet::WorkerState::kPending},
    Named<fleet::WorkerState>{"initializing", fleet::WorkerState::kPending},
    // On the way down or out of order.
    Named<fleet::WorkerState>{"maintenance", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"deleting", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"error", fleet::WorkerState::kNotReady},
};
constexpr std::array kEngines = {
    Named<std::string_view>{"vLLM", "vllm"},
    Named<std::string_view>{"llama-box", "llama.cpp"},  // a llama.cpp server of GPUStack's
    Named<std::string_view>{"SGLang", "sglang"},
    Named<std::string_view>{"MindIE", "mindie"},
    Named<std::string_view>{"vox-box", "voxbox"},
    Named<std::string_view>{"Custom", "custom"},
};
constexpr std::array kTasks = {
    Named<std::string_view>{"llm", "generate"},
    Named<std::string_view>{"embedding", "embed"},
    Named<std::string_view>{"reranker", "rerank"},
    Named<std::string_view>{"speech_to_text", "transcribe"},
    Named<std::string_view>{"text_to_speech", "speech"},
    Named<std::string_view>{"image", "image"},
};
constexpr std::array kStrategies = {
    Named<fleet::Strategy>{"spread", fleet::Strategy::kSpread},
    Named<fleet::Strategy>{"binpack", fleet::Strategy::kBinpack},
};
constexpr std::array kSources = {
    Named<std::string_view>{"huggingface", "huggingface"},
    Named<std::string_view>{"model_scope", "modelscope"},
    Named<std::string_view>{"local_path", "local"},
};
constexpr std::array kInstanceStates = {
    Named<bool>{"running", true},
    Named<bool>{"pending", false},  // holds its claim, not yet its memory
    Named<bool>{"analyzing", false},
    Named<bool>{"scheduled", false},
    Named<bool>{"initializing", false},
    Named<bool>{"downloading", false},
    Named<bool>{"starting", false},
    // Not known to run, but the claim counts until the instance is gone.
    Named<bool>{"error", false},
    Named<bool>{"unreachable", false},
};

std::string device_id(std::string_view runtime, int index) { return fmt::format("{}:{}", runtime, index); }

Result<fleet::Worker> to_worker(const CaseWorker& w) {
  if (w.name.empty()) return invalid("a worker has no name");
  if (w.memory.total_bytes.value == 0) return invalid(fmt::format("worker {}: memory.total_bytes is absent", w.name));
  fleet::Worker out;
  out.id = worker_id(w.id);
  out.name = w.name;
  out.cluster = w.cluster_id ? std::to_string(*w.cluster_id) : "default";
  out.os = w.os.value_or("");
  out.arch = w.arch.value_or("");
  TRY(out.state, worker_state(w.state));
  out.labels = w.labels;
  out.memory_total_bytes = w.memory.total_bytes;
  out.reserved_memory_bytes = w.reserved.ram_bytes;
  out.reserved_device_memory_bytes = w.reserved.vram_bytes;
  for (const auto& gpu : w.gpus) {
    TRY(const auto runtime, runtime_row(gpu.runtime));
    if (gpu.memory.total_bytes.value == 0)
      return invalid(fmt::format("worker {}: gpu {} has no memory.total_bytes", w.name, gpu.index));
    fleet::Device device;
    device.id = device_id(gpu.runtime, gpu.index);
    device.index = gpu.index;
    device.name = gpu.name;
    device.vendor = gpu.vendor;
    device.framework = runtime.framework;
    device.runtime_version = gpu.runtime_version;
    device.driver_version = gpu.driver_version;
    device.compute_capability = gpu.compute_capability;
    device.memory_total_bytes = gpu.memory.total_bytes;  // used_bytes is telemetry, and no part of the answer there
    device.unified_memory = gpu.memory.unified;
    out.devices.push_back(std::move(device));
  }
  return out;
}

Result<fleet::Claim> to_claim(const CaseClaim& claim, const CaseWorker& worker) {
  fleet::Claim out;
  out.worker = worker_id(worker.id);
  out.memory_bytes = claim.ram_bytes;
  for (const auto& [index, bytes] : claim.vram_bytes_by_gpu) {
    const auto at = std::find_if(
        worker.gpus.begin(), worker.gpus.end(), [&](const CaseGpu& gpu) { return std::to_string(gpu.index) == index; });
    // A claim on a device that is gone holds nothing of the others.
    if (at != worker.gpus.end()) out.devices.push_back({device_id(at->runtime, at->index), bytes});
  }
  return out;
}

Result<void> add_claim(std::map<std::int64_t, std::vector<fleet::Occupant>>& by_worker,
                       const Case& c,
                       const CaseInstance& instance,
                       std::int64_t worker,
                       const CaseClaim& claim) {
  const auto at =
      std::find_if(c.fleet.workers.begin(), c.fleet.workers.end(), [&](const CaseWorker& w) { return w.id == worker; });
  if (at == c.fleet.workers.end()) return {};  // its worker is not in this fleet: it holds nothing here
  fleet::Occupant o;
  o.id = fmt::format("{}", instance.id);
  o.deployment = fmt::format("model-{}", instance.model_id);
  TRY(o.running, look_up(kInstanceStates, instance.state, "instances[].state"));
  TRY(o.claim, to_claim(claim, *at));
  by_worker[worker].push_back(std::move(o));
  return {};
}

Result<std::map<std::int64_t, std::vector<fleet::Occupant>>> to_occupants(const Case& c) {
  std::map<std::int64_t, std::vector<fleet::Occupant>> out;
  for (const auto& instance : c.instances) {
    if (instance.claim) TRY_VOID(add_claim(out, c, instance, instance.worker_id, *instance.claim));
    for (const auto& sub : instance.subordinates)
      if (sub.claim) TRY_VOID(add_claim(out, c, instance, sub.worker_id, *sub.claim));
  }
  return out;
}

// What a case does not tell of a worker is not carried, whatever it tells of another.
const std::set<std::string>& not_carried() {
  static const std::set<std::string> kInputs = {"engines",
                                                "disk",
                                                "health",
                                                "interconnect",
                                                "files",
                                                "os",
                                                "arch",
                                                "runtime_version",
                                                "driver_version",
                                                "compute_capability"};
  return kInputs;
}

Result<fleet::FleetSnapshot> to_snapshot(const Case& c) {
  TRY(auto occupants, to_occupants(c));
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (const auto& w : c.fleet.workers) {
    TRY(auto worker, to_worker(w));
    TRY(auto entry, fleet::make_entry(std::move(worker), std::move(occupants[w.id])));
    entries.push_back(std::move(entry));
  }
  return fleet::FleetSnapshot::build(std::move(entries), not_carried());
}

fleet::ModelFacts to_facts(const CaseFacts& f, const CaseModel& model) {
  fleet::ModelFacts out;
  out.name = model.repo;
  out.format = model.file.ends_with(".gguf") ? "gguf" : "safetensors";
  if (f.architectures) out.architectures = *f.architectures;
  if (!out.architectures.empty()) out.architecture = out.architectures.front();
  if (f.quantization) out.quantization = f.quantization->quant_method;
  out.dtype = f.dtype;
  out.weight_bytes = f.weight_bytes;
  // Adapters are loaded beside the model and stay.
  for (const auto bytes : f.lora_weight_bytes)
    if (out.weight_bytes) *out.weight_bytes += bytes;
  out.layers = f.layers;
  out.hidden_size = f.hidden_size;
  out.vocab_size = f.vocab_size;
  out.attention_heads = f.attention_heads;
  out.kv_heads = f.kv_heads;
  out.head_dim = f.head_dim;
  out.vision_attention_heads = f.vision_attention_heads;
  out.max_context = f.max_context;
  out.experts = f.experts;
  out.expert_feed_forward_size = f.moe_intermediate_size;
  out.kv_lora_rank = f.kv_lora_rank;
  out.q_lora_rank = f.q_lora_rank;
  out.rope_head_dim = f.qk_rope_head_dim;
  if (f.qk_nope_head_dim) out.mla_key_head_dim = *f.qk_nope_head_dim + f.qk_rope_head_dim.value_or(0);
  out.mla_value_head_dim = f.v_head_dim;
  out.custom_code = f.needs_custom_code;
  return out;
}

Result<std::string> to_task(const std::vector<std::string>& categories) {
  std::set<std::string> tasks;
  for (const auto& category : categories) {
    TRY(const auto task, look_up(kTasks, category, "model.categories[]"));
    tasks.emplace(task);
  }
  if (tasks.size() > 1) return not_understood("model.categories", join(categories, ", "));
  return tasks.empty() ? std::string("generate") : *tasks.begin();
}

// The backend in force: what was asked for; a placement is told of the one that GPUStack settled on, too.
std::optional<std::string> backend_of(const Case& c) {
  const auto& model = model_of(c);
  if (model.backend_requested || c.kind != kKindSchedule) return model.backend_requested;
  return model.backend_resolved;
}

// Their switches, and what berth has in place of them: rules that the request accepts.
constexpr std::array kSwitches = {
    Named<std::array<std::string_view, 2>>{"GPUSTACK_SKIP_GPU_COUNT_CHECK",
                                           {"uneven_selection", "world_size_mismatch"}},
};

bool is_on(std::string_view value) {
  constexpr std::array kOn = {"1", "true", "yes", "on"};
  return std::any_of(kOn.begin(), kOn.end(), [&](const char* on) { return equals_ignoring_case(value, on); });
}

Result<void> put_environment(const CaseModel& model, fleet::Request& request) {
  for (const auto& [name, value] : model.env) {
    const auto at = std::find_if(kSwitches.begin(), kSwitches.end(), [&](const auto& s) { return s.theirs == name; });
    if (at != kSwitches.end()) {
      if (is_on(value)) request.accept.insert(request.accept.end(), at->ours.begin(), at->ours.end());
      continue;
    }
    if (name.starts_with("GPUSTACK_")) return not_understood("model.env", name);
    request.settings.env[name] = value;
  }
  return {};
}

Result<void> refuse_what_is_not_understood(const CaseModel& model) {
  if (model.extended_kv_cache) return not_understood("model.extended_kv_cache", model.extended_kv_cache->text);
  if (model.speculative) return not_understood("model.speculative", model.speculative->text);
  return {};
}

Result<fleet::Restriction> to_restriction(const Case& c) {
  const auto& model = model_of(c);
  fleet::Restriction out;
  const bool clustered = std::any_of(
      c.fleet.workers.begin(), c.fleet.workers.end(), [](const CaseWorker& w) { return w.cluster_id.has_value(); });
  if (model.cluster_id && clustered) out.cluster = std::to_string(*model.cluster_id);
  out.labels = model.worker_selector;
  if (const auto backend = backend_of(c)) out.engine = engine_id(*backend);
  out.engine_version = model.backend_version;
  // Where the two differ, `distributed` is the one in force.
  out.across_workers = model.distributed.value_or(model.distributable.value_or(false));
  if (!model.gpu_selector || model.gpu_selector->gpu_ids.empty()) return out;
  for (const auto& id : model.gpu_selector->gpu_ids) {
    TRY(auto device, device_ref(id));
    out.devices.push_back(std::move(device));
  }
  out.devices_per_replica = model.gpu_selector->gpus_per_replica;
  if (!out.devices_per_replica) out.use = fleet::DeviceUse::kAll;
  return out;
}

Result<fleet::Request> to_request(const Case& c, const engines::EngineCatalog& catalog) {
  const auto& model = model_of(c);
  TRY_VOID(refuse_what_is_not_understood(model));
  const bool weighed = c.model_facts && c.model_facts->lora_weight_bytes.size() == model.lora_adapters.size();
  if (!model.lora_adapters.empty() && !weighed)
    return not_understood("model.lora_adapters", model.lora_adapters.front().text);
  fleet::Request out;
  out.deployment = model.name;
  out.model = model.name;
  TRY(out.task, to_task(model.categories));
  TRY(const auto kind, look_up(kSources, model.source, "model.source"));
  out.source.kind = kind;
  out.source.repo = model.repo;
  out.source.file = model.file;
  out.source.path = model.local_path;
  if (c.model_facts) out.facts = to_facts(*c.model_facts, model);
  // Replicas that are placed already are placed: the question is about the next ones.
  const auto placed = std::count_if(c.instances.begin(), c.instances.end(), [&](const CaseInstance& i) {
    return model.id && i.model_id == *model.id;
  });
  const auto there = static_cast<std::uint32_t>(placed);
  out.replicas = model.replicas > there ? model.replicas - there : 1;
  if (model.placement_strategy) {
    TRY(out.strategy, look_up(kStrategies, *model.placement_strategy, "model.placement_strategy"));
  }
  out.settings.cpu_offload = model.cpu_offloading.value_or(true);
  TRY(out.restriction, to_restriction(c));
  out.settings.flags = model.backend_parameters;
  TRY_VOID(put_environment(model, out));
  return engines::canonical(catalog, std::move(out), {.name = "", .operator_right = true});
}

}  // namespace

std::string worker_id(std::int64_t id) { return fmt::format("worker-{:06}", id); }

Result<fleet::WorkerState> worker_state(std::string_view state) {
  auto known = look_up(kStates, to_lower(state), "fleet.workers[].state");
  if (!known) return not_understood("fleet.workers[].state", state);
  return known;
}

std::string engine_id(const std::string& backend) {
  const auto at = std::find_if(
      kEngines.begin(), kEngines.end(), [&](const auto& row) { return equals_ignoring_case(row.theirs, backend); });
  return at == kEngines.end() ? backend : std::string(at->ours);
}

Result<std::string> device_ref(const std::string& gpu_id) {
  const auto parts = split(gpu_id, ':');
  constexpr std::size_t kParts = 3;  // worker, runtime, index
  if (parts.size() != kParts || parts[0].empty())
    return invalid(fmt::format("gpu_ids: \"{}\" must have the form worker:runtime:index", printable(gpu_id)));
  return fmt::format("{}/{}:{}", parts[0], parts[1], parts[2]);
}

Result<World> to_world(const Case& c, const engines::EngineCatalog& embedded) {
  if (!c.model) return invalid("the case has no model");
  World world;
  std::optional<std::string> engine;
  if (c.model->backend_requested)
    engine = engine_id(*c.model->backend_requested);
  else if (c.model->backend_resolved)
    engine = engine_id(*c.model->backend_resolved);
  TRY(world.catalog, catalog_of(c.backend_catalog, engine, embedded));
  TRY(world.snapshot, to_snapshot(c));
  TRY(world.request, to_request(c, world.catalog));
  return world;
}

}  // namespace berth::cli::conformance
