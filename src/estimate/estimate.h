#pragma once
// Memory of a deployment, by part, before anything is loaded. Every figure carries low, expected and high, and a
// derivation that a reader can redo (shared reference: estimation.md §1 for llama.cpp, §3 for vLLM).
//
// Layouts ask again and again for the same model with another split, so the model is prepared once per (facts, engine,
// settings) and then asked per split: no allocation beyond the answer.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/decision.h"
#include "fleet/model.h"
#include "fleet/request.h"
#include "fleet/worker_class.h"

namespace berth::estimate {

using fleet::DeviceTraits;
using fleet::MemoryPart;
struct LlamaOptions;

struct Interval {
  Bytes low;
  Bytes expected;
  Bytes high;

  Interval& operator+=(const Interval& other) {
    low += other.low;
    expected += other.expected;
    high += other.high;
    return *this;
  }
  friend bool operator==(const Interval&, const Interval&) = default;
};

/// Memory of llama.cpp for one model and one setting, asked for any split of layers. Weights and KV cache are exact;
/// the compute buffer is a fit with a margin above; process constants are assumptions (README.md has the figures).
/// CPU figures describe a load without mmap: the claim, not the resident set.
/// Source: estimation.md §1; llama-server b11434 with berth's recipe: one unified cache of `context` tokens.
class LlamaModel {
 public:
  struct Shape;
  /// Absent settings: context = the model's maximum, 4 sequences, f16 cache, flash attention on, ubatch 512.
  /// Errors: kInvalid naming the missing fact (layers, kv_heads, layer_weights, …) or the setting.
  static Result<LlamaModel> prepare(const fleet::ModelFacts& facts, const fleet::Settings& settings);
  /// The same with other options than berth's recipe (llama_options.h), for what is held against plans of llama.cpp.
  static Result<LlamaModel> prepare(const fleet::ModelFacts& facts, const LlamaOptions& options);
  /// `shape` is not null.
  explicit LlamaModel(std::shared_ptr<const Shape> shape);

  /// Repeating layers plus the output layer: what -ngl counts.
  [[nodiscard]] std::uint32_t total_layers() const;

  /// `layers[k]`: how many of the total_layers() slots lie on device k, contiguous, in order of devices; the output
  /// layer is the last slot, and the first slots stay on the host when the sum is less than the total. Empty or all
  /// zero: CPU only. A device with 0 slots takes 0 bytes. `host`: bytes of host RAM. All intervals include compute
  /// buffers and process constants. `devices.size() == layers.size()`.
  struct Split {
    std::vector<Interval> devices;
    Interval host;
  };
  [[nodiscard]] Split split(std::span<const std::uint32_t> layers, const DeviceTraits& traits) const;
  /// split(layers, traits).devices[position], without the others. `position` < layers.size().
  [[nodiscard]] Interval device(std::span<const std::uint32_t> layers,
                                std::size_t position,
                                const DeviceTraits& traits) const;
  /// The same with parts and derivations; `device_ids` parallel to `layers`, the host is "host". Parts sum exactly to
  /// split(): weights, kv_cache, compute, runtime; on the host also logits. Parts of 0 bytes are left out.
  [[nodiscard]] std::vector<MemoryPart> explain(std::span<const std::uint32_t> layers,
                                                const DeviceTraits& traits,
                                                std::span<const std::string> device_ids) const;

 private:
  std::shared_ptr<const Shape> shape_;
};

/// Memory per rank of engines that read safetensors and take a share of each device (vLLM here).
struct RankEstimate {
  Interval device;     // per device of the group, runtime included: the rank that needs most
  Interval host;       // one worker with all ranks: host_for() of the layout's ranks
  Interval host_base;  // on each worker that has any rank
  Interval host_per_rank;
  Bytes kv_bytes_per_token;       // per rank, all attention layers
  Bytes besides_kv;               // high without KV: what the claim's rest leaves for KV
  std::vector<MemoryPart> parts;  // device "" = each device of the group, "host"; they sum to `device` and `host`

  /// One worker with this many of the ranks.
  [[nodiscard]] Interval host_for(std::uint32_t ranks) const;
  [[nodiscard]] MemoryPart host_part(std::uint32_t ranks) const;
};
struct RankLayout {
  std::uint32_t tensor_parallel = 1;
  std::uint32_t pipeline_parallel = 1;
  std::uint32_t data_parallel = 1;  // copies: of no weight for one rank
  std::uint32_t expert_parallel = 1;
};
/// KV for sequences × context tokens; activations at 8,192 tokens a step (2,048 for low) or --max-num-batched-tokens;
/// --enforce-eager drops the graphs. Expert parallelism that divides the experts moves no bytes, so it is not counted.
/// Source: estimation.md §3. Errors: kInvalid naming the missing fact, the setting or the parallel size.
Result<RankEstimate> rank_memory(const fleet::ModelFacts& facts,
                                 const fleet::Settings& settings,
                                 const RankLayout& layout,
                                 const DeviceTraits& traits);

}  // namespace berth::estimate
