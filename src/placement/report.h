#pragma once
// The report is built from outcomes, never from log text: lines by worker, counts by rule, what was assumed and what of
// the request was not used.

#include "placement/search.h"

namespace berth::placement {

fleet::Report make_report(const Context& context, const Search& search, const Search::Placement& placed);
/// One sentence: the verdict, the count, and where or why not.
std::string make_summary(const Context& context, const fleet::Decision& decision);
/// All outcomes of one judgement in chain order, gate included; points into worker and judgement.
using ChainView = std::array<const RuleOutcome*, kRuleCount>;
ChainView full_chain(const WorkerEval& worker, const Judgement& judgement);

}  // namespace berth::placement
