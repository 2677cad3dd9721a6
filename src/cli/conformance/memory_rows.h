#pragma once
// memory-vectors/1 as it is written: settings of a llama.cpp process and the bytes that it planned.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/describe.h"
#include "base/result.h"
#include "estimate/llama_options.h"
#include "wire/json.h"

namespace berth::cli::conformance {

constexpr std::string_view kMemoryKind = "memory-vectors/1";
constexpr std::uint32_t kMemoryDevicesMax = 256;

/// What of a process's plan lies in one place.
struct PlannedBytes {
  std::uint64_t model = 0;
  std::uint64_t context = 0;
  std::uint64_t compute = 0;
  [[nodiscard]] std::uint64_t total() const { return model + context + compute; }
};
DESCRIBE(PlannedBytes, model, context, compute);

struct MemoryActual {
  PlannedBytes host;
  std::vector<PlannedBytes> devices;
};
DESCRIBE(MemoryActual, host, devices);

/// `n_gpu_layers` −1: all of them. `n_outputs_max` null: every row of a batch.
struct MemorySettings {
  std::uint32_t ctx = 0;
  std::uint32_t n_parallel = 1;
  bool kv_unified = false;
  std::uint32_t n_batch = estimate::kDefaultBatch;
  std::uint32_t n_ubatch = estimate::kDefaultUbatch;
  bool flash_attn = true;
  std::string cache_type_k = "f16";
  std::string cache_type_v = "f16";
  bool swa_full = false;
  bool offload_kqv = true;
  std::int32_t n_gpu_layers = -1;
  std::uint32_t devices = 0;
  std::optional<std::vector<double>> tensor_split;
  bool pipeline_capable = true;
  std::optional<std::uint32_t> n_outputs_max;
  bool embeddings = false;
  std::string split_mode = "layer";
};
DESCRIBE(MemorySettings,
         ctx,
         n_parallel,
         kv_unified,
         n_batch,
         n_ubatch,
         flash_attn,
         cache_type_k,
         cache_type_v,
         swa_full,
         offload_kqv,
         n_gpu_layers,
         devices,
         tensor_split,
         pipeline_capable,
         n_outputs_max,
         embeddings,
         split_mode);

struct MemoryRow {
  std::string id;
  std::string model;
  wire::RawJson settings;
  MemoryActual actual;
};
DESCRIBE(MemoryRow, id, model, settings, actual);

/// Errors: kInvalid naming the field: another kind of file, no rows, a row without a model or without bytes.
Result<std::vector<MemoryRow>> read_memory_rows(std::string_view json);
/// Errors: kNotSupported for a setting, or a value of one, that is not understood.
Result<MemorySettings> read_settings(const wire::RawJson& settings);

/// The settings as options of the estimator.
estimate::LlamaOptions options_of(const MemorySettings& settings, std::uint32_t max_context);
/// Slots per device as llama.cpp deals them over -ngl and --tensor-split; equal devices by default. Empty: CPU only.
std::vector<std::uint32_t> slots_of(const MemorySettings& settings, std::uint32_t total_layers);

}  // namespace berth::cli::conformance
