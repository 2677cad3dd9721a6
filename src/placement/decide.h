#pragma once
// The law (DESIGN §1): these three pure functions answer every question about placement, and nothing else does.
//
//   decide  : which replicas can run where, and why not elsewhere
//   verify  : does this very plan still hold on this snapshot; the same rules over the plan's own workers and devices
//   fixes   : the smallest verified changes after which decide() would say yes
//
// The same bytes in give the same bytes out: no clock, I/O, cache, global, thread or randomness.

#include <vector>

#include "engines/catalog.h"
#include "fleet/decision.h"
#include "fleet/snapshot.h"

namespace berth::placement {

using engines::EngineCatalog;
using fleet::Decision;
using fleet::Fix;
using fleet::FixBudget;
using fleet::FleetSnapshot;
using fleet::Plan;
using fleet::Policy;
using fleet::Request;
using fleet::Verification;

/// How much of an answer is wanted and how it is looked for. Nothing here changes verdict, plans or holders.
struct Effort {
  bool report = true;  // false: no report and no summary
  bool index = true;   // false: every worker is judged; what the index is held against
};

/// Answers `request`. A request that fleet::canonical() refuses gives `unknown` with the reason `invalid_request`;
/// callers at the edge check it first and answer 400.
Decision decide(const FleetSnapshot& snapshot,
                const Request& request,
                const Policy& policy,
                const EngineCatalog& catalog,
                Effort effort = {});

/// Says whether `plan` may be committed on `snapshot`. Every plan that decide(s) returns passes verify(…, s).
Verification verify(const FleetSnapshot& snapshot,
                    const Request& request,
                    const Policy& policy,
                    const EngineCatalog& catalog,
                    const Plan& plan);

/// Verified ways to a yes: fewest changes, then cost by kind, then least amount, then id; one per kind unless
/// budget.per_kind_max says more. Empty when `decision` fits or when nothing within the budget helps.
std::vector<Fix> fixes(const FleetSnapshot& snapshot,
                       const Request& request,
                       const Policy& policy,
                       const EngineCatalog& catalog,
                       const Decision& decision,
                       FixBudget budget = {});

}  // namespace berth::placement
