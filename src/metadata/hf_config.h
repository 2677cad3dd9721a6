#pragma once
// config.json of a Hugging Face model.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "fleet/model.h"

namespace berth::metadata {

constexpr std::uint64_t kHfConfigMaxBytes = 16ULL << 20;
/// Objects, arrays, texts and numbers together; published files have some thousands at most.
constexpr std::uint64_t kHfConfigValuesMax = 1'000'000;

/// Facts that config.json carries; weights come from the files (safetensors.h: with_weights). Values of a nested text
/// model (text_config, llm_config, thinker_config.text_config, …) win over those of the top level, which often belong
/// to the whole or are left over. `name` and `format` stay empty.
/// Errors: kInvalid for what is no JSON object, deeper than 64, or a value of the wrong type or out of range, naming
/// it; kTooLarge above kHfConfigMaxBytes.
Result<fleet::ModelFacts> facts_from_hf_config(std::string_view config_json);

}  // namespace berth::metadata
