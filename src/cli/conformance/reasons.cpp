#include "cli/conformance/reasons.h"

#include <algorithm>
#include <fmt/format.h>

#include "wire/codec.h"

namespace berth::cli::conformance {

const std::string& ReasonMap::general_of(const std::string& theirs) const {
  const auto at = general.find(theirs);
  return at == general.end() ? theirs : at->second;
}

bool ReasonMap::says(const std::string& ours, const std::string& theirs) const {
  const auto at = reasons.find(ours);
  return at != reasons.end() && at->second == general_of(theirs);
}

bool ReasonMap::knows(const std::string& theirs) const {
  return std::any_of(reasons.begin(), reasons.end(), [&](const auto& row) { return row.second == general_of(theirs); });
}

Result<ReasonMap> read_reason_map(std::string_view json) {
  TRY(auto map, wire::from_json<ReasonMap>(json, wire::Strictness::kStrict));
  for (const auto& ours : map.without_counterpart)
    if (map.reasons.contains(ours)) return invalid(fmt::format("\"{}\" has a counterpart and has none", ours));
  for (const auto& [fine, general] : map.general)
    if (!map.knows(general)) return invalid(fmt::format("general.{}: no reason maps to \"{}\"", fine, general));
  return map;
}

}  // namespace berth::cli::conformance

BERTH_WIRE(berth::cli::conformance::ReasonMap);
