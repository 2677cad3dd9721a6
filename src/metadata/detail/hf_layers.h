#pragma once
// Which layers of a config.json keep keys, within a window or not, and which keep a state instead.

#include "base/result.h"
#include "fleet/model.h"
#include "metadata/detail/config_view.h"

namespace berth::metadata::detail {

/// Sets attention_layers, sliding_window and state_space. `facts.layers`, `kv_heads` and `hidden_size` are set before.
/// Errors: kInvalid for a list of layers that is shorter than the model.
Result<void> read_hf_layers(const ConfigView& config, std::string_view model_type, fleet::ModelFacts& facts);

}  // namespace berth::metadata::detail
