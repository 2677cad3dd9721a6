#pragma once
// decide() without the question "and after releasing claims?": what holders and fixes call again and again.

#include "placement/decide.h"

namespace berth::placement::detail {

enum class Depth {
  kPlans,   // verdict, count and plans; no report
  kReport,  // everything but holders
};

/// `request` must be canonical.
Decision solve(const FleetSnapshot& snapshot,
               const Request& request,
               const Policy& policy,
               const EngineCatalog& catalog,
               Depth depth);

/// Claims of ours whose release would make all replicas fit; empty when there is no such set. Greedy order: already
/// stopping, lower priority, fewest, id; verified by solve(), so sufficient, never called minimal.
std::vector<fleet::Holder> find_holders(const FleetSnapshot& snapshot,
                                        const Request& request,
                                        const Policy& policy,
                                        const EngineCatalog& catalog);
constexpr std::uint32_t kHolderCallsMax = 96;
constexpr std::size_t kHolderSinglesMax = 48;

/// The snapshot without these instances: claims and what they were seen to use are given back.
FleetSnapshot release(const FleetSnapshot& snapshot, const std::vector<fleet::Holder>& holders);

}  // namespace berth::placement::detail
