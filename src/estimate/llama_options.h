#pragma once
// What a llama.cpp process is started with, as far as it changes bytes.

#include <cstdint>
#include <optional>
#include <string>

namespace berth::estimate {

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
  std::string kv_type = "f16";            // of keys, and of values unless value_type is given
  std::optional<std::string> value_type;  // of values
  bool kv_offload = true;                 // off: caches and states stay on the host, and so does attention
  bool swa_full = false;                  // windows keep all tokens
  bool pipeline = true;                   // devices compute asynchronously, so inputs are copied ahead
  /// Rows of logits computed at once; absent: every row of a batch (embeddings, llama-cli).
  std::optional<std::uint32_t> outputs;

  [[nodiscard]] const std::string& values() const { return value_type ? *value_type : kv_type; }
};

}  // namespace berth::estimate
