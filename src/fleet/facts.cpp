#include "fleet/facts.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::fleet {
namespace {

struct CountRow {
  std::string_view name;
  std::optional<std::uint32_t> ModelFacts::* field;
  std::uint32_t min;
  std::uint32_t max;
};
constexpr std::array kCounts = {
    CountRow{"layers", &ModelFacts::layers, 1, kModelLayersMax},
    CountRow{"hidden_size", &ModelFacts::hidden_size, 1, kModelWidthMax},
    CountRow{"feed_forward_size", &ModelFacts::feed_forward_size, 1, kModelWidthMax},
    CountRow{"vocab_size", &ModelFacts::vocab_size, 1, kModelVocabMax},
    CountRow{"attention_heads", &ModelFacts::attention_heads, 1, kModelHeadsMax},
    CountRow{"kv_heads", &ModelFacts::kv_heads, 1, kModelHeadsMax},
    CountRow{"head_dim", &ModelFacts::head_dim, 1, kModelHeadsMax},
    CountRow{"value_head_dim", &ModelFacts::value_head_dim, 1, kModelHeadsMax},
    CountRow{"window_head_dim", &ModelFacts::window_head_dim, 1, kModelHeadsMax},
    CountRow{"window_value_head_dim", &ModelFacts::window_value_head_dim, 1, kModelHeadsMax},
    CountRow{"indexer_head_dim", &ModelFacts::indexer_head_dim, 1, kModelHeadsMax},
    CountRow{"max_context", &ModelFacts::max_context, 1, kModelContextMax},
    CountRow{"sliding_window", &ModelFacts::sliding_window, 1, kModelContextMax},
    CountRow{"experts", &ModelFacts::experts, 1, kModelHeadsMax},
    CountRow{"experts_used", &ModelFacts::experts_used, 1, kModelHeadsMax},
    CountRow{"expert_feed_forward_size", &ModelFacts::expert_feed_forward_size, 1, kModelWidthMax},
    CountRow{"kv_lora_rank", &ModelFacts::kv_lora_rank, 1, kModelWidthMax},
    CountRow{"q_lora_rank", &ModelFacts::q_lora_rank, 1, kModelWidthMax},
    CountRow{"rope_head_dim", &ModelFacts::rope_head_dim, 1, kModelHeadsMax},
    CountRow{"mla_key_head_dim", &ModelFacts::mla_key_head_dim, 1, 2 * kModelHeadsMax},
    CountRow{"mla_value_head_dim", &ModelFacts::mla_value_head_dim, 1, kModelHeadsMax},
    CountRow{"vision_attention_heads", &ModelFacts::vision_attention_heads, 1, 2 * kModelHeadsMax},
};

struct BytesRow {
  std::string_view name;
  std::optional<Bytes> ModelFacts::* field;
  std::uint64_t min;
};
// What lies on the host or in the output layer may be nothing: tied outputs, files without an own embedding.
constexpr std::array kByteCounts = {
    BytesRow{"weight_bytes", &ModelFacts::weight_bytes, 1},
    BytesRow{"input_weights_bytes", &ModelFacts::input_weights_bytes, 0},
    BytesRow{"output_weights_bytes", &ModelFacts::output_weights_bytes, 0},
    BytesRow{"output_weights_host_bytes", &ModelFacts::output_weights_host_bytes, 0},
};

struct StateRow {
  std::string_view name;
  std::uint32_t StateSpace::* field;
};
constexpr std::array kStateWidths = {StateRow{"conv_kernel", &StateSpace::conv_kernel},
                                     StateRow{"inner_size", &StateSpace::inner_size},
                                     StateRow{"state_size", &StateSpace::state_size},
                                     StateRow{"group_count", &StateSpace::group_count},
                                     StateRow{"time_step_rank", &StateSpace::time_step_rank}};

Result<void> check_between(
    std::string_view path, std::string_view name, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  if (value >= min && value <= max) return {};
  const bool unknown = value == 0 && min == 1;
  return invalid(fmt::format("{}.{} is {}, must be from {} to {}{}",
                             path,
                             name,
                             value,
                             min,
                             max,
                             unknown ? "; leave it out when it is not known" : ""));
}

Result<void> check_layers(std::string_view path, const ModelFacts& f) {
  std::uint64_t rows = 0;
  for (const auto& row : f.attention_layers) {
    TRY_VOID(check_between(path, "attention_layers[].count", row.count, 1, kModelLayersMax));
    TRY_VOID(check_between(path, "attention_layers[].kv_heads", row.kv_heads, 0, kModelHeadsMax));
    rows += row.count;
  }
  if (!f.attention_layers.empty() && f.layers && rows != *f.layers)
    return invalid(fmt::format("{}.attention_layers counts {} layers, must be {}, as layers", path, rows, *f.layers));
  if (!f.layer_weights.empty() && f.layers && f.layer_weights.size() != *f.layers)
    return invalid(fmt::format(
        "{}.layer_weights has {} entries, must have {}, as layers", path, f.layer_weights.size(), *f.layers));
  for (const auto& layer : f.layer_weights)
    for (const auto bytes : {layer.host_bytes, layer.device_bytes, layer.largest_tensor_bytes})
      TRY_VOID(check_between(path, "layer_weights[]", bytes.value, 0, kModelBytesMax));
  return {};
}

Result<void> check_together(std::string_view path, const ModelFacts& f) {
  const auto at_most = [&](std::string_view name, auto value, std::string_view limit, auto most) -> Result<void> {
    if (!value || !most || *value <= *most) return {};
    return invalid(fmt::format("{}.{} is {}, must be at most {}, {}", path, name, *value, limit, *most));
  };
  TRY_VOID(at_most("kv_heads", f.kv_heads, "attention_heads", f.attention_heads));
  TRY_VOID(at_most("experts_used", f.experts_used, "experts", f.experts));
  if (!f.weight_bytes) return {};
  // The embedding has vocab × hidden parameters and each layer more than hidden², published models 4 to 30 times that.
  // No quantization stores a parameter in less than a bit, so whatever is smaller is not this model, even where layers
  // share their weights (ALBERT, the most frugal, has 16 times this).
  const std::uint64_t hidden = f.hidden_size.value_or(0);
  const std::uint64_t parameters = f.vocab_size.value_or(0) * hidden + f.layers.value_or(0) * hidden * hidden;
  constexpr std::uint64_t kBitsPerByte = 8;
  if (const std::uint64_t least = parameters / kBitsPerByte; f.weight_bytes->value < least)
    return invalid(fmt::format(
        "{}.weight_bytes is {}, must be at least {}: hidden_size {}, layers {} and vocab_size {} at one bit "
        "a parameter",
        path,
        f.weight_bytes->value,
        least,
        hidden,
        f.layers.value_or(0),
        f.vocab_size.value_or(0)));
  return {};
}

}  // namespace

Result<void> check_facts(std::string_view path, const ModelFacts& facts) {
  for (const auto& row : kCounts)
    if (const auto value = facts.*row.field) TRY_VOID(check_between(path, row.name, *value, row.min, row.max));
  for (const auto& row : kByteCounts)
    if (const auto value = facts.*row.field)
      TRY_VOID(check_between(path, row.name, value->value, row.min, kModelBytesMax));
  if (facts.parameters) TRY_VOID(check_between(path, "parameters", *facts.parameters, 1, kModelBytesMax));
  if (facts.state_space)
    for (const auto& row : kStateWidths)
      TRY_VOID(check_between(
          path, fmt::format("state_space.{}", row.name), *facts.state_space.*row.field, 0, kModelWidthMax));
  for (const auto& [key, bytes] : facts.measured)
    TRY_VOID(check_between(path, fmt::format("measured.{}", printable(key)), bytes.value, 1, kModelBytesMax));
  TRY_VOID(check_layers(path, facts));
  return check_together(path, facts);
}

}  // namespace berth::fleet
