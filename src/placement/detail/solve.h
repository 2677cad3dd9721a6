#pragma once
// decide() without the question "and after releasing claims?": what holders and fixes call again and again.

#include "placement/decide.h"
#include "placement/search.h"

namespace berth::placement::detail {

enum class Depth {
  kPlans,   // verdict, count and plans; no report
  kReport,  // everything but holders
};

/// Policy and catalog with their hashes, which are made once per question.
struct Rules {
  const Policy& policy;
  const EngineCatalog& catalog;
  std::string policy_hash;
  std::string catalog_hash;
};
Rules make_rules(const Policy& policy, const EngineCatalog& catalog);

/// `request` must be canonical.
Decision solve(const FleetSnapshot& snapshot, const Request& request, const Rules& rules, Depth depth);
/// The same on a search that its caller keeps.
Decision solve(Context& context, Search& search, const Rules& rules, Depth depth);

/// Claims of ours whose release would make all replicas fit; empty when there is no such set. Worker by worker: where
/// releasing all of ours makes room, the fewest of them go, in the order already stopping, lower priority, id; the
/// worker that gives up fewest (then lowest priorities, then id) is taken. Verified by solve(), so sufficient, never
/// called minimal. `search` has placed all but `missing` replicas.
std::vector<fleet::Holder> find_holders(Search& search,
                                        const Context& context,
                                        const Rules& rules,
                                        std::uint32_t missing);

/// Verifying calls before the search for holders gives up.
constexpr std::uint32_t kHolderRoundsMax = 4;

/// The snapshot without these instances: claims and what they were seen to use are given back.
FleetSnapshot release(const FleetSnapshot& snapshot, const std::vector<fleet::Holder>& holders);

}  // namespace berth::placement::detail
