#pragma once
// Inside of make_report(): what is told of every worker, for one engine.

#include <array>
#include <span>
#include <vector>

#include "placement/report.h"

namespace berth::placement {

/// Every rule's outcome and reason, 12 bits each, five to a word; and which inputs the source lacks.
struct Outcomes {
  std::array<std::uint64_t, (kRuleCount + 4) / 5> words{};
  std::uint32_t silent = 0;

  void put(std::size_t rule, const RuleOutcome& o) {
    const std::size_t last = std::min(rule / 5 * 5 + 5, kRuleCount) - 1;
    words[rule / 5] |= (std::uint64_t(o.outcome) << 8 | std::uint64_t(o.reason)) << 12 * (last - rule);
    silent |= std::uint32_t(o.not_carried) << rule;
  }
  friend bool operator==(const Outcomes&, const Outcomes&) = default;
};

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
