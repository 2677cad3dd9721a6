#include "placement/decide.h"

#include <algorithm>
#include <exception>

#include "fleet/hashes.h"
#include "placement/detail/solve.h"
#include "placement/plan.h"
#include "placement/report.h"

namespace berth::placement {
namespace {

using fleet::Verdict;

Decision no_answer(const Request& request, Reason reason, const std::string& text) {
  Decision d;
  d.verdict = Verdict::kUnknown;
  d.asked = request.replicas;
  d.report.request.push_back(to_result(RuleId::kRequest, RuleOutcome::unknown(reason, {{"text", text}})));
  d.summary = "unknown: " + d.report.request.front().text;
  return d;
}

Verdict verdict_of(const Decision& d, const Search& search, const Search::Placement& placed) {
  if (d.fit_count == d.asked) return Verdict::kFits;
  if (placed.search_limit) return Verdict::kUnknown;
  const bool open = search.something_unknown() || placed.unknown;
  return d.fit_count == 0 && open ? Verdict::kUnknown : Verdict::kDoesNotFit;
}

}  // namespace

namespace detail {

Rules make_rules(const Policy& policy, const EngineCatalog& catalog) {
  return {policy, catalog, fleet::hash_of(policy).text(), catalog.hash().text()};
}

Decision solve(const FleetSnapshot& snapshot, const Request& request, const Rules& rules, Depth depth) {
  Context context = make_context(snapshot, request, rules.policy, rules.catalog);
  Search search(context);
  return solve(context, search, rules, depth);
}

Decision solve(Context& context, Search& search, const Rules& rules, Depth depth) {
  const auto placed = search.place();
  Decision d;
  d.asked = context.request.replicas;
  d.fit_count = static_cast<std::uint32_t>(placed.chosen.size());
  d.verdict = verdict_of(d, search, placed);
  d.inputs = make_inputs(context.snapshot, context.request, rules);
  for (const auto& c : placed.chosen) d.plans.push_back(make_plan(context, search.order(), c, d.inputs));
  if (depth == Depth::kPlans) return d;
  search.judge_all();
  d.report = make_report(context, search, placed);
  if (placed.search_limit)
    d.report.notes.push_back(sentence(RuleOutcome::unknown(Reason::kSearchLimit,
                                                           {{"steps", std::to_string(placed.steps)},
                                                            {"found", std::to_string(d.fit_count)},
                                                            {"asked", std::to_string(d.asked)}})));
  d.summary = make_summary(context, d);
  return d;
}

}  // namespace detail

Decision decide(const FleetSnapshot& snapshot,
                const Request& request,
                const Policy& policy,
                const EngineCatalog& catalog,
                Effort effort) {
  auto canonical = fleet::canonical(request);
  if (!canonical) return no_answer(request, Reason::kInvalidRequest, canonical.error().message);
  try {
    const auto rules = detail::make_rules(policy, catalog);
    Context context = make_context(snapshot, *canonical, policy, catalog);
    context.use_index = effort.index;
    Search search(context);
    Decision d = detail::solve(context, search, rules, effort.report ? detail::Depth::kReport : detail::Depth::kPlans);
    if (d.verdict == Verdict::kFits) return d;
    d.holders = detail::find_holders(search, context, rules, d.asked - d.fit_count);
    if (d.holders.empty()) return d;
    d.verdict = Verdict::kFitsAfter;
    if (effort.report) d.summary = make_summary(context, d);
    return d;
  } catch (const std::exception& e) {
    return no_answer(*canonical, Reason::kInternalError, e.what());
  }
}

}  // namespace berth::placement
