#include "cli/conformance/convert.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/conformance/names.h"
#include "engines/request.h"

namespace berth::cli::conformance {
namespace {

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
/// What only the other scheduler's estimates go by.
void put_readings(const CaseFacts& f, const CaseModel& model, fleet::ModelFacts& out) {
  if (f.quantize) out.quantization = *f.quantize;
  const auto put = [&](const char* name, Bytes bytes) {
    if (bytes.value > 0) out.measured[name] = bytes;
  };
  if (f.gpu_claim) put("device", f.gpu_claim->vram_bytes);
  if (f.gpu_claim) put("device/host", f.gpu_claim->ram_bytes);
  if (f.cpu_claim) put("host", f.cpu_claim->ram_bytes);
  const auto& cache = model.extended_kv_cache;
  if (cache && cache->enabled && cache->ram_size_gib)
    put("kv/host", static_cast<std::uint64_t>(*cache->ram_size_gib * static_cast<double>(kGiB)));
  // Of a draft beside the model SGLang keeps a buffer, unless drafts are looked up in the text.
  constexpr Bytes kDraftBuffer = 2048 * kMiB;
  if (model.speculative && model.speculative->text.find("ngram") == std::string::npos &&
      model.speculative->text.find("false") == std::string::npos)
    put("draft/reserve", kDraftBuffer);
  constexpr double kPermille = 1000, kRatioMax = 1000;
  if (cache && cache->enabled && cache->ram_ratio && *cache->ram_ratio > 0)
    put("kv/host/permille", static_cast<std::uint64_t>(std::min(*cache->ram_ratio, kRatioMax) * kPermille + 0.5));
  for (const auto& told : f.gguf_estimates) {
    fleet::SplitReading reading;
    if (told.tensor_split) reading.split.assign(told.tensor_split->begin(), told.tensor_split->end());
    reading.remote = told.rpc_servers;
    for (const auto& item : told.items) {
      fleet::SplitRow row{item.offload_layers, item.full, item.ram.nonuma_bytes, item.ram.uma_bytes, {}};
      for (const auto& vram : item.vrams) row.devices.push_back({vram.nonuma_bytes, vram.uma_bytes, vram.layers});
      reading.rows.push_back(std::move(row));
    }
    out.splits.push_back(std::move(reading));
  }
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
  if (!out.weight_bytes && f.main_file_bytes && f.main_file_bytes->value > 0) out.weight_bytes = f.main_file_bytes;
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
    TRY(auto task, task_of_category(category));
    tasks.insert(std::move(task));
  }
  if (tasks.size() > 1) return not_understood("model.categories", join(categories, ", "));
  return tasks.empty() ? std::string("generate") : *tasks.begin();
}

/// What the other scheduler settled on. Some placements were recorded from the part of it that is for one engine, with
/// a model that names none: the area says which, and the flags are that engine's.
std::optional<std::string> settled_backend(const Case& c, const fleet::Policy& policy) {
  constexpr std::array kAreas = {Named<std::string_view>{"sglang", "SGLang"},
                                 Named<std::string_view>{"ascend", "MindIE"},
                                 Named<std::string_view>{"custom", "Custom"}};
  const auto at = std::find_if(kAreas.begin(), kAreas.end(), [&](const auto& area) { return area.theirs == c.area; });
  // What a custom engine takes is told by that scheduler's rule alone.
  const bool known = at != kAreas.end() && (at->theirs != "custom" || policy.estimates == "published");
  if (known && is_recorded(c) && !model_of(c).backend_requested) return std::string(at->ours);
  return model_of(c).backend_resolved;
}

// The backend in force: what was asked for; a placement is told of the one that GPUStack settled on, too.
std::optional<std::string> backend_of(const Case& c, const fleet::Policy& policy) {
  const auto& model = model_of(c);
  if (model.backend_requested || c.kind == kKindFilter) return model.backend_requested;
  return settled_backend(c, policy);
}

// Their switches, and what berth has in place of them: rules that the request accepts.
const std::vector<Named<std::vector<std::string>>>& switches() {
  static const std::vector<Named<std::vector<std::string>>> kSwitches = {
      {"GPUSTACK_SKIP_GPU_COUNT_CHECK", {"uneven_selection", "world_size_mismatch"}},
      {"GPUSTACK_SKIP_MODEL_EVALUATION", {"unknown_architecture", "unsupported_architecture"}},
  };
  return kSwitches;
}

constexpr std::size_t kWorkersMax = 1'000'000;  // beyond the ids of a fleet
constexpr std::string_view kDeclaredBytes = "GPUSTACK_MODEL_VRAM_CLAIM";

bool is_on(std::string_view value) {
  constexpr std::array kOn = {"1", "true", "yes", "on"};
  return std::any_of(kOn.begin(), kOn.end(), [&](const char* on) { return equals_ignoring_case(value, on); });
}

Result<void> put_environment(const CaseModel& model, const fleet::Policy& policy, fleet::Request& request) {
  for (const auto& [name, value] : model.env) {
    const auto declared = name == kDeclaredBytes ? parse_u64(value) : std::nullopt;
    if (declared && policy.estimates == "published") {
      if (!request.facts) request.facts.emplace();
      request.facts->measured["claim"] = *declared;
      continue;
    }
    if (declared && request.facts && !request.facts->weight_bytes) {
      request.facts->weight_bytes = Bytes(*declared);  // what is known of its size is what was declared
      continue;
    }
    const auto at = std::find_if(switches().begin(), switches().end(), [&](const auto& s) { return s.theirs == name; });
    if (at != switches().end()) {
      if (is_on(value)) request.accept.insert(request.accept.end(), at->ours.begin(), at->ours.end());
      continue;
    }
    if (name.starts_with("GPUSTACK_")) return not_understood("model.env", name);
    request.settings.env[name] = value;
  }
  return {};
}

Result<void> refuse_what_is_not_understood(const CaseModel& model, const fleet::Policy& policy) {
  const auto& cache = model.extended_kv_cache;
  const bool summed = policy.estimates == "published";  // its need has host memory by ratio as well
  if (!summed && cache && cache->enabled && (!cache->ram_size_gib || model.replicas > 1))
    return not_understood("model.extended_kv_cache", fmt::format("a share of its memory, for {}", model.replicas));
  if (!summed && model.speculative) return not_understood("model.speculative", model.speculative->text);
  return {};
}

Result<fleet::Restriction> to_restriction(const Case& c, const fleet::Policy& policy) {
  const auto& model = model_of(c);
  fleet::Restriction out;
  const bool clustered = std::any_of(
      c.fleet.workers.begin(), c.fleet.workers.end(), [](const CaseWorker& w) { return w.cluster_id.has_value(); });
  if (model.cluster_id && clustered) out.cluster = std::to_string(*model.cluster_id);
  out.labels = model.worker_selector;
  if (const auto backend = backend_of(c, policy)) out.engine = engine_id(*backend);
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

/// The other scheduler reads spellings that the engine itself does not.
void spell_as_engine(std::vector<std::string>& flags) {
  constexpr std::string_view kTheirs = "--ngl";
  for (auto& flag : flags)
    if (flag == kTheirs || flag.starts_with("--ngl=")) flag = "--gpu-layers" + flag.substr(kTheirs.size());
}

bool tells_of_draft(const Case& c) {
  return c.worker_files_ready && std::any_of(c.worker_files_ready->begin(),
                                             c.worker_files_ready->end(),
                                             [](const CaseFiles& files) { return files.which == "draft"; });
}

/// Whether the catalog knows what this version runs, by itself or by its neighbours.
bool is_read(const engines::Engine& engine, const std::string& version) {
  const auto& read = engine.architectures.read;
  return !read.empty() && engines::compare_versions(version, read.front()) >= 0;
}

Result<fleet::Request> to_request(const Case& c, const engines::EngineCatalog& catalog, const fleet::Policy& policy) {
  const auto& model = model_of(c);
  TRY_VOID(refuse_what_is_not_understood(model, policy));
  const bool weighed = c.model_facts && c.model_facts->lora_weight_bytes.size() == model.lora_adapters.size();
  if (!model.lora_adapters.empty() && !weighed)
    return not_understood("model.lora_adapters", model.lora_adapters.front().text);
  fleet::Request out;
  out.deployment = model.id ? deployment_id(*model.id) : model.name;
  out.model = model.name;
  TRY(out.task, to_task(model.categories));
  TRY(const auto kind, look_up(kSources, model.source, "model.source"));
  out.source.kind = kind;
  out.source.repo = model.repo;
  out.source.file = model.file;
  out.source.path = model.local_path;
  if (c.model_facts) {
    out.facts = to_facts(*c.model_facts, model);
    if (out.facts && policy.estimates == "published") put_readings(*c.model_facts, model, *out.facts);
  }
  if (policy.candidates == "listed" && tells_of_draft(c))
    out.draft = fleet::ModelSource{std::string(kind), "draft", "", "", ""};
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
  TRY(out.restriction, to_restriction(c, policy));
  out.settings.flags = model.backend_parameters;
  if (policy.estimates == "published") spell_as_engine(out.settings.flags);
  TRY_VOID(put_environment(model, policy, out));
  // Nobody has read what a version of the users' own runs, and whoever names one vouches for it.
  const auto* engine = out.restriction.engine ? catalog.find(*out.restriction.engine) : nullptr;
  if (engine != nullptr && model.backend_version && !is_read(*engine, *model.backend_version))
    out.accept.emplace_back("unknown_architecture");
  return engines::canonical(catalog, std::move(out), {.name = "", .operator_right = true});
}

/// The rows of the version that was recorded. Nothing was asked about builds where a case tells of none.
fleet::Policy for_case(const Case& c, fleet::Policy policy) {
  if (policy.candidates != "listed") return policy;
  const auto& versions = c.origin.versions;
  const bool old = !versions.empty() && std::find(versions.begin(), versions.end(), "main") == versions.end();
  if (old) policy.scores = "gpustack-0.6";
  if (is_recorded(c) && c.backend_catalog.empty())
    policy.rules_off.insert(policy.rules_off.end(), {"engine_os", "engine_vendor"});
  return policy;
}

}  // namespace

Case in_order(Case c, std::map<std::int64_t, std::int64_t>& ids) {
  for (const auto& worker : c.fleet.workers) ids.emplace(worker.id, static_cast<std::int64_t>(ids.size()) + 1);
  const auto renamed = [&](std::int64_t& id) {
    const auto at = ids.find(id);
    id = at == ids.end() ? id + static_cast<std::int64_t>(kWorkersMax) : at->second;
  };
  for (auto& worker : c.fleet.workers) renamed(worker.id);
  for (auto& instance : c.instances) {
    renamed(instance.worker_id);
    for (auto& sub : instance.subordinates) renamed(sub.worker_id);
  }
  if (c.worker_files_ready)
    for (auto& files : *c.worker_files_ready)
      for (auto& id : files.worker_ids) renamed(id);
  if (c.expected.choice_must_have && c.expected.choice_must_have->worker_id)
    renamed(*c.expected.choice_must_have->worker_id);
  return c;
}

Result<std::string> task_of_category(std::string_view category) {
  return look_up(kTasks, category, "model.categories[]").map([](std::string_view task) { return std::string(task); });
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

namespace {

/// The builds that the case tells of. A placement was recorded of a part that asks for no build: whoever names a
/// version there that nobody knows has one.
std::vector<CaseBackend> builds_of(const Case& c,
                                   const std::optional<std::string>& id,
                                   const engines::EngineCatalog& embedded) {
  std::vector<CaseBackend> out = c.backend_catalog;
  const auto* engine = id ? embedded.find(*id) : nullptr;
  const auto& version = model_of(c).backend_version;
  if (!out.empty() || engine == nullptr || !version || !is_recorded(c)) return out;
  if (std::find(engine->versions.begin(), engine->versions.end(), *version) != engine->versions.end()) return out;
  std::set<std::string> runtimes;
  for (const auto& worker : c.fleet.workers)
    for (const auto& gpu : worker.gpus) runtimes.insert(gpu.runtime);
  for (const auto& runtime : runtimes)
    out.push_back({.runtime = runtime, .backend_version = version, .supported = true});
  return out;
}

}  // namespace

Result<World> to_world(const Case& c, const engines::EngineCatalog& embedded, fleet::Policy policy) {
  if (!c.model) return invalid("the case has no model");
  World world;
  world.policy = for_case(c, std::move(policy));
  std::optional<std::string> engine;
  if (c.model->backend_requested)
    engine = engine_id(*c.model->backend_requested);
  else if (const auto settled = settled_backend(c, world.policy))
    engine = engine_id(*settled);
  TRY(world.catalog, catalog_of(builds_of(c, engine, embedded), engine, embedded));
  TRY(world.request, to_request(c, world.catalog, world.policy));
  TRY(world.snapshot, to_snapshot(c, world.request, world.policy));
  return world;
}

}  // namespace berth::cli::conformance
