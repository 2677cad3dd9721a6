#pragma once
// What a policy with listed candidates chose from: for whoever compares the list, not the choice alone.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "estimate/published.h"
#include "placement/decide.h"

namespace berth::placement {

struct Listing {
  std::optional<estimate::PublishedNeed> need;  // of the first engine; absent: not known
  std::map<std::string, double> shares;         // of a device, by framework, where they differ
  std::optional<std::uint32_t> devices;         // that one replica was asked to have
  std::vector<Plan> plans;                      // of the step that has any, best first; decide() takes the first
  std::vector<std::uint32_t> places;            // parallel: where the list has each, before it was put in order
};

/// For one replica. Errors: kInvalid for a request that fleet::canonical() refuses, and for a policy that does not
/// list.
Result<Listing> list_candidates(const FleetSnapshot& snapshot,
                                const Request& request,
                                const Policy& policy,
                                const EngineCatalog& catalog);

}  // namespace berth::placement
