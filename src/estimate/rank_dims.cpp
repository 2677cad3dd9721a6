#include "estimate/detail/rank_dims.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "estimate/detail/facts.h"
#include "estimate/detail/llama_options.h"
#include "estimate/detail/llama_shape.h"

namespace berth::estimate {
namespace {

// Tokens of one step. The server's default is 2,048, and 8,192 on devices with much memory: the larger is assumed
// unless the flag says otherwise, never more than all sequences hold (estimation.md §3.3).
constexpr std::uint64_t kBatchedTokensLow = 2048;
constexpr std::uint64_t kBatchedTokens = 8192;
constexpr std::uint32_t kRanksMax = 65'536;

Result<Sat> kv_element_bytes(const fleet::Settings& settings) {
  const std::string type = settings.kv_type.value_or("auto");
  for (const std::string_view half : {"auto", "f16", "bf16", "fp16", "float16", "bfloat16"})
    if (type == half) return Sat(2);
  if (type.starts_with("fp8")) return Sat(1);
  return invalid(fmt::format("settings.kv_type is \"{}\", must be auto, bf16, f16 or fp8", type));
}

Result<void> set_facts(RankDims& x, const fleet::ModelFacts& f) {
  if (!f.weight_bytes) return missing("weight_bytes");
  if (!f.layers || *f.layers == 0) return missing("layers");
  if (*f.layers > kEstimateLayersMax)
    return invalid(fmt::format("facts.layers is {}, must be at most {}", *f.layers, kEstimateLayersMax));
  if (!f.hidden_size) return missing("hidden_size");
  if (!f.kv_heads) return missing("kv_heads");
  if (!f.vocab_size) return missing("vocab_size");
  x.weights = f.weight_bytes->value;
  x.d = *f.hidden_size;
  x.heads = f.attention_heads ? Sat(*f.attention_heads) : Sat(*f.kv_heads);
  x.kv_heads = *f.kv_heads;
  if (!f.head_dim && !f.attention_heads) return missing("head_dim");
  x.head_dim = f.head_dim ? Sat(*f.head_dim) : x.d / x.heads;
  x.value_dim = f.value_head_dim ? Sat(*f.value_head_dim) : x.head_dim;
  x.vocab = *f.vocab_size;
  x.experts_used = known(f.experts_used);
  x.expert_ff = known(f.expert_feed_forward_size);
  x.ff = f.feed_forward_size ? Sat(*f.feed_forward_size) : Sat(4) * x.d;
  x.kv_lora = known(f.kv_lora_rank);
  x.rope = known(f.rope_head_dim);
  if (x.kv_lora > Sat(0) && !f.rope_head_dim) return missing("rope_head_dim");
  x.window = known(f.sliding_window);
  x.tied = f.tied_output;
  x.generates = f.task == "generate";
  for (const auto& group : f.attention_layers) {
    for (std::uint32_t i = 0; i < group.count && x.layers.size() < *f.layers; ++i)
      x.layers.push_back({group.kv_heads, group.sliding_window && f.sliding_window, group.recurrent});
  }
  x.layers.resize(*f.layers, {*f.kv_heads, false, false});
  if (!f.state_space) return {};
  const auto& s = *f.state_space;
  x.conv = Sat(std::max(s.conv_kernel, 1U) - 1) * (Sat(s.inner_size) + Sat(2) * Sat(s.group_count) * s.state_size);
  x.state = Sat(s.state_size) * s.inner_size;
  return {};
}

Result<void> set_layout(RankDims& x, const RankLayout& layout) {
  x.tp = layout.tensor_parallel;
  x.pp = layout.pipeline_parallel;
  x.ep = layout.expert_parallel;
  for (const auto& [name, size] : {std::pair("tensor_parallel", x.tp), std::pair("pipeline_parallel", x.pp)}) {
    if (size == Sat(0) || size > Sat(kRanksMax))
      return invalid(fmt::format("{} is {}, must be from 1 to {}", name, size.value, kRanksMax));
  }
  if (x.pp > Sat(x.layers.size()))
    return invalid(fmt::format("pipeline_parallel is {}, must be at most the {} layers", x.pp.value, x.layers.size()));
  return {};
}

}  // namespace

Result<RankDims> rank_dims(const fleet::ModelFacts& facts, const fleet::Settings& settings, const RankLayout& layout) {
  RankDims x;
  TRY_VOID(set_facts(x, facts));
  TRY_VOID(set_layout(x, layout));
  TRY(x.kv_element, kv_element_bytes(settings));
  x.sequences = settings.sequences.value_or(kDefaultSequences);
  x.context = settings.context ? Sat(*settings.context) : known(facts.max_context);
  if (x.context == Sat(0)) return invalid("facts.max_context is not known, and settings.context is not given");
  if (x.sequences == Sat(0)) return invalid("settings.sequences is 0, must be at least 1");
  const std::uint64_t all = std::max((x.context * x.sequences).value, kBatchedTokensLow);
  x.batched_low = kBatchedTokensLow;
  x.batched = std::min(kBatchedTokens, all);
  if (const auto given = flag_value(settings, "--max-num-batched-tokens"))
    x.batched_low = x.batched = parse_u64(*given).value_or(kBatchedTokens);
  x.eager = flag_on(settings, "--enforce-eager");
  return x;
}

}  // namespace berth::estimate
