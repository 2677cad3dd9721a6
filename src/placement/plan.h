#pragma once
// Candidate → Plan: pins everything an engine might choose, with the memory table and the key part by part.

#include "placement/detail/solve.h"
#include "placement/search.h"

namespace berth::placement {

fleet::Plan make_plan(const Context& context,
                      const KeyOrder& order,
                      const Candidate& candidate,
                      const fleet::Inputs& inputs);
fleet::Inputs make_inputs(const FleetSnapshot& snapshot, const Request& canonical, const detail::Rules& rules);
/// hash(request, policy, catalog, plan): what a commit names.
std::string plan_id(const fleet::Plan& plan, const fleet::Inputs& inputs);
/// Hash of the catalog's content.

}  // namespace berth::placement
