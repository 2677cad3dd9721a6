#pragma once
// Where the bytes of a GGUF model lie: per layer, before the first layer, after the last one.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fleet/model.h"
#include "metadata/gguf.h"

namespace berth::metadata::detail {

/// What the tensors of a layer tell about its kind.
struct LayerTensors {
  bool keys = false;       // an own key projection: attention with a KV cache
  bool recurrent = false;  // state-space, short convolution or RWKV tensors
};

struct GgufWeights {
  std::vector<fleet::LayerWeights> layers;
  std::vector<LayerTensors> kinds;  // same size as layers
  Bytes total;
  std::uint64_t parameters = 0;
  Bytes input_host;
  Bytes output_host;
  Bytes output_device;
  bool has_output = false;                      // a tensor output.weight
  std::optional<std::uint64_t> embedding_rows;  // of token_embd.weight
  Bytes embedding_device;                       // as a second copy on a device, for tied outputs
  std::uint32_t main_type = 0;                  // the ggml type that holds most bytes
};

/// A tensor name taken apart: "dec.blk.3.attn_k.weight" is layer 3 of a part, rest "attn_k.weight".
struct TensorPlace {
  std::optional<std::uint64_t> layer;
  std::string_view rest;
  bool of_part = false;  // encoder or decoder of a two-part model, whose layers are counted apart
};
TensorPlace place_of(std::string_view name);

/// Sums the tensors of all shards. `layers` bounds the answer, not the file.
/// Errors: kInvalid for a tensor of a layer ≥ layers.
Result<GgufWeights> weigh(std::span<const GgufFile> shards, std::uint32_t layers);

}  // namespace berth::metadata::detail
