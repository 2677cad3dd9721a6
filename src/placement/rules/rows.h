#pragma once
// What the static rules have in common: the catalog's rows, and the device that a type stands for.

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "placement/rules/engine_rules.h"

namespace berth::placement {

/// True for an empty list, which means any.
inline bool holds(const std::vector<std::string>& list, const std::string& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

/// "a or b".
inline std::string listed(const std::set<std::string>& items) {
  return join(std::vector<std::string>(items.begin(), items.end()), " or ");
}

/// The rows that `wanted` is true of.
template <class Keep>
std::vector<const engines::SupportRow*> keep(const std::vector<const engines::SupportRow*>& rows, Keep&& wanted) {
  std::vector<const engines::SupportRow*> out;
  for (const auto* row : rows)
    if (wanted(*row)) out.push_back(row);
  return out;
}

/// One device of the type, a healthy one if there is one; null for the CPU.
inline const fleet::Device* device_of(const StaticInput& in) {
  if (in.type.cpu) return nullptr;
  const auto& list = in.type.positions.empty() ? in.type.unhealthy : in.type.positions;
  return &in.entry.worker.devices[list.front()];
}

}  // namespace berth::placement
