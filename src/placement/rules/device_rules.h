#pragma once
// What a build of an engine needs of the device and its driver, and what the model's types need.

#include "placement/rules/engine_rules.h"

namespace berth::placement {

/// Keeps the rows whose oldest driver this one is not older than.
RuleOutcome driver(const StaticInput& input, RowState& rows);
/// Keeps the rows for this chip: by variant, by compute capability; then the types of the model.
RuleOutcome capability(const StaticInput& input, RowState& rows);

}  // namespace berth::placement
