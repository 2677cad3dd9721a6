#pragma once
// What a llama.cpp process is started with, as far as it changes bytes.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fleet/model.h"
#include "fleet/request.h"

namespace berth::estimate {

/// Bytes of 32 elements of a KV cache of this type; absent for an unknown type.
/// Source: estimation.md §1.1 (block sizes of ggml's cache types); iq4_nl has the blocks of q4_0.
std::optional<std::uint32_t> kv_type_bytes_32(std::string_view type);

constexpr std::uint32_t kDefaultSequences = 4;  // llama-server without --parallel (estimation.md §1.2)
constexpr std::uint32_t kDefaultBatch = 2048;
constexpr std::uint32_t kDefaultUbatch = 512;

struct LlamaOptions {
  std::uint32_t context = 0;  // tokens
  std::uint32_t sequences = kDefaultSequences;
  bool unified = true;  // the slots share one cache of `context` tokens
  std::uint32_t batch = kDefaultBatch;
  std::uint32_t ubatch = kDefaultUbatch;
  bool flash_attention = true;
  std::string kv_type = "f16";  // keys and values alike
  bool swa_full = false;        // windows keep all tokens
  bool pipeline = true;         // devices compute asynchronously, so inputs are copied ahead
  /// Rows of logits computed at once; absent: every row of a batch (embeddings, llama-cli).
  std::optional<std::uint32_t> outputs;
};

/// The options that berth's recipe for llama-server gives: unified cache, one output row per slot, every row for
/// embeddings. Flash attention is on unless refused: what `auto` comes to on every device berth knows.
/// Errors: kInvalid naming the setting or the missing fact.
Result<LlamaOptions> llama_options(const fleet::ModelFacts& facts, const fleet::Settings& settings);

/// Value of `--name=value` in canonical flags; the last wins.
std::optional<std::string_view> flag_value(const fleet::Settings& settings, std::string_view name);
/// Whether the switch `--name` is on.
bool flag_on(const fleet::Settings& settings, std::string_view name);

}  // namespace berth::estimate
