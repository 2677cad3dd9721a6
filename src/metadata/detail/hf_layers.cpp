#include "metadata/detail/hf_layers.h"

#include <algorithm>
#include <fmt/format.h>
#include <span>
#include <vector>

#include "metadata/detail/attention.h"
#include "metadata/detail/limits.h"

namespace berth::metadata::detail {

namespace {

using fleet::ModelFacts;

/// Model types whose layers all have the window when one is given.
constexpr std::string_view kAllSliding[] = {"mistral", "mixtral", "phi3", "starcoder2"};

struct KnownPattern {
  std::string_view model_type;
  SlidingPattern pattern;
};
constexpr KnownPattern kPatterns[] = {
    {"gemma2", {2, false}},
    {"gemma3", {6, false}},
    {"gemma3_text", {6, false}},
    {"gemma3n_text", {5, false}},
    {"cohere2", {4, false}},
    {"gpt_oss", {2, false}},
    {"llama4_text", {4, false}},
    {"modernbert", {3, true}},
};

/// Mamba-1 convolves its inner state only; the others also the groups.
constexpr std::string_view kFirstMamba[] = {"mamba", "falcon_mamba", "jamba"};

bool contains(std::span<const std::string_view> list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

bool is_qwen(std::string_view model_type) { return model_type.starts_with("qwen2") || model_type.starts_with("qwen3"); }

Result<void> from_layer_types(const ConfigView& config, std::vector<Layer>& layers, bool& known) {
  TRY(const auto types, config.texts({"layer_types", "layers_block_type"}));
  if (types.empty()) return {};
  if (types.size() < layers.size()) {
    return invalid(
        fmt::format("layer_types has {} entries, must have {}, one for each layer", types.size(), layers.size()));
  }
  known = true;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string_view type = types[i];
    layers[i].sliding_window = type == "sliding_attention" || type == "chunked_attention";
    layers[i].recurrent = type == "linear_attention" || type == "mamba" || type == "conv" || type == "recurrent";
    if (layers[i].recurrent || type == "moe" || type == "mlp") layers[i].kv_heads = 0;
  }
  return {};
}

/// Nemotron-H: "M-M*-": M state space, * attention, anything else feed-forward only.
Result<void> from_pattern_text(const ConfigView& config, std::vector<Layer>& layers) {
  TRY(const auto pattern, config.text({"hybrid_override_pattern"}));
  if (!pattern) return {};
  if (pattern->size() < layers.size()) {
    return invalid(fmt::format(
        "hybrid_override_pattern has {} letters, must have {}, one for each layer", pattern->size(), layers.size()));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].recurrent = (*pattern)[i] == 'M';
    if ((*pattern)[i] != '*') layers[i].kv_heads = 0;
  }
  return {};
}

/// One attention layer among several recurrent ones, given as a period.
Result<void> from_period(const ConfigView& config, std::vector<Layer>& layers) {
  TRY(const auto interval, config.number({"full_attention_interval"}, kLayersMax));
  TRY(const auto period, config.number({"attn_layer_period"}, kLayersMax));
  TRY(const auto offset, config.number({"attn_layer_offset"}, kLayersMax));
  TRY(const auto indices, config.numbers({"attn_layer_indices"}, kLayersMax));
  if (!interval && !period && !indices) return {};
  for (std::uint32_t i = 0; i < layers.size(); ++i) {
    bool attention = false;
    if (interval) attention = i % *interval == *interval - 1;
    if (period) attention = i % *period == offset.value_or(0);
    if (indices) attention = std::ranges::find(*indices, i) != indices->end();
    layers[i].recurrent = !attention;
    if (!attention) layers[i].kv_heads = 0;
  }
  return {};
}

/// MiMo V2: 1 a layer with a window, which has KV heads of its own. Gemma 4: the others have.
Result<void> from_window_list(const ConfigView& config, std::vector<Layer>& layers, bool& known) {
  TRY(const auto list, config.numbers({"hybrid_layer_pattern"}, 1));
  TRY(const auto window_heads, config.number({"swa_num_key_value_heads"}, kHeadsMax));
  TRY(const auto global_heads, config.number({"num_global_key_value_heads"}, kHeadsMax));
  if (list) {
    if (list->size() < layers.size())
      return invalid(fmt::format(
          "hybrid_layer_pattern has {} entries, must have {}, one for each layer", list->size(), layers.size()));
    known = true;
    for (std::size_t i = 0; i < layers.size(); ++i) layers[i].sliding_window = (*list)[i] == 1;
  }
  if (!known) return {};
  for (Layer& layer : layers) {
    if (layer.kv_heads == 0) continue;
    if (layer.sliding_window && window_heads) layer.kv_heads = *window_heads;
    if (!layer.sliding_window && global_heads) layer.kv_heads = *global_heads;
  }
  return {};
}

/// Nemotron of a search over blocks: each says how many heads share a KV head, or that it has no attention.
Result<void> from_blocks(const ConfigView& config, std::vector<Layer>& layers, ModelFacts& facts) {
  const auto blocks = config.sections({"block_configs"});
  if (blocks.empty()) return {};
  if (blocks.size() < layers.size())
    return invalid(
        fmt::format("block_configs has {} entries, must have {}, one for each layer", blocks.size(), layers.size()));
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (blocks[i] == nullptr) continue;
    const boost::json::object* attention = ConfigView({blocks[i]}).section({"attention"});
    if (attention == nullptr) continue;
    const ConfigView view({attention});
    TRY(const auto none, view.flag({"no_op"}));
    TRY(const auto linear, view.flag({"replace_with_linear"}));
    TRY(const auto group, view.number({"n_heads_in_group"}, kHeadsMax));
    if (none.value_or(false) || linear.value_or(false))
      layers[i].kv_heads = 0;
    else if (group && facts.attention_heads)
      layers[i].kv_heads = std::max(*facts.attention_heads / *group, 1U);
    most = std::max(most, layers[i].kv_heads);
  }
  if (most > 0) facts.kv_heads = most;
  return {};
}

/// Kimi Linear: layers of full attention by number, counted from 1; the others keep a state.
Result<void> from_linear_section(const ConfigView& config, std::vector<Layer>& layers) {
  const boost::json::object* section = config.section({"linear_attn_config"});
  if (section == nullptr) return {};
  TRY(const auto full, ConfigView({section}).numbers({"full_attn_layers"}, kLayersMax));
  if (!full) return {};
  for (std::uint32_t i = 0; i < layers.size(); ++i) {
    if (std::ranges::find(*full, i + 1) != full->end()) continue;
    layers[i].recurrent = true;
    layers[i].kv_heads = 0;
  }
  return {};
}

Result<void> from_model_type(std::string_view model_type, std::vector<Layer>& layers) {
  for (Layer& layer : layers) {
    if (model_type == "falcon_h1") layer.recurrent = true;  // beside attention, in every layer
    if (model_type != "mamba" && model_type != "mamba2" && model_type != "falcon_mamba") continue;
    layer.recurrent = true;
    layer.kv_heads = 0;
  }
  return {};
}

Result<void> slide(const ConfigView& config, std::string_view model_type, bool known, std::vector<Layer>& layers) {
  if (known) return {};
  TRY(const auto period, config.number({"sliding_window_pattern", "_sliding_window_pattern"}, kLayersMax));
  TRY(const auto full_from, config.number({"max_window_layers"}, kLayersMax));
  SlidingPattern pattern;
  for (const KnownPattern& row : kPatterns) {
    if (row.model_type == model_type) pattern = row.pattern;
  }
  if (period) pattern.period = *period;
  for (std::uint32_t i = 0; i < layers.size(); ++i) {
    bool slides = pattern.slides(i) || contains(kAllSliding, model_type);
    if (is_qwen(model_type)) slides = full_from && i >= *full_from;
    layers[i].sliding_window = slides && layers[i].kv_heads > 0;
  }
  return {};
}

/// The window that is in force; Qwen files carry one that is switched off unless they say otherwise.
Result<std::optional<std::uint32_t>> window_of(const ConfigView& config, std::string_view model_type) {
  TRY(const auto window, config.positive({"sliding_window", "attention_chunk_size", "local_attention"}, kContextMax));
  TRY(const auto used, config.flag({"use_sliding_window"}));
  return used.value_or(!is_qwen(model_type)) ? window : std::nullopt;
}

/// The state of linear_attn_config: queries, keys and values of equal heads, each with a convolution.
Result<std::optional<fleet::StateSpace>> linear_state(const ConfigView& section) {
  TRY(const auto heads, section.number({"num_heads"}, kHeadsMax));
  TRY(const auto width, section.number({"head_dim"}, kHeadDimMax));
  TRY(const auto conv, section.number({"short_conv_kernel_size"}, kWidthMax));
  if (!heads || !width || !conv) return std::optional<fleet::StateSpace>();
  const std::uint64_t inner = sat_mul(*heads, *width);
  if (inner > kWidthMax) return invalid(fmt::format("state of {} elements, must be from 1 to {}", inner, kWidthMax));
  return std::optional(fleet::StateSpace{.conv_kernel = *conv,
                                         .inner_size = static_cast<std::uint32_t>(inner),
                                         .state_size = *width,
                                         .group_count = *heads,
                                         .time_step_rank = *heads});
}

Result<std::optional<fleet::StateSpace>> state_of(const ConfigView& config,
                                                  std::string_view model_type,
                                                  const ModelFacts& facts) {
  if (const boost::json::object* section = config.section({"linear_attn_config"}))
    return linear_state(ConfigView({section}));
  TRY(const auto linear_heads, config.number({"linear_num_value_heads"}, kHeadsMax));
  TRY(const auto linear_dim, config.number({"linear_value_head_dim"}, kHeadDimMax));
  TRY(const auto key_heads, config.number({"linear_num_key_heads"}, kHeadsMax));
  TRY(const auto key_dim, config.number({"linear_key_head_dim"}, kHeadDimMax));
  TRY(const auto conv,
      config.number({"linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel", "conv_L_cache"}, kWidthMax));
  TRY(const auto inner, config.number({"mamba_d_ssm"}, kWidthMax));
  TRY(const auto size, config.number({"mamba_d_state", "ssm_state_size", "state_size"}, kWidthMax));
  TRY(const auto groups, config.number({"mamba_n_groups", "n_groups"}, kWidthMax));
  TRY(const auto heads, config.number({"mamba_n_heads", "mamba_num_heads"}, kHeadsMax));
  TRY(const auto head_dim, config.number({"mamba_d_head", "mamba_head_dim"}, kHeadDimMax));
  TRY(const auto expand, config.number({"mamba_expand", "expand"}, kHeadDimMax));
  TRY(const auto width, config.number({"intermediate_size"}, kWidthMax));
  if (!conv) return std::optional<fleet::StateSpace>();
  fleet::StateSpace state{.conv_kernel = *conv};
  const std::uint64_t hidden = facts.hidden_size.value_or(0);
  std::uint64_t inner_size = 0;
  if (linear_heads && linear_dim) {
    inner_size = sat_mul(*linear_heads, *linear_dim);
    state.state_size = key_dim.value_or(0);
    state.group_count = key_heads.value_or(0);
    state.time_step_rank = *linear_heads;
  } else {
    state.state_size = size.value_or(0);
    state.group_count = contains(kFirstMamba, model_type) ? 0 : groups.value_or(size ? 1 : 0);
    state.time_step_rank = heads.value_or(0);
    inner_size = inner.value_or(0);
    if (inner_size == 0 && heads && head_dim) inner_size = sat_mul(*heads, *head_dim);
    if (inner_size == 0 && expand) inner_size = sat_mul(*expand, hidden);
    if (inner_size == 0) inner_size = size ? std::uint64_t(width.value_or(0)) : hidden;  // short convolutions: hidden
  }
  if (inner_size == 0 || inner_size > kWidthMax) {
    return invalid(fmt::format("state of {} elements, must be from 1 to {}", inner_size, kWidthMax));
  }
  state.inner_size = static_cast<std::uint32_t>(inner_size);
  return std::optional(state);
}

}  // namespace

Result<void> read_hf_layers(const ConfigView& config, std::string_view model_type, ModelFacts& facts) {
  if (!facts.layers) return {};
  std::vector<Layer> layers(*facts.layers, Layer{.kv_heads = facts.kv_heads.value_or(0)});
  bool known = false;
  TRY_VOID(from_layer_types(config, layers, known));
  if (!known) {
    TRY_VOID(from_pattern_text(config, layers));
    TRY_VOID(from_period(config, layers));
    TRY_VOID(from_blocks(config, layers, facts));
    TRY_VOID(from_linear_section(config, layers));
    TRY_VOID(from_model_type(model_type, layers));
  }
  TRY_VOID(from_window_list(config, layers, known));
  TRY(const auto window, window_of(config, model_type));
  if (window) TRY_VOID(slide(config, model_type, known, layers));
  if (!window) {
    for (Layer& layer : layers) layer.sliding_window = false;
  }
  if (std::ranges::any_of(layers, &Layer::sliding_window)) facts.sliding_window = window;
  if (std::ranges::any_of(layers, &Layer::recurrent)) {
    TRY(facts.state_space, state_of(config, model_type, facts));
  }
  facts.attention_layers = attention_rows(layers, facts.kv_heads.value_or(0));
  return {};
}

}  // namespace berth::metadata::detail
