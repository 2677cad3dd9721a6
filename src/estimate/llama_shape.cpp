#include "estimate/llama_shape.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace berth::estimate {
namespace {

constexpr std::uint64_t kCellStep = 256;

struct TypeRow {
  std::string_view name;
  std::uint32_t bytes_32;
};
// Bytes per 32 elements. Source: block sizes of ggml's cache types.
constexpr std::array kTypes = {TypeRow{"f32", 128},
                               TypeRow{"f16", 64},
                               TypeRow{"bf16", 64},
                               TypeRow{"q8_0", 34},
                               TypeRow{"q5_1", 24},
                               TypeRow{"q5_0", 22},
                               TypeRow{"q4_1", 20},
                               TypeRow{"q4_0", 18}};

Error missing(std::string_view fact) { return invalid(fmt::format("facts.{} is not known", fact)); }

struct Layer {
  std::uint64_t kv_heads = 0;
  bool sliding = false;
  bool recurrent = false;
};

std::vector<Layer> layers_of(const fleet::ModelFacts& f, std::uint32_t count) {
  std::vector<Layer> out;
  for (const auto& group : f.attention_layers)
    for (std::uint32_t i = 0; i < group.count && out.size() < count; ++i)
      out.push_back({group.kv_heads, group.sliding_window, group.recurrent});
  while (out.size() < count) out.push_back({f.kv_heads.value_or(0), false, false});
  return out;
}

std::uint64_t times(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t product = 1;
  for (const auto f : factors) product = sat_mul(product, f);
  return product;
}

std::uint64_t layer_kv(const LlamaModel::Shape& s,
                       const fleet::ModelFacts& f,
                       const Layer& layer,
                       std::uint32_t bytes_32) {
  std::uint64_t bytes = 0;
  if (layer.recurrent && f.state_space) {
    const auto& x = *f.state_space;
    const std::uint64_t groups = sat_mul(2, sat_mul(x.group_count, x.state_size));
    const std::uint64_t conv = sat_mul(x.conv_kernel > 0 ? x.conv_kernel - 1 : 0, sat_add(x.inner_size, groups));
    bytes = times({4, s.sequences, sat_add(conv, sat_mul(x.state_size, x.inner_size))});
  }
  if (!s.causal) return bytes;
  const std::uint64_t cells = layer.sliding ? s.cells_swa : s.cells;
  if (s.kv_lora > 0) return sat_add(bytes, times({cells, s.kv_lora + s.rope, bytes_32}) / 32);
  return sat_add(bytes, times({cells, layer.kv_heads, s.key + s.value, bytes_32}) / 32);
}

}  // namespace

std::optional<std::uint32_t> kv_type_bytes_32(std::string_view type) {
  for (const auto& row : kTypes)
    if (row.name == type) return row.bytes_32;
  return std::nullopt;
}

// Source: estimation.md §1.2 (context), §1.3 (weights), §1.4 (KV).
Result<LlamaModel> LlamaModel::prepare(const fleet::ModelFacts& f, const fleet::Settings& settings) {
  constexpr std::uint32_t kLayersMax = 10'000;
  auto shape = std::make_shared<Shape>();
  Shape& s = *shape;
  if (!f.layers || *f.layers == 0) return missing("layers");
  if (*f.layers > kLayersMax) return invalid(fmt::format("facts.layers is {}, at most {}", *f.layers, kLayersMax));
  if (!f.hidden_size) return missing("hidden_size");
  if (f.layer_weights.size() != *f.layers) return missing("layer_weights");
  s.layers = *f.layers;
  s.d = *f.hidden_size;
  s.ff = f.feed_forward_size.value_or(0);
  s.expert_ff = f.expert_feed_forward_size.value_or(0);
  s.experts_used = f.experts_used.value_or(0);
  s.heads = f.attention_heads.value_or(0);
  s.kv_heads = f.kv_heads.value_or(0);
  s.key = f.head_dim.value_or(s.heads > 0 ? static_cast<std::uint32_t>(s.d / s.heads) : 0);
  s.value = f.value_head_dim.value_or(static_cast<std::uint32_t>(s.key));
  s.vocab = f.vocab_size.value_or(0);
  s.kv_lora = f.kv_lora_rank.value_or(0);
  s.rope = f.rope_head_dim.value_or(0);
  s.mla_key = f.mla_key_head_dim.value_or(0);
  s.mla_value = f.mla_value_head_dim.value_or(0);
  if (s.mla_key == 0) s.kv_lora = 0;  // without the MLA layout the cache holds whole keys and values
  s.causal = f.causal.value_or(true);
  s.k = coefficients_of(f.architecture);
  const std::string type = settings.kv_type.value_or("f16");
  const auto bytes_32 = kv_type_bytes_32(type);
  if (!bytes_32)
    return invalid(
        fmt::format("settings.kv_type is \"{}\", must be f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0", type));
  s.quantised_kv = *bytes_32 < 64;
  s.flash = settings.flash_attention.value_or(true) || s.quantised_kv;
  s.sequences = settings.sequences.value_or(1);
  const std::uint32_t asked = settings.context.value_or(f.max_context.value_or(0));
  if (asked == 0) return missing("max_context");
  s.cells = round_up(asked, kCellStep);
  s.tokens = std::min<std::uint64_t>(s.cells, settings.ubatch.value_or(512));
  s.cells_swa =
      std::min(s.cells, round_up(sat_add(sat_mul(f.sliding_window.value_or(0), s.sequences), s.tokens), kCellStep));
  constexpr std::uint64_t kBatch = 2048;
  s.outputs = f.task == "embed" ? std::min(s.tokens, kBatch) : s.sequences;
  if (f.state_space) {
    s.state_size = f.state_space->state_size;
    s.inner_size = f.state_space->inner_size;
  }
  const auto layers = layers_of(f, s.layers);
  s.weights_host = s.weights_device = s.kv = {0};
  for (std::uint32_t i = 0; i < s.layers; ++i) {
    const auto& w = f.layer_weights[i];
    const auto& layer = layers[i];
    s.has_swa = s.has_swa || layer.sliding;
    s.has_recurrent = s.has_recurrent || layer.recurrent;
    s.has_full = s.has_full || (!layer.sliding && layer.kv_heads > 0);
    s.weights_host.push_back(sat_add(s.weights_host.back(), w.host_bytes.value));
    s.weights_device.push_back(sat_add(s.weights_device.back(), w.device_bytes.value));
    s.kv.push_back(sat_add(s.kv.back(), layer_kv(s, f, layer, *bytes_32)));
    s.largest_tensor = std::max(s.largest_tensor, w.largest_tensor_bytes.value);
  }
  s.input_host = f.input_weights_bytes.value_or(Bytes()).value;
  s.output_device = f.output_weights_bytes.value_or(Bytes()).value;
  s.output_host = f.output_weights_host_bytes.value_or(Bytes()).value;
  s.kv_text = s.kv_lora > 0
                  ? fmt::format("{} cells × ({} + {}) × {}", s.cells, s.kv_lora, s.rope, type)
                  : fmt::format("{} cells × {} heads × ({} + {}) × {}", s.cells, s.kv_heads, s.key, s.value, type);
  LlamaModel model;
  model.shape_ = std::move(shape);
  return model;
}

std::uint64_t LlamaModel::Shape::mask() const {
  if (!causal) return flash ? tokens / 2 : tokens;
  std::uint64_t wide = 0;
  if (has_full) wide = sat_add(wide, cells);
  if (has_swa) wide = sat_add(wide, cells_swa);
  return flash ? wide / 2 : wide;
}

std::uint64_t LlamaModel::Shape::row_indices() const {
  if (flash || !causal) return 0;
  return times({2, kv_heads, value, has_swa && has_full ? 2ULL : 1ULL});
}

// Source: estimation.md §1.5.
std::uint64_t LlamaModel::Shape::core() const {
  std::uint64_t most = 0;
  const std::uint64_t scores = flash ? 0 : sat_mul(heads, causal ? cells : tokens);
  if (kv_lora > 0) {
    const std::uint64_t latent = mla_key + (kv_lora + rope) + kv_lora + rope;
    most = sat_add(4 * d, sat_add(sat_mul(heads, latent), scores));
  } else if (heads > 0) {
    most = sat_add(sat_add(sat_mul(k.ad, d), times({k.aq, heads, key})), sat_add(scores, row_indices()));
    if (flash && quantised_kv && tokens > 0) {
      const std::uint64_t copies = times({cells, kv_heads, key + value, 2}) / (4 * tokens);
      most = std::max(most, sat_add(4 * d, sat_add(times({k.fa, heads, key}), copies)));
    }
  }
  if (ff > 0) most = std::max(most, sat_add(sat_add(sat_mul(k.fd, d), sat_mul(k.fk, ff)), row_indices()));
  if (experts_used > 0) {
    const std::uint64_t experts = sat_mul(experts_used, sat_add(sat_mul(k.mk, expert_ff), sat_mul(k.me, d)));
    most = std::max(most, sat_add(sat_add(sat_mul(k.fd, d), experts), row_indices()));
  }
  if (has_recurrent && tokens > 0) {
    const std::uint64_t state = times({k.rs, sequences, state_size, inner_size}) / tokens;
    most = std::max(most, sat_add(sat_add(sat_mul(k.rd, d), sat_mul(k.ri, inner_size)), state));
  }
  return most;
}

std::uint64_t LlamaModel::Shape::device_compute(bool first,
                                                bool has_output,
                                                std::uint32_t slots,
                                                std::size_t device_count) const {
  const std::uint64_t row = 4 * tokens, m = mask(), vi = row_indices();
  std::uint64_t floats = sat_add(core(), m + 7);
  if (!first) floats -= std::min(floats, 2 * d);
  const bool all = slots == layers + 1;
  if (!all && tokens > 0)
    floats = std::max(floats, m + sat_mul(2, largest_tensor) / row + 2 * std::max(ff, expert_ff) + d);
  std::uint64_t bytes = sat_mul(row, floats);
  if (has_output) {
    const std::uint64_t out = sat_add(sat_mul(row, (first ? 4 : 2) * d + m + vi + 8), times({4, vocab, outputs}));
    bytes = std::max(bytes, out);
  }
  if (all && device_count > 1) bytes = sat_add(bytes, times({3, row, m + vi + (first ? 4 : 3) * d + 7}));
  return bytes;
}

std::uint64_t LlamaModel::Shape::host_compute(std::uint32_t slots, std::size_t device_count) const {
  const std::uint64_t row = 4 * tokens, m = mask(), vi = row_indices();
  if (slots == 0) {
    const std::uint64_t graph = sat_mul(row, sat_add(core(), m + d));
    return std::max(graph, sat_add(sat_mul(row, 2 * d + m), times({4, vocab, outputs})));
  }
  std::uint64_t bytes = sat_mul(row, (causal ? 4 : 5) * d + m + vi + 9);
  if (slots == layers + 1 && device_count > 1) bytes = sat_add(bytes, times({3, row, m + vi + 2 * d + 9}));
  // Layers that stay on the host are computed there, in the host's own buffer.
  if (slots < layers + 1) bytes = std::max(bytes, sat_mul(row, sat_add(core(), m + d)));
  return bytes;
}

}  // namespace berth::estimate
