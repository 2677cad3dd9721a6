#pragma once
// Options of a llama.cpp process out of a request.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "estimate/llama_options.h"
#include "fleet/model.h"
#include "fleet/request.h"

namespace berth::estimate {

/// Bytes of 32 elements of a KV cache of this type; absent for an unknown type.
/// Source: estimation.md §1.1 (block sizes of ggml's cache types); iq4_nl has the blocks of q4_0.
std::optional<std::uint32_t> kv_type_bytes_32(std::string_view type);

/// The options that berth's recipe for llama-server gives: unified cache, one output row per slot, every row for
/// embeddings. Flash attention is on unless refused: what `auto` comes to on every device berth knows.
/// Errors: kInvalid naming the setting or the missing fact.
Result<LlamaOptions> llama_options(const fleet::ModelFacts& facts, const fleet::Settings& settings);

/// Errors: kInvalid naming the setting: a count of 0, an unknown type, quantised values without flash attention.
Result<void> check_options(const LlamaOptions& options);

/// Value of `--name=value` in canonical flags; the last wins.
std::optional<std::string_view> flag_value(const fleet::Settings& settings, std::string_view name);
/// Whether the switch `--name` is on.
bool flag_on(const fleet::Settings& settings, std::string_view name);

}  // namespace berth::estimate
