#pragma once
// Kinds "score" and "scale_down_score". Scores are the other scheduler's numbers, and berth gives none: what they order
// is compared with what berth orders, ties included.

#include "cli/conformance/case.h"
#include "cli/conformance/findings.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::cli::conformance {

/// Scores differ by no more than what the schema allows.
bool same_score(double a, double b);

/// Placements, ordered by the parts of berth's plan key that are about what the case's scorer is about. Of a scorer's
/// ceiling and of 0 it is compared, too, that berth has all files there, or none. Under a policy that has scores they
/// are compared themselves.
CaseResult run_score(const Case& c, const engines::EngineCatalog& embedded, const fleet::Policy& policy = {});

/// Instances of one deployment, in the order in which the controllers stop them when it is scaled down.
CaseResult run_scale_down(const Case& c, const engines::EngineCatalog& embedded);

}  // namespace berth::cli::conformance
