#pragma once
// Whether an engine's version runs the model's architecture, for this task, and by whose code.

#include "placement/rules/engine_rules.h"

namespace berth::placement {

/// Judges the version that would run: the one that was asked for, else those that the worker says it has, else the
/// catalog's.
RuleOutcome architecture(const StaticInput& in, RowState& state);

}  // namespace berth::placement
