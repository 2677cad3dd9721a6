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

/// "a or b", of all that the rows say in this list.
template <class List>
std::string listed(const Rows& rows, List&& list_of) {
  std::set<std::string> all;
  for (const auto* row : rows)
    for (const auto& item : list_of(*row)) all.insert(item);
  return listed(all);
}

/// Leaves the rows that `wanted` is true of, if there is one; else all stay, for the sentence.
template <class Wanted>
bool keep(Rows& rows, Wanted&& wanted) {
  const auto refused = [&](const engines::SupportRow* row) { return !wanted(*row); };
  if (std::all_of(rows.begin(), rows.end(), refused)) return false;
  rows.erase(std::remove_if(rows.begin(), rows.end(), refused), rows.end());
  return true;
}

/// One device of the type, a healthy one if there is one; null for the CPU.
inline const fleet::Device* device_of(const StaticInput& in) {
  if (in.type.cpu) return nullptr;
  const auto& list = in.type.positions.empty() ? in.type.unhealthy : in.type.positions;
  return &in.entry.worker.devices[list.front()];
}

}  // namespace berth::placement
