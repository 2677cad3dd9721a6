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

namespace berth::estimate {

using fleet::MemoryPart;

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

/// What the devices are like, as far as it changes bytes.
struct DeviceTraits {
  std::string framework;  // "cuda", "metal", …; the per-process runtime constant depends on it
  bool unified_memory = false;
};

/// Memory of llama.cpp for one model and one setting, asked for any split of layers.
class LlamaModel {
 public:
  struct Shape;
  /// Errors: kInvalid naming the missing fact (layers, kv_heads, layer_weights, …).
  static Result<LlamaModel> prepare(const fleet::ModelFacts& facts, const fleet::Settings& settings);

  /// Repeating layers plus the output layer: what -ngl counts.
  [[nodiscard]] std::uint32_t total_layers() const;

  /// `layers[k]`: layers on device k, the last ones of the model going to devices in order (the host keeps the first).
  /// Empty: CPU only. `host`: bytes of host RAM. All intervals include compute buffers and the runtime constant.
  struct Split {
    std::vector<Interval> devices;
    Interval host;
  };
  [[nodiscard]] Split split(std::span<const std::uint32_t> layers, const DeviceTraits& traits) const;
  /// The same with parts and derivations; `device_ids` parallel to `layers`.
  [[nodiscard]] std::vector<MemoryPart> explain(std::span<const std::uint32_t> layers,
                                                const DeviceTraits& traits,
                                                std::span<const std::string> device_ids) const;

 private:
  std::shared_ptr<const Shape> shape_;
};

/// Memory per rank of engines that read safetensors and take a share of each device (vLLM here).
struct RankEstimate {
  Interval device;                // per device of the group, runtime included
  Interval host;                  // per worker
  Bytes kv_bytes_per_token;       // per rank
  Bytes besides_kv;               // high without KV: what the claim's rest leaves for KV
  std::vector<MemoryPart> parts;  // device "" = each device of the group
};
struct RankLayout {
  std::uint32_t tensor_parallel = 1;
  std::uint32_t pipeline_parallel = 1;
  std::uint32_t expert_parallel = 1;
};
/// Errors: kInvalid naming the missing fact.
Result<RankEstimate> rank_memory(const fleet::ModelFacts& facts,
                                 const fleet::Settings& settings,
                                 const RankLayout& layout,
                                 const DeviceTraits& traits);

}  // namespace berth::estimate
