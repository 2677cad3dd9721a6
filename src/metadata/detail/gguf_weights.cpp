#include "metadata/detail/gguf_weights.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <map>

#include "base/assert.h"
#include "base/text.h"
#include "metadata/detail/ggml_types.h"

namespace berth::metadata::detail {

namespace {

/// Where a tensor outside the layers goes. Source: the layer kinds of llama.cpp's table of tensors.
enum class Home { kInput, kFirstLayer, kOutput };
constexpr std::string_view kInputTensors[] = {
    "token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight"};
constexpr std::string_view kFirstLayerTensors[] = {"token_embd_norm",
                                                   "rope_freqs",
                                                   "rope_factors_long",
                                                   "rope_factors_short",
                                                   "per_layer_model_proj",
                                                   "per_layer_proj_norm"};
constexpr std::string_view kOutputTensors[] = {"output", "cls", "altup_", "dense_2", "dense_3", "hc_head", "fc."};

Home home_of(std::string_view rest) {
  const auto begins = [rest](std::string_view name) { return rest.starts_with(name); };
  if (std::ranges::find(kInputTensors, rest) != std::end(kInputTensors)) return Home::kInput;
  if (std::ranges::any_of(kFirstLayerTensors, begins)) return Home::kFirstLayer;
  return std::ranges::any_of(kOutputTensors, begins) ? Home::kOutput : Home::kInput;
}

void note_kind(LayerTensors& kind, std::string_view rest) {
  // Layers with linear attention have a fused attn_qkv beside their ssm_ tensors, but keep no keys.
  if (rest == "attn_k.weight" || rest == "attn_kv_a_mqa.weight") kind.keys = true;
  if (rest.starts_with("ssm_") || rest.starts_with("shortconv.") || rest.starts_with("time_mix_")) {
    kind.recurrent = true;
  }
}

void add_to_layer(fleet::LayerWeights& layer, Bytes host, Bytes device) {
  layer.host_bytes += host;
  layer.device_bytes += device;
  layer.largest_tensor_bytes = std::max(layer.largest_tensor_bytes, host);
}

}  // namespace

TensorPlace place_of(std::string_view name) {
  TensorPlace place{.layer = std::nullopt, .rest = name, .of_part = false};
  if (name.starts_with("enc.") || name.starts_with("dec.")) {
    place.rest = name = name.substr(4);
    place.of_part = true;
  }
  if (!name.starts_with("blk.")) return place;
  name.remove_prefix(4);
  std::uint64_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return place;
  place.layer = layer;
  place.rest = name.substr(static_cast<std::size_t>(end - name.data()) + 1);
  return place;
}

Result<GgufWeights> weigh(std::span<const GgufFile> shards, std::uint32_t layers) {
  GgufWeights weights;
  weights.layers.resize(layers);
  weights.kinds.resize(layers);
  std::map<std::uint32_t, std::uint64_t> bytes_of_type;
  for (const GgufFile& shard : shards) {
    for (const GgufTensor& tensor : shard.tensors) {
      const GgmlType* type = ggml_type(tensor.type);
      ASSERT(type != nullptr);  // the reader refuses others
      const Bytes host = tensor.bytes;
      const Bytes device = device_bytes(*type, tensor.dims[0], tensor.bytes);
      weights.total += host;
      weights.parameters = sat_add(weights.parameters, tensor.elements);
      bytes_of_type[tensor.type] = sat_add(bytes_of_type[tensor.type], tensor.bytes);
      const TensorPlace place = place_of(tensor.name);
      if (place.layer && *place.layer < layers) {
        add_to_layer(weights.layers[*place.layer], host, device);
        note_kind(weights.kinds[*place.layer], place.rest);
        continue;
      }
      if (place.layer && !place.of_part) {
        return invalid(fmt::format(
            "tensor \"{}\" belongs to layer {}, but block_count is {}", printable(tensor.name), *place.layer, layers));
      }
      const Home home = home_of(place.rest);
      if (home == Home::kFirstLayer && layers > 0) {
        weights.layers[0].host_bytes += host;
        weights.layers[0].device_bytes += device;
        continue;
      }
      if (home == Home::kOutput) {
        weights.output_host += host;
        weights.output_device += device;
        weights.has_output = weights.has_output || tensor.name == "output.weight";
        continue;
      }
      weights.input_host += host;
      if (tensor.name == "token_embd.weight") {
        weights.embedding_rows = tensor.dims[1];
        weights.embedding_device = device;
      }
    }
  }
  const auto main = std::ranges::max_element(bytes_of_type, {}, &std::pair<const std::uint32_t, std::uint64_t>::second);
  if (main != bytes_of_type.end()) weights.main_type = main->first;
  return weights;
}

}  // namespace berth::metadata::detail
