#pragma once
// Whether what a reject says is true in the case. Looks at the case and the catalog's rows only, so that a reason given
// for the wrong worker, or out of nothing, cannot pass for the right one.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/conformance/convert.h"
#include "fleet/decision.h"

namespace berth::cli::conformance {

/// One reject of the report.
struct Said {
  const CaseWorker* worker = nullptr;  // null: about the request, so about every worker
  std::string engine;                  // catalog id
  const fleet::RuleResult* result = nullptr;
};

/// What of it does not hold; absent when all does. A reason without a check does not hold.
std::optional<std::string> untrue(const Case& c, const World& world, const Said& said);
/// Reasons that have a check, for the test that none is forgotten.
std::vector<std::string> checked_reasons();

}  // namespace berth::cli::conformance
