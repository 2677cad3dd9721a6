// Memory per rank of vLLM. Source: estimation.md §3.1–3.3. Nothing here was measured on a device.
#include <algorithm>
#include <fmt/format.h>

#include "estimate/estimate.h"
#include "estimate/llama_shape.h"

namespace berth::estimate {
namespace {

constexpr std::uint64_t kBatchedTokens = 8192;  // max_num_batched_tokens of the server's default, chunked prefill
constexpr std::uint64_t kKvBlock = 16;          // tokens; sequences are rounded up to it
constexpr std::uint64_t kHostBase = 4 * kGiB;   // Python, tokenizer, pinned staging of one process
constexpr std::uint64_t kHostPerRank = 2 * kGiB;

Error missing(std::string_view fact) { return invalid(fmt::format("facts.{} is not known", fact)); }

struct Dims {
  std::uint64_t weights, layers, hidden, heads, kv_heads, head_dim, vocab, ff;
};

Result<Dims> dims_of(const fleet::ModelFacts& f) {
  if (!f.weight_bytes) return missing("weight_bytes");
  if (!f.layers || *f.layers == 0) return missing("layers");
  if (!f.hidden_size) return missing("hidden_size");
  if (!f.attention_heads || *f.attention_heads == 0) return missing("attention_heads");
  if (!f.vocab_size) return missing("vocab_size");
  Dims x{};
  x.weights = f.weight_bytes->value;
  x.layers = *f.layers;
  x.hidden = *f.hidden_size;
  x.heads = *f.attention_heads;
  x.kv_heads = f.kv_heads.value_or(*f.attention_heads);
  x.head_dim = f.head_dim.value_or(static_cast<std::uint32_t>(x.hidden / x.heads));
  x.vocab = *f.vocab_size;
  x.ff = f.feed_forward_size.value_or(static_cast<std::uint32_t>(std::min<std::uint64_t>(4 * x.hidden, 0xFFFFFFFFU)));
  return x;
}

std::uint64_t kv_element_bytes(const fleet::Settings& settings) {
  const std::string type = settings.kv_type.value_or("f16");
  return type.starts_with("fp8") || type == "q8_0" ? 1 : 2;
}

/// KV projections are replicated when there are fewer KV heads than ranks.
std::uint64_t weights_per_rank(const Dims& x, std::uint64_t ranks) {
  if (ranks <= 1) return x.weights;
  const std::uint64_t kv_projection = sat_mul(sat_mul(2, x.layers), sat_mul(x.hidden, sat_mul(x.kv_heads, x.head_dim)));
  const std::uint64_t replicated = x.kv_heads < ranks ? std::min(sat_mul(kv_projection, 2), x.weights) : 0;
  return sat_add(div_ceil(x.weights - replicated, ranks), replicated);
}

std::uint64_t nccl_bytes(std::uint64_t tp) {
  if (tp <= 1) return 0;
  return (tp == 2 ? 342 : 392) * kMiB;
}

MemoryPart part(std::string name, const Interval& i, std::string derivation) {
  return {std::move(name), "", i.low, i.expected, i.high, std::move(derivation)};
}

}  // namespace

Result<RankEstimate> rank_memory(const fleet::ModelFacts& facts,
                                 const fleet::Settings& settings,
                                 const RankLayout& layout,
                                 const DeviceTraits& traits) {
  TRY(const auto x, dims_of(facts));
  const std::uint64_t tp = std::max<std::uint64_t>(layout.tensor_parallel, 1);
  const std::uint64_t ranks = sat_mul(tp, std::max<std::uint64_t>(layout.pipeline_parallel, 1));
  const std::uint64_t b = kv_element_bytes(settings);
  const std::uint64_t context = settings.context.value_or(facts.max_context.value_or(8192));
  const std::uint64_t sequences = settings.sequences.value_or(1);
  const std::uint64_t layers = div_ceil(x.layers, std::max<std::uint64_t>(layout.pipeline_parallel, 1));
  const bool mla = facts.kv_lora_rank.has_value() && *facts.kv_lora_rank > 0;
  const std::uint64_t width = mla ? *facts.kv_lora_rank + std::uint64_t(facts.rope_head_dim.value_or(64))
                                  : sat_mul(2, sat_mul(std::max<std::uint64_t>(1, x.kv_heads / tp), x.head_dim));

  RankEstimate r;
  r.kv_bytes_per_token = sat_mul(layers, sat_mul(width, b));
  const std::uint64_t kv_tokens = sat_mul(sequences, round_up(context, kKvBlock));
  const std::uint64_t kv = sat_mul(r.kv_bytes_per_token.value, kv_tokens);
  const std::uint64_t weights = weights_per_rank(x, ranks);
  // One layer of activations at the largest batch, and the logits of all sequences twice.
  const std::uint64_t tokens = std::min(kBatchedTokens, std::max<std::uint64_t>(context, 2048));
  const std::uint64_t rows = sat_mul(2 * tokens, sat_add(sat_mul(4, x.hidden), div_ceil(sat_mul(3, x.ff), tp)));
  const std::uint64_t logits = sat_mul(4 * sequences, sat_mul(2, div_ceil(x.vocab, tp)));
  const Interval activations = {
      Bytes(sat_add(rows, logits) / 2), Bytes(sat_add(rows, logits)), Bytes(sat_mul(sat_add(rows, logits), 2))};
  const Interval graphs = {Bytes(512 * kMiB), Bytes(1 * kGiB), Bytes(3 * kGiB)};
  const Interval nccl = {Bytes(nccl_bytes(tp)), Bytes(nccl_bytes(tp)), Bytes(nccl_bytes(tp))};
  const Interval runtime = runtime_constant(traits.framework);
  const Interval weights_i = {weights, weights, weights};
  const Interval kv_i = {kv, kv, kv};

  r.parts.push_back(
      part("weights", weights_i, fmt::format("{} B over {} rank{}", x.weights, ranks, ranks == 1 ? "" : "s")));
  r.parts.push_back(
      part("kv_cache",
           kv_i,
           fmt::format("{} sequences × {} tokens × {} layers × {} × {} B", sequences, context, layers, width, b)));
  r.parts.push_back(
      part("activations",
           activations,
           fmt::format("2 B × {} tokens × (4 × {} + 3 × {} / {}) and logits", tokens, x.hidden, x.ff, tp)));
  r.parts.push_back(part("graphs", graphs, "captured CUDA graphs: 0.5 to 3 GiB"));
  if (tp > 1) r.parts.push_back(part("collectives", nccl, fmt::format("NCCL buffers at {} ranks", tp)));
  r.parts.push_back(part("runtime", runtime, fmt::format("{} context and kernels", traits.framework)));
  Interval besides = weights_i;
  for (const auto* i : {&activations, &graphs, &nccl, &runtime}) besides += *i;
  r.besides_kv = besides.high;
  r.device = besides;
  r.device += kv_i;
  const std::uint64_t host = sat_add(kHostBase, sat_mul(kHostPerRank, ranks));
  r.host = {Bytes(host / 2), Bytes(host), Bytes(host)};
  r.parts.push_back({"process",
                     "host",
                     r.host.low,
                     r.host.expected,
                     r.host.high,
                     fmt::format("4 GiB and 2 GiB for each of {} rank{}", ranks, ranks == 1 ? "" : "s")});
  return r;
}

}  // namespace berth::estimate
