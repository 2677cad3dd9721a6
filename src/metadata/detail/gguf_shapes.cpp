#include "metadata/detail/gguf_shapes.h"

#include <fmt/format.h>

#include "base/text.h"
#include "metadata/detail/gguf_weights.h"
#include "metadata/detail/limits.h"

namespace berth::metadata::detail {

namespace {

/// What the keys say of the widths.
struct DeclaredShape {
  std::string architecture;
  std::optional<std::uint32_t> hidden;
  std::vector<std::uint32_t> heads;        // per layer; empty: not told
  std::vector<std::uint32_t> kv_heads;     // likewise
  std::string_view kv_key;                 // the key that kv_heads come from
  std::optional<std::uint64_t> key_width;  // of one head; absent where layers differ
};

Error contradicts(const DeclaredShape& shape, std::string_view key, std::string_view value, const GgufTensor& tensor) {
  return invalid(fmt::format("{}.{} is {}, but tensor \"{}\" is {} x {}: the file contradicts itself",
                             printable(shape.architecture),
                             key,
                             value,
                             printable(tensor.name),
                             tensor.dims[0],
                             tensor.dims[1]));
}

Result<void> check_keys(const DeclaredShape& shape, const GgufTensor& tensor, std::uint32_t heads) {
  const std::uint64_t rows = tensor.dims[1];
  const bool whole = heads > 0 && rows % heads == 0;
  if (!whole) return contradicts(shape, shape.kv_key, std::to_string(heads), tensor);
  if (!shape.key_width || rows == heads * *shape.key_width) return {};
  return contradicts(
      shape, shape.kv_key, fmt::format("{}, of keys with a length of {}", heads, *shape.key_width), tensor);
}

Result<void> check_tensor(const DeclaredShape& shape, const GgufTensor& tensor) {
  if (tensor.name == "token_embd.weight") {
    if (!shape.hidden || tensor.dims[0] == *shape.hidden) return {};
    return contradicts(shape, "embedding_length", std::to_string(*shape.hidden), tensor);
  }
  const TensorPlace place = place_of(tensor.name);
  if (!place.layer || place.of_part) return {};
  const std::size_t layer = *place.layer;
  if (place.rest == "attn_k.weight" && layer < shape.kv_heads.size())
    return check_keys(shape, tensor, shape.kv_heads[layer]);
  if (place.rest != "attn_q.weight" || layer >= shape.heads.size()) return {};
  const std::uint32_t heads = shape.heads[layer];
  if (heads > 0 && tensor.dims[1] % heads == 0) return {};
  return contradicts(shape, "attention.head_count", std::to_string(heads), tensor);
}

}  // namespace

Result<void> check_shapes(std::span<const GgufFile> shards, const GgufKeys& keys, const fleet::ModelFacts& facts) {
  constexpr std::string_view kHeads = "attention.head_count";
  constexpr std::string_view kKvHeads = "attention.head_count_kv";
  const std::uint32_t layers = facts.layers.value_or(0);
  DeclaredShape shape{.architecture = facts.architecture,
                      .hidden = facts.hidden_size,
                      .heads = {},
                      .kv_heads = {},
                      .kv_key = kKvHeads,
                      .key_width = facts.head_dim};
  TRY(shape.heads, keys.per_layer(kHeads, layers, kHeadsMax));
  TRY(shape.kv_heads, keys.per_layer(kKvHeads, layers, kHeadsMax));
  if (shape.kv_heads.empty()) {
    shape.kv_heads = shape.heads;
    shape.kv_key = kHeads;
  }
  // Layers with a sliding window have a key length of their own in some architectures.
  TRY(const auto windowed, keys.number("attention.key_length_swa", kHeadDimMax));
  if (windowed) shape.key_width.reset();
  for (const GgufFile& shard : shards)
    for (const GgufTensor& tensor : shard.tensors) TRY_VOID(check_tensor(shape, tensor));
  return {};
}

}  // namespace berth::metadata::detail
