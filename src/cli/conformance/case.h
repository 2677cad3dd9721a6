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
#include "cli/conformance/expected.h"
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
  std::optional<std::uint32_t> offload_layers;
  std::optional<std::uint32_t> total_layers;
};
DESCRIBE(CaseClaim, ram_bytes, vram_bytes_by_gpu, offload_layers, total_layers);

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
  std::vector<int> gpu_indexes;
  std::optional<CaseClaim> claim;
  std::vector<CaseSubordinate> subordinates;
};
DESCRIBE(CaseInstance, id, model_id, worker_id, state, gpu_indexes, claim, subordinates);

struct CaseGpuSelector {
  std::vector<std::string> gpu_ids;  // "worker:runtime:index"
  std::optional<std::uint32_t> gpus_per_replica;
};
DESCRIBE(CaseGpuSelector, gpu_ids, gpus_per_replica);

/// KV that is kept in host memory beside the devices.
struct CaseKvCache {
  bool enabled = false;
  std::optional<double> ram_size_gib;
  std::optional<double> ram_ratio;
};
DESCRIBE(CaseKvCache, enabled, ram_size_gib, ram_ratio);

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
  std::optional<CaseKvCache> extended_kv_cache;
  std::optional<wire::RawJson> speculative;  // changes the answer and is not understood yet
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

/// What an audio model takes, as the other scheduler estimated it.
struct CaseAudioClaim {
  Bytes vram_bytes;
  Bytes ram_bytes;
};
DESCRIBE(CaseAudioClaim, vram_bytes, ram_bytes);

/// GPUStack's estimates of one way to split a GGUF file; sizes with memory that device and host share, and without.
struct CaseSplitBytes {
  Bytes uma_bytes;
  Bytes nonuma_bytes;
  std::uint32_t layers = 0;
};
DESCRIBE(CaseSplitBytes, uma_bytes, nonuma_bytes, layers);
struct CaseSplitItem {
  std::uint32_t offload_layers = 0;
  bool full = false;
  CaseSplitBytes ram;
  std::vector<CaseSplitBytes> vrams;
};
DESCRIBE(CaseSplitItem, offload_layers, full, ram, vrams);
struct CaseSplit {
  std::optional<std::vector<Bytes>> tensor_split;
  std::uint32_t rpc_servers = 0;
  std::vector<CaseSplitItem> items;
};
DESCRIBE(CaseSplit, tensor_split, rpc_servers, items);

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
  std::optional<std::string> quantize;
  std::optional<CaseAudioClaim> gpu_claim;
  std::optional<CaseAudioClaim> cpu_claim;
  std::vector<CaseSplit> gguf_estimates;
  std::optional<Bytes> main_file_bytes;  // audio models: their weights are in one file
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
         needs_custom_code,
         quantize,
         gpu_claim,
         cpu_claim,
         gguf_estimates,
         main_file_bytes);

/// Whether there is a build of the model's engine for a runtime, and of which version.
struct CaseBackend {
  std::string runtime;
  std::optional<std::string> backend_version;  // absent: whatever version
  bool supported = false;
};
DESCRIBE(CaseBackend, runtime, backend_version, supported);

/// Workers that hold one of the model's files.
struct CaseFiles {
  std::string which;  // "main"
  std::vector<std::int64_t> worker_ids;
};
DESCRIBE(CaseFiles, which, worker_ids);

/// A scorer of a chain. Its own scores, which the case has too, are what the chain's were made of.
struct CaseScorer {
  std::string scorer;
};
DESCRIBE(CaseScorer, scorer);

/// Where a case comes from.
struct CaseOrigin {
  std::vector<std::string> versions;  // of GPUStack, in which it holds
};
DESCRIBE(CaseOrigin, versions);

struct Case {
  std::string schema;
  std::string id;
  CaseOrigin origin;
  std::string area;  // "gguf", "vllm" …: recorded from the other scheduler; "issue": what users should be told
  std::string kind;
  std::string filter;  // kind "filter": which stage
  CaseFleet fleet;
  std::vector<CaseInstance> instances;
  std::optional<CaseModel> model;
  std::optional<CaseFacts> model_facts;
  std::vector<CaseBackend> backend_catalog;
  std::string step;                   // kind "evaluate": which of the other scheduler's
  std::string scorer;                 // kind "score"
  std::vector<CaseScorer> parts;      // of a chain
  std::optional<double> max_score;    // what it gives at most
  std::vector<CasePlace> candidates;  // what it scores
  std::optional<std::vector<CaseFiles>> worker_files_ready;
  CaseExpected expected;
};
DESCRIBE(Case,
         schema,
         id,
         origin,
         area,
         kind,
         filter,
         fleet,
         instances,
         model,
         model_facts,
         backend_catalog,
         step,
         scorer,
         parts,
         max_score,
         candidates,
         worker_files_ready,
         expected);

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
constexpr std::string_view kKindEvaluate = "evaluate";
constexpr std::string_view kKindScore = "score";
constexpr std::string_view kKindScaleDown = "scale_down_score";

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
