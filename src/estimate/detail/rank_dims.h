#pragma once
// What rank_memory() computes with: facts, settings and layout as counts.

#include <vector>

#include "estimate/detail/sat.h"
#include "estimate/detail/terms.h"
#include "estimate/estimate.h"

namespace berth::estimate {

/// One layer's share of the KV cache.
struct RankLayer {
  std::uint32_t kv_heads = 0;
  bool windowed = false;
  bool recurrent = false;
};

struct RankDims {
  Sat weights, d, heads, kv_heads, head_dim, value_dim, vocab, ff;
  Sat experts_used, expert_ff;
  Sat kv_lora, rope;  // kv_lora > 0: multi-head latent attention, replicated over the ranks
  Sat window;
  Sat conv, state;  // floats per sequence and recurrent layer
  bool tied = false;
  bool generates = true;
  std::vector<RankLayer> layers;
  Sat tp, pp, ep;
  Sat context, sequences;
  Sat kv_element;  // bytes
  std::uint64_t batched_low = 0, batched = 0;
  bool eager = false;
};

/// Errors: kInvalid naming the missing or absurd fact, setting or parallel size.
Result<RankDims> rank_dims(const fleet::ModelFacts& facts, const fleet::Settings& settings, const RankLayout& layout);

}  // namespace berth::estimate
