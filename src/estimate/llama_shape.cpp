#include "estimate/detail/llama_shape.h"

#include <algorithm>
#include <fmt/format.h>

#include "estimate/detail/facts.h"

namespace berth::estimate {
namespace {

constexpr std::uint32_t kHalf32 = 64;     // bytes of 32 elements of f16
constexpr std::uint64_t kCellStep = 256;  // contexts are rounded up to it

/// One entry per layer. Rows that describe fewer layers than there are leave the rest like the usual layer.
std::vector<LayerShape> layers_of(const fleet::ModelFacts& f, std::uint32_t count) {
  std::vector<LayerShape> out;
  out.reserve(count);
  for (const auto& group : f.attention_layers) {
    for (std::uint32_t i = 0; i < group.count && out.size() < count; ++i)
      out.push_back({group.kv_heads, group.sliding_window, group.recurrent});
  }
  while (out.size() < count) out.push_back({f.kv_heads.value_or(0), false, false});
  return out;
}

/// Facts that no formula can do without.
Result<void> require(const fleet::ModelFacts& f, const std::vector<LayerShape>& layers) {
  if (!f.hidden_size || *f.hidden_size == 0) return missing("hidden_size");
  if (!f.vocab_size) return missing("vocab_size");
  if (f.layer_weights.size() != layers.size()) return missing("layer_weights");
  if (!f.input_weights_bytes) return missing("input_weights_bytes");
  if (!f.output_weights_bytes) return missing("output_weights_bytes");
  const bool told = !f.attention_layers.empty();
  const bool attention = !told || std::ranges::any_of(layers, [](const LayerShape& l) { return l.attention(); });
  const bool recurrent = std::ranges::any_of(layers, [](const LayerShape& l) { return l.recurrent; });
  if (recurrent && !f.state_space) return missing("state_space");
  if (!attention) return {};
  if (!f.attention_heads || *f.attention_heads == 0) return missing("attention_heads");
  if (!f.kv_heads) return missing("kv_heads");
  if (!f.feed_forward_size && !f.experts_used) return missing("feed_forward_size");
  return {};
}

void set_widths(LlamaModel::Shape& s, const fleet::ModelFacts& f) {
  s.d = known(f.hidden_size);
  s.ff = known(f.feed_forward_size);
  s.expert_ff = known(f.expert_feed_forward_size);
  s.experts_used = known(f.experts_used);
  s.heads = known(f.attention_heads);
  s.kv_heads = known(f.kv_heads);
  s.key = f.head_dim ? Sat(*f.head_dim) : s.d / s.heads;
  s.value = f.value_head_dim ? Sat(*f.value_head_dim) : s.key;
  s.window_key = f.window_head_dim ? Sat(*f.window_head_dim) : s.key;
  s.window_value = f.window_value_head_dim ? Sat(*f.window_value_head_dim) : s.value;
  s.indexer = known(f.indexer_head_dim);
  s.vocab = known(f.vocab_size);
  // Without the lengths of the latent layout the cache holds whole keys and values.
  if (f.mla_key_head_dim) {
    s.kv_lora = known(f.kv_lora_rank);
    s.rope = known(f.rope_head_dim);
    s.mla_key = known(f.mla_key_head_dim);
  }
  if (f.state_space) {
    const auto& x = *f.state_space;
    s.state = x.state_size;
    s.inner = x.inner_size;
    s.channels = s.inner + Sat(2) * Sat(x.group_count) * s.state;
    s.conv = Sat(std::max(x.conv_kernel, 1U) - 1) * s.channels;
  }
}

/// Source: estimation.md §1.2.
void set_context(LlamaModel::Shape& s, const fleet::ModelFacts& f) {
  const LlamaOptions& o = s.options;
  s.sequences = o.sequences;
  s.streams = o.unified ? 1 : o.sequences;
  s.cells = round_up(o.unified ? o.context : round_up(o.context, kCellStep) / o.sequences, kCellStep);
  const Sat context = s.cells * s.streams;
  const Sat batch = s.causal ? std::min(context, Sat(o.batch)) : Sat(o.batch);
  const Sat ubatch = std::min(batch, Sat(o.ubatch));
  s.tokens = std::min(context, ubatch);
  s.outputs = o.outputs ? std::min(s.tokens, Sat(*o.outputs)) : s.tokens;
  if (!s.causal) s.outputs = 0;
  const Sat windows = known(f.sliding_window) * (o.unified ? s.sequences : Sat(1));
  s.cells_swa = o.swa_full ? s.cells : std::min(s.cells, Sat(round_up((windows + ubatch).value, kCellStep)));
}

void add_layer(LlamaModel::Shape& s, const LayerShape& layer, const fleet::LayerWeights& weights) {
  const bool attention = layer.attention();
  const LayerKv kv = layer_kv(s, layer);
  s.weights_host.push(weights.host_bytes.value);
  s.weights_device.push(weights.device_bytes.value);
  s.kv_host.push(kv.host);
  s.kv_device.push(kv.device);
  s.full.push(attention && !layer.windowed ? 1 : 0);
  s.windowed.push(attention && layer.windowed ? 1 : 0);
  s.recurrent.push(layer.recurrent ? 1 : 0);
  s.heads_full.push(attention && !layer.windowed ? layer.kv_heads : 0);
  s.heads_windowed.push(attention && layer.windowed ? layer.kv_heads : 0);
  s.largest_tensor.push_back(std::max(s.largest_tensor.back(), Sat(weights.largest_tensor_bytes.value)));
}

}  // namespace

Result<std::shared_ptr<const LlamaModel::Shape>> LlamaModel::Shape::make(const fleet::ModelFacts& f,
                                                                         const LlamaOptions& options) {
  if (!f.layers || *f.layers == 0) return missing("layers");
  if (*f.layers > kEstimateLayersMax)
    return invalid(fmt::format("facts.layers is {}, must be at most {}", *f.layers, kEstimateLayersMax));
  const auto layers = layers_of(f, *f.layers);
  TRY_VOID(require(f, layers));
  auto shape = std::make_shared<Shape>();
  Shape& s = *shape;
  s.options = options;
  s.k = coefficients_of(f.architecture);
  s.layers = *f.layers;
  s.causal = f.causal.value_or(true);
  s.key_bytes_32 = kv_type_bytes_32(options.kv_type).value_or(kHalf32);
  s.value_bytes_32 = kv_type_bytes_32(options.values()).value_or(kHalf32);
  s.quantised_keys = s.key_bytes_32 < kHalf32;
  s.quantised_values = s.value_bytes_32 < kHalf32;
  set_widths(s, f);
  set_context(s, f);
  for (std::uint32_t i = 0; i < s.layers; ++i) add_layer(s, layers[i], f.layer_weights[i]);
  s.input_host = f.input_weights_bytes.value_or(Bytes()).value;
  s.output_device = f.output_weights_bytes.value_or(Bytes()).value;
  s.output_host = f.output_weights_host_bytes.value_or(f.output_weights_bytes.value_or(Bytes())).value;
  s.fill_places();
  return std::shared_ptr<const Shape>(std::move(shape));
}

LayerKinds LlamaModel::Shape::kinds(std::uint32_t from, std::uint32_t to) const {
  return {.full = full.over(from, to) > Sat(0),
          .windowed = windowed.over(from, to) > Sat(0),
          .recurrent = recurrent.over(from, to) > Sat(0)};
}

LlamaModel::LlamaModel(std::shared_ptr<const Shape> shape) : shape_(std::move(shape)) {}

Result<LlamaModel> LlamaModel::prepare(const fleet::ModelFacts& facts, const fleet::Settings& settings) {
  TRY(const auto options, llama_options(facts, settings));
  return prepare(facts, options);
}

Result<LlamaModel> LlamaModel::prepare(const fleet::ModelFacts& facts, const LlamaOptions& options) {
  TRY_VOID(check_options(options));
  TRY(auto shape, Shape::make(facts, options));
  return LlamaModel(std::move(shape));
}

std::uint32_t LlamaModel::total_layers() const { return shape_->layers + 1; }

}  // namespace berth::estimate
