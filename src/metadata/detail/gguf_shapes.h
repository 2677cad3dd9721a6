#pragma once
// Whether the keys of a GGUF file and the shapes of its tensors are of one model.

#include <span>

#include "base/result.h"
#include "fleet/model.h"
#include "metadata/detail/gguf_keys.h"
#include "metadata/gguf.h"

namespace berth::metadata::detail {

/// Holds embedding_length and the head counts, which every estimate rests on, against the tensors that they shape.
/// `facts` have hidden_size, layers, attention_heads and head_dim. Errors: kInvalid naming key and tensor.
/// Source: the shapes that llama.cpp's loader demands of token_embd, attn_q and attn_k.
Result<void> check_shapes(std::span<const GgufFile> shards, const GgufKeys& keys, const fleet::ModelFacts& facts);

}  // namespace berth::metadata::detail
