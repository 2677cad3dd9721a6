#pragma once
// The engine chain as a table of predicates over (engine version, worker, device type).

#include <span>
#include <vector>

#include "placement/detail/few.h"
#include "placement/rules/chain.h"

namespace berth::placement {

/// What the chain has narrowed the engine's support rows down to; each rule keeps the rows it admits.
using Rows = Few<const engines::SupportRow*>;
struct RowState {
  Rows rows;
  std::string known_as;  // the catalog's version that is judged
  Bytes install_bytes;
};

/// Whether the row is for devices of this vendor and framework, or for the CPU where the type is.
bool row_admits(const engines::SupportRow& row, const DeviceType& type);

/// The fewest bytes that a worker with the same engines as `sample` fetches before it has this one for such a device; 0
/// where it is there or nothing tells.
Bytes least_install(const Context& context, const Option& option, const WorkerEntry& sample, const DeviceType& type);

using StaticRule = RuleOutcome (*)(const StaticInput& input, RowState& rows);
struct StaticRuleRow {
  RuleId id;
  StaticRule rule;
};
/// request, format, engine_os … health, in chain order.
std::span<const StaticRuleRow> static_rules();

}  // namespace berth::placement
