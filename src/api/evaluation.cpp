// POST /v1/model-evaluations in GPUStack v0.6's shape: another form of the question, the same decide().
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "api/routes.h"
#include "base/text.h"
#include "wire/codec.h"

namespace berth::api {

struct GpuSelector {
  std::vector<std::string> gpu_ids;
  std::optional<std::uint32_t> gpus_per_replica;
};
DESCRIBE(GpuSelector, gpu_ids, gpus_per_replica);

/// The fields of GPUStack's model that change the answer; the others are passed over.
struct ModelSpecV06 {
  std::string name;
  std::string source;
  std::optional<std::string> huggingface_repo_id;
  std::optional<std::string> huggingface_filename;
  std::optional<std::string> model_scope_model_id;
  std::optional<std::string> model_scope_file_path;
  std::optional<std::string> ollama_library_model_name;
  std::optional<std::string> local_path;
  std::uint32_t replicas = 1;
  std::optional<std::string> backend;
  std::optional<std::string> backend_version;
  std::optional<std::vector<std::string>> backend_parameters;
  std::string placement_strategy = "spread";
  std::optional<bool> cpu_offloading;
  std::optional<bool> distributed_inference_across_workers;
  std::optional<std::map<std::string, std::string>> worker_selector;
  std::optional<GpuSelector> gpu_selector;
  std::optional<fleet::ModelFacts> facts;  // ours: GPUStack reads a hub here
};
DESCRIBE(ModelSpecV06,
         name,
         source,
         huggingface_repo_id,
         huggingface_filename,
         model_scope_model_id,
         model_scope_file_path,
         ollama_library_model_name,
         local_path,
         replicas,
         backend,
         backend_version,
         backend_parameters,
         placement_strategy,
         cpu_offloading,
         distributed_inference_across_workers,
         worker_selector,
         gpu_selector,
         facts);

struct EvaluationRequest {
  std::vector<ModelSpecV06> model_specs;
};
DESCRIBE(EvaluationRequest, model_specs);

struct ClaimV06 {
  std::uint64_t ram = 0;
  std::uint64_t vram = 0;
};
DESCRIBE(ClaimV06, ram, vram);

struct EvaluationResult {
  bool compatible = false;
  std::vector<std::string> compatibility_messages;
  std::vector<std::string> scheduling_messages;
  std::optional<ClaimV06> resource_claim;
  bool error = false;
  std::string error_message;
};
DESCRIBE(
    EvaluationResult, compatible, compatibility_messages, scheduling_messages, resource_claim, error, error_message);

struct EvaluationAnswer {
  std::vector<EvaluationResult> results;
};
DESCRIBE(EvaluationAnswer, results);

namespace {

constexpr std::size_t kSpecsMax = 64;

struct BackendRow {
  std::string_view theirs;
  std::string_view ours;
};
constexpr std::array kBackends = {BackendRow{"llama-box", "llama.cpp"},
                                  BackendRow{"vllm", "vllm"},
                                  BackendRow{"vox-box", "voxbox"},
                                  BackendRow{"ascend-mindie", "mindie"}};

/// "worker:runtime:index" → "worker/device-id" by the reported index.
std::string device_ref(const fleet::FleetSnapshot& snapshot, const std::string& gpu_id) {
  const auto parts = split(gpu_id, ':');
  if (parts.size() < 3) return gpu_id + "/?";
  const auto* entry = snapshot.find_by_name(parts[0]);
  const auto index = parse_u64(parts.back());
  if (entry != nullptr && index)
    for (const auto& device : entry->worker.devices)
      if (static_cast<std::uint64_t>(device.index) == *index) return parts[0] + "/" + device.id;
  return parts[0] + "/" + parts[1] + ":" + parts.back();
}

fleet::ModelSource source_of(const ModelSpecV06& spec) {
  if (spec.source == "local_path")
    return {.kind = "local", .repo = "", .file = "", .path = spec.local_path.value_or(""), .revision = ""};
  if (spec.source == "model_scope")
    return {.kind = "modelscope",
            .repo = spec.model_scope_model_id.value_or(""),
            .file = spec.model_scope_file_path.value_or(""),
            .path = "",
            .revision = ""};
  if (spec.source == "ollama_library")
    return {
        .kind = "ollama", .repo = spec.ollama_library_model_name.value_or(""), .file = "", .path = "", .revision = ""};
  return {.kind = "huggingface",
          .repo = spec.huggingface_repo_id.value_or(""),
          .file = spec.huggingface_filename.value_or(""),
          .path = "",
          .revision = ""};
}

fleet::Request to_request(const ModelSpecV06& spec, const fleet::FleetSnapshot& snapshot) {
  fleet::Request r;
  r.deployment = spec.name;
  r.model = spec.name;
  r.source = source_of(spec);
  r.facts = spec.facts;
  r.replicas = spec.replicas;
  r.strategy = spec.placement_strategy == "binpack" ? fleet::Strategy::kBinpack : fleet::Strategy::kSpread;
  r.settings.cpu_offload = spec.cpu_offloading.value_or(true);
  if (spec.backend_parameters) r.settings.flags = *spec.backend_parameters;
  if (spec.backend) {
    r.restriction.engine = *spec.backend;
    for (const auto& row : kBackends)
      if (equals_ignoring_case(row.theirs, *spec.backend)) r.restriction.engine = std::string(row.ours);
  }
  r.restriction.engine_version = spec.backend_version;
  r.restriction.across_workers = spec.distributed_inference_across_workers.value_or(false);
  if (spec.worker_selector) r.restriction.labels = *spec.worker_selector;
  if (spec.gpu_selector) {
    for (const auto& id : spec.gpu_selector->gpu_ids) r.restriction.devices.push_back(device_ref(snapshot, id));
    r.restriction.devices_per_replica = spec.gpu_selector->gpus_per_replica;
    if (!r.restriction.devices.empty() && !r.restriction.devices_per_replica)
      r.restriction.use = fleet::DeviceUse::kAll;
  }
  return r;
}

struct SourceRow {
  std::string_view name;
  std::string_view field;
  std::optional<std::string> ModelSpecV06::* value;
};
constexpr std::array kSources = {
    SourceRow{"huggingface", "huggingface_repo_id", &ModelSpecV06::huggingface_repo_id},
    SourceRow{"model_scope", "model_scope_model_id", &ModelSpecV06::model_scope_model_id},
    SourceRow{"ollama_library", "ollama_library_model_name", &ModelSpecV06::ollama_library_model_name},
    SourceRow{"local_path", "local_path", &ModelSpecV06::local_path}};

/// Words that would be passed over in silence otherwise.
Result<void> check_spec(std::size_t index, const ModelSpecV06& spec) {
  const auto at = [index](std::string_view field) { return fmt::format("$.model_specs[{}].{}", index, field); };
  if (spec.placement_strategy != "spread" && spec.placement_strategy != "binpack")
    return invalid(fmt::format(
        "{} is \"{}\", must be one of spread, binpack", at("placement_strategy"), printable(spec.placement_strategy)));
  for (const auto& row : kSources) {
    if (row.name != spec.source) continue;
    const auto& value = spec.*row.value;
    if (value && !value->empty()) return {};
    return invalid(fmt::format("{} is missing: source is {}", at(row.field), row.name));
  }
  std::vector<std::string> names;
  for (const auto& row : kSources) names.emplace_back(row.name);
  if (spec.source.empty()) return invalid(fmt::format("{} is missing: one of {}", at("source"), join(names, ", ")));
  return invalid(
      fmt::format("{} is \"{}\", must be one of {}", at("source"), printable(spec.source), join(names, ", ")));
}

EvaluationResult evaluate(const RouteDeps& d, const ModelSpecV06& spec, const engines::Caller& caller) {
  EvaluationResult out;
  const auto view = d.reconciler.view();
  const auto refused = [&out](const Error& error) {
    out.error = true;
    out.error_message = error.message;
    return out;
  };
  auto asked = to_request(spec, *view->snapshot);
  auto facts = facts_here(d, "local_path", asked);
  if (!facts) return refused(facts.error());
  if (auto& known = *facts) asked.facts = std::move(*known);
  auto request = d.reconciler.canonical(std::move(asked), caller);
  if (!request) return refused(request.error());
  const auto decision = d.reconciler.decide(*request);
  out.compatible = decision.verdict == fleet::Verdict::kFits;
  out.error = decision.verdict == fleet::Verdict::kUnknown;
  if (out.error) out.error_message = decision.summary;
  if (!out.compatible) {
    out.compatibility_messages.push_back(decision.summary);
    for (const auto& result : decision.report.request) out.scheduling_messages.push_back(result.text);
    for (const auto& line : decision.report.lines)
      for (const auto& result : line.results)
        if (result.outcome == fleet::Outcome::kReject || result.outcome == fleet::Outcome::kUnknown)
          out.scheduling_messages.push_back(line.examples.front() + ": " + result.text);
    return out;
  }
  ClaimV06 claim;
  for (const auto& part : decision.plans.front().workers) {
    claim.ram += part.claim.memory_bytes.value;
    for (const auto& device : part.claim.devices) claim.vram += device.bytes.value;
  }
  out.resource_claim = claim;
  return out;
}

}  // namespace

Route evaluation_route(RouteDeps deps) {
  return {
      "POST",
      "/v1/model-evaluations",
      std::string(kScopeManagement),
      "GPUStack v0.6's compatibility check",
      [deps](const Call& call) -> Result<Reply> {
        TRY(auto body, wire::from_json<EvaluationRequest>(call.body, wire::Strictness::kLenient));
        if (body.model_specs.size() > kSpecsMax)
          return invalid(fmt::format("$.model_specs has {} entries, at most {}", body.model_specs.size(), kSpecsMax));
        if (body.model_specs.empty()) return invalid("$.model_specs is missing: the models to ask about");
        for (std::size_t i = 0; i < body.model_specs.size(); ++i) TRY_VOID(check_spec(i, body.model_specs[i]));
        EvaluationAnswer answer;
        for (const auto& spec : body.model_specs) answer.results.push_back(evaluate(deps, spec, caller_of(call)));
        return Reply{.status = 200, .json = wire::to_json(answer)};
      },
      {},
      true};
}

}  // namespace berth::api
