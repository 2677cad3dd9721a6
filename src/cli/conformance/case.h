#pragma once
// sched-case/1: one scheduling fact a file, as its schema names things. Only what the judge needs is read; keys that
// would change the answer and are not understood yet are kept, so that the case can be failed for them.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/describe.h"
#include "base/result.h"
#include "wire/json.h"

namespace berth::cli::conformance {

struct CaseMemory {
  Bytes total_bytes;
  bool unified = false;
};
DESCRIBE(CaseMemory, total_bytes, unified);

struct CaseGpu {
  std::string vendor;
  std::string runtime;
  int index = 0;
  std::string name;
  CaseMemory memory;
  std::optional<std::string> compute_capability;
  std::optional<std::string> driver_version;
  std::optional<std::string> runtime_version;
};
DESCRIBE(CaseGpu, vendor, runtime, index, name, memory, compute_capability, driver_version, runtime_version);

struct CaseReserve {
  Bytes ram_bytes;
  Bytes vram_bytes;  // of each device
};
DESCRIBE(CaseReserve, ram_bytes, vram_bytes);

struct CaseWorker {
  std::int64_t id = 0;
  std::string name;
  std::string state;
  std::optional<std::string> os;
  std::optional<std::string> arch;
  std::map<std::string, std::string> labels;
  std::optional<std::int64_t> cluster_id;
  CaseReserve reserved;
  CaseMemory memory;
  std::vector<CaseGpu> gpus;
};
DESCRIBE(CaseWorker, id, name, state, os, arch, labels, cluster_id, reserved, memory, gpus);

struct CaseFleet {
  std::vector<CaseWorker> workers;
};
DESCRIBE(CaseFleet, workers);

struct CaseClaim {
  Bytes ram_bytes;
  std::map<std::string, Bytes> vram_bytes_by_gpu;  // by index
};
DESCRIBE(CaseClaim, ram_bytes, vram_bytes_by_gpu);

struct CaseSubordinate {
  std::int64_t worker_id = 0;
  std::optional<CaseClaim> claim;
};
DESCRIBE(CaseSubordinate, worker_id, claim);

struct CaseInstance {
  std::int64_t id = 0;
  std::int64_t model_id = 0;
  std::int64_t worker_id = 0;
  std::string state;
  std::optional<CaseClaim> claim;
  std::vector<CaseSubordinate> subordinates;
};
DESCRIBE(CaseInstance, id, model_id, worker_id, state, claim, subordinates);

struct CaseGpuSelector {
  std::vector<std::string> gpu_ids;  // "worker:runtime:index"
  std::optional<std::uint32_t> gpus_per_replica;
};
DESCRIBE(CaseGpuSelector, gpu_ids, gpus_per_replica);

struct CaseModel {
  std::optional<std::int64_t> id;
  std::string name;
  std::string source;
  std::string repo;
  std::string file;
  std::string local_path;
  std::optional<std::string> backend_requested;
  std::optional<std::string> backend_resolved;
  std::optional<std::string> backend_version;
  std::vector<std::string> backend_parameters;
  std::uint32_t replicas = 1;
  std::vector<std::string> categories;
  std::optional<std::string> placement_strategy;
  std::optional<bool> cpu_offloading;
  std::optional<bool> distributed;
  std::optional<bool> distributable;
  std::map<std::string, std::string> worker_selector;
  std::optional<CaseGpuSelector> gpu_selector;
  std::optional<std::int64_t> cluster_id;
  std::map<std::string, std::string> env;
  // Each changes the answer and is not understood yet.
  std::optional<wire::RawJson> extended_kv_cache;
  std::optional<wire::RawJson> speculative;
  std::vector<wire::RawJson> lora_adapters;  // their weights are among the facts
};
DESCRIBE(CaseModel,
         id,
         name,
         source,
         repo,
         file,
         local_path,
         backend_requested,
         backend_resolved,
         backend_version,
         backend_parameters,
         replicas,
         categories,
         placement_strategy,
         cpu_offloading,
         distributed,
         distributable,
         worker_selector,
         gpu_selector,
         cluster_id,
         env,
         extended_kv_cache,
         lora_adapters,
         speculative);

struct CaseQuantization {
  std::string quant_method;
};
DESCRIBE(CaseQuantization, quant_method);

struct CaseFacts {
  std::optional<Bytes> weight_bytes;
  std::vector<Bytes> lora_weight_bytes;
  std::optional<std::vector<std::string>> architectures;
  std::optional<std::uint32_t> layers;
  std::optional<std::uint32_t> hidden_size;
  std::optional<std::uint32_t> vocab_size;
  std::optional<std::uint32_t> attention_heads;
  std::optional<std::uint32_t> kv_heads;
  std::optional<std::uint32_t> head_dim;
  std::optional<std::uint32_t> vision_attention_heads;
  std::optional<std::uint32_t> max_context;
  std::optional<std::string> dtype;
  std::optional<CaseQuantization> quantization;
  std::optional<std::uint32_t> experts;
  std::optional<std::uint32_t> moe_intermediate_size;
  std::optional<std::uint32_t> kv_lora_rank;
  std::optional<std::uint32_t> q_lora_rank;
  std::optional<std::uint32_t> qk_rope_head_dim;
  std::optional<std::uint32_t> qk_nope_head_dim;
  std::optional<std::uint32_t> v_head_dim;
  std::optional<bool> needs_custom_code;
};
DESCRIBE(CaseFacts,
         weight_bytes,
         lora_weight_bytes,
         architectures,
         layers,
         hidden_size,
         vocab_size,
         attention_heads,
         kv_heads,
         head_dim,
         vision_attention_heads,
         max_context,
         dtype,
         quantization,
         experts,
         moe_intermediate_size,
         kv_lora_rank,
         q_lora_rank,
         qk_rope_head_dim,
         qk_nope_head_dim,
         v_head_dim,
         needs_custom_code);

/// Whether there is a build of the model's engine for a runtime, and of which version.
struct CaseBackend {
  std::string runtime;
  std::optional<std::string> backend_version;  // absent: whatever version
  bool supported = false;
};
DESCRIBE(CaseBackend, runtime, backend_version, supported);

/// A reason with the numbers that are part of the fact. Other numbers are no part of berth's reasons yet: a case that
/// has them is failed for them.
struct CaseReason {
  std::string code;
  std::optional<std::string> worker;
  std::optional<std::uint64_t> matched;
  std::optional<std::uint64_t> of;
  std::optional<std::string> missing;
  std::optional<std::string> backend_version;
  std::optional<std::uint64_t> selected;    // devices of one replica
  std::optional<std::uint64_t> world_size;  // ranks that its flags make
  std::optional<std::string> architecture;
};
DESCRIBE(CaseReason, code, worker, matched, of, missing, backend_version, selected, world_size, architecture);

/// What a placement takes on one worker.
struct CaseShare {
  std::optional<Bytes> ram_bytes;
  std::optional<std::map<std::string, Bytes>> vram_bytes_by_gpu;  // by index
  std::optional<std::uint32_t> offload_layers;
  std::optional<std::uint32_t> total_layers;
  std::optional<std::vector<std::uint32_t>> tensor_split;
  std::optional<double> vram_utilization;
  std::optional<bool> unified;
};
DESCRIBE(
    CaseShare, ram_bytes, vram_bytes_by_gpu, offload_layers, total_layers, tensor_split, vram_utilization, unified);

/// A further worker of a placement. `address` and `gpus_on_worker` say what the fleet says already.
struct CaseFollower {
  std::string worker;
  std::optional<std::int64_t> worker_id;
  std::optional<std::string> gpu_runtime;
  std::optional<std::vector<int>> gpu_indexes;
  std::optional<CaseShare> claim;
  std::optional<std::string> address;
  std::optional<std::uint32_t> gpus_on_worker;
};
DESCRIBE(CaseFollower, worker, worker_id, gpu_runtime, gpu_indexes, claim, address, gpus_on_worker);

struct CasePlace {
  std::string worker;
  std::optional<std::int64_t> worker_id;
  std::optional<std::string> gpu_runtime;
  std::optional<std::vector<int>> gpu_indexes;
  std::optional<CaseShare> claim;
  std::optional<double> score;
  std::optional<std::vector<CaseFollower>> subordinates;
};
DESCRIBE(CasePlace, worker, worker_id, gpu_runtime, gpu_indexes, claim, score, subordinates);

/// The need as the scheduler sums it that the cases were recorded from.
struct CaseEstimate {
  std::optional<Bytes> vram_bytes;
  std::optional<Bytes> ram_bytes;
  std::optional<double> gpu_fraction;
  std::optional<wire::RawJson> gpu_fraction_by_runtime;
  std::optional<std::uint32_t> gpus_required;
  std::optional<std::uint32_t> total_layers;
};
DESCRIBE(CaseEstimate, vram_bytes, ram_bytes, gpu_fraction, gpu_fraction_by_runtime, gpus_required, total_layers);

/// Every key of the schema is here: another one is not understood, and fails the case.
struct CaseExpected {
  std::optional<bool> feasible;
  bool overcommit_only = false;
  std::optional<std::vector<std::vector<std::string>>> reasons_any_of_per_entry;
  wire::RawJson choice{""};  // a CasePlace; "null": none is chosen; empty: not told
  bool choice_from_mutated_fleet = false;
  std::optional<CasePlace> choice_must_have;
  std::vector<std::string> workers_never_used;
  std::optional<std::vector<std::string>> passed;
  std::optional<std::vector<std::string>> rejected;
  std::optional<wire::RawJson> reasons;  // read as CaseReason where they are compared
  std::optional<CaseEstimate> estimate;
  std::optional<std::vector<wire::RawJson>> candidates;
  // Kind "gpu_count".
  std::optional<bool> accepted;
  std::optional<std::uint32_t> gpus_per_replica;
  std::optional<std::uint32_t> gpu_count;
  std::optional<bool> bypass_active;
  // Not compared yet.
  std::optional<std::uint32_t> choice_index_by_score;
  std::optional<std::uint32_t> choice_ties;
  std::optional<wire::RawJson> requirement_as_reported;
  std::optional<wire::RawJson> pipeline;
  std::optional<std::string> rejected_at;
  std::optional<wire::RawJson> scores_v0_6_0;
  // About the case, not about the answer.
  std::optional<std::string> asserted_by;
  std::optional<std::string> choice_scope;
};
DESCRIBE(CaseExpected,
         feasible,
         overcommit_only,
         reasons_any_of_per_entry,
         choice,
         choice_from_mutated_fleet,
         choice_must_have,
         workers_never_used,
         passed,
         rejected,
         reasons,
         estimate,
         candidates,
         accepted,
         gpus_per_replica,
         gpu_count,
         bypass_active,
         choice_index_by_score,
         choice_ties,
         requirement_as_reported,
         pipeline,
         rejected_at,
         scores_v0_6_0,
         asserted_by,
         choice_scope);

struct Case {
  std::string schema;
  std::string id;
  std::string area;  // "gguf", "vllm" …: recorded from the other scheduler; "issue": what users should be told
  std::string kind;
  std::string filter;  // kind "filter": which stage
  CaseFleet fleet;
  std::vector<CaseInstance> instances;
  std::optional<CaseModel> model;
  std::optional<CaseFacts> model_facts;
  std::vector<CaseBackend> backend_catalog;
  CaseExpected expected;
};
DESCRIBE(Case, schema, id, area, kind, filter, fleet, instances, model, model_facts, backend_catalog, expected);

/// The model of a case that was converted: conversion refuses one without.
inline const CaseModel& model_of(const Case& c) {
  ASSERT(c.model);
  return *c.model;
}

/// A placement that was recorded from the other scheduler. Its estimate, claims, scores and order are that scheduler's
/// own: under berth's policy the verdict alone is compared.
bool is_recorded(const Case& c);

constexpr std::string_view kCaseSchema = "sched-case/1";
/// Kinds that are put to decide(); the others have files of their own.
constexpr std::string_view kKindSchedule = "schedule";
constexpr std::string_view kKindFilter = "filter";
constexpr std::string_view kKindCount = "gpu_count";

/// What every case begins with.
struct CaseHead {
  std::string schema;
  std::string id;
  std::string kind;
};
DESCRIBE(CaseHead, schema, id, kind);

/// Errors: kInvalid with a path, or on another schema.
Result<CaseHead> read_head(std::string_view json);
/// A case that is put to decide(). One of another kind is read no further than its id and kind. Errors: as read_head;
/// kNotSupported naming a key of `expected` that is not understood.
Result<Case> read_case(std::string_view json);
/// Errors: kNotSupported naming what of them is not understood.
Result<std::vector<CaseReason>> read_reasons(const wire::RawJson& json);
Result<CasePlace> read_place(const wire::RawJson& json);
/// The case with names of systems, architectures and vendors spelt as fleet files spell them.
Case normalised(Case c);

}  // namespace berth::cli::conformance
