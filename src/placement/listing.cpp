#include "placement/listing.h"

#include "placement/detail/solve.h"
#include "placement/layouts/listed.h"
#include "placement/plan.h"

namespace berth::placement {

Result<Listing> list_candidates(const FleetSnapshot& snapshot,
                                const Request& request,
                                const Policy& policy,
                                const EngineCatalog& catalog) {
  TRY(const auto canonical, fleet::canonical(request));
  Context context = make_context(snapshot, canonical, policy, catalog);
  if (!context.listed) return invalid("the policy lists no candidates");
  Listing out;
  if (context.options.empty()) return out;
  const Option& option = context.options.front();
  out.need = option.published;
  out.shares = option.shares;
  out.devices = ranks_asked(context, option);
  Search search(context);
  const auto inputs = make_inputs(snapshot, canonical, detail::make_rules(policy, catalog));
  const auto listed = search.list_first();
  for (const auto& c : listed) {
    if (!search.order().same_step(c, listed.front())) break;
    out.plans.push_back(make_plan(context, search.order(), c, inputs));
    out.places.push_back(c.listed);
  }
  return out;
}

}  // namespace berth::placement
