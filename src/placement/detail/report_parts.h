#pragma once
// Inside of make_report(): what is told of every worker, for one engine.

#include <span>
#include <vector>

#include "placement/report.h"

namespace berth::placement {

/// The outcomes of every worker for one option, in the order of the search.
std::vector<Outcomes> outcomes_of(const Search& search, std::size_t option);
/// One line for workers with equal outcomes and hardware; with equal outcomes when that makes too many.
void add_lines(fleet::Report& report,
               const Search& search,
               std::span<const Outcomes> outcomes,
               const Option& option,
               std::size_t o);
void add_counts(fleet::Report& report,
                const Search& search,
                std::span<const Outcomes> outcomes,
                const Option& option,
                std::size_t o);

inline bool blocks(const RuleOutcome& o) { return o.outcome == Outcome::kReject; }

}  // namespace berth::placement
