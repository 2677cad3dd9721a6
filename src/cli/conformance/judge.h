#pragma once
// One case, put to decide() and verify(), and held against what it expects.

#include <string>
#include <string_view>
#include <vector>

#include "cli/conformance/case.h"
#include "cli/conformance/convert.h"
#include "cli/conformance/findings.h"
#include "cli/conformance/reasons.h"
#include "fleet/decision.h"
#include "fleet/model_catalog.h"

namespace berth::cli::conformance {

/// What is the same for all cases.
struct Judge {
  engines::EngineCatalog catalog;  // the embedded one
  fleet::ModelCatalog models;      // likewise
  ReasonMap reasons;
  fleet::Policy policy;  // rules of the house
  bool strict = false;   // the order of candidates, too

  /// Errors: kInvalid when what is compiled in cannot be read, which is our own bug.
  static Result<Judge> embedded(fleet::Policy policy = {});
  /// Never fails as a function: what cannot be read, run or compared is a failed case that says so.
  [[nodiscard]] CaseResult run(std::string_view json) const;
  [[nodiscard]] CaseResult run(const Case& as_written) const;
};

/// One worker's results for one engine.
struct Line {
  std::string worker;
  std::string engine;
  std::vector<fleet::RuleResult> results;
};
/// The report taken apart: every worker of the snapshot by name, once per engine, groups undone.
std::vector<Line> lines_of(const World& world, const fleet::Decision& decision);

}  // namespace berth::cli::conformance
