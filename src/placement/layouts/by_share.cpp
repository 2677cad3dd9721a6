#include "placement/layouts/by_share.h"

#include <algorithm>
#include <fmt/format.h>

#include "placement/layouts/ranks.h"

namespace berth::placement {
namespace {

void add_below_need(
    const LayoutInput& input, std::uint16_t position, const Share& share, Bytes need, LayoutAnswer& answer) {
  const auto enough = enough_share(input.entry.worker.devices[position].memory_total_bytes, need);
  answer.shortfalls.push_back({RuleId::kMemory,
                               RuleOutcome::reject(Reason::kUtilizationBelowNeed,
                                                   {{"utilization", fmt::format("{}", share.utilization)},
                                                    {"claim", human(share.claim)},
                                                    {"where", device_title(input.entry, position)},
                                                    {"enough", enough ? fmt::format("{:.2f}", *enough) : "no share"}})
                                   .with(need, share.claim),
                               need.minus_or_zero(share.claim)});
}

Bytes least_of(const LayoutInput& input, std::span<const std::uint16_t> positions) {
  Bytes least = input.ledger.devices[positions.front()];
  for (const auto p : positions) least = std::min(least, input.ledger.devices[p]);
  return least;
}

/// A shortfall is only told by a judgement, and only the nearest one.
bool worth_telling(const LayoutInput& input, Bytes missing, const LayoutAnswer& answer) {
  return input.purpose == Purpose::kJudge &&
         std::none_of(answer.shortfalls.begin(), answer.shortfalls.end(), [&](const Shortfall& known) {
           return known.missing <= missing;
         });
}

void add_ranks(const LayoutInput& input,
               const Shape& shape,
               std::span<const std::uint16_t> positions,
               std::string_view layout,
               LayoutAnswer& answer) {
  const auto* rank = input.option.estimates->rank(shape, input.type.traits);
  if (rank == nullptr) {
    answer.shortfalls.push_back(
        {RuleId::kMemory,
         RuleOutcome::unknown(Reason::kFactsMissing, {{"text", input.option.estimates->error()}}),
         {}});
    return;
  }
  const Bytes need = input.uncertain ? rank->device.expected : rank->device.high;
  // Devices of one type have one size.
  const Bytes total = input.entry.worker.devices[positions.front()].memory_total_bytes;
  const Share share = share_of(total, need, input.option.settings.utilization);
  if (share.below_need) return add_below_need(input, positions.front(), share, need, answer);
  // More than the device has: the claim is the need itself, so that the sentence tells the true shortfall.
  const Bytes claim = share.claim > total ? need : share.claim;
  const Bytes missing = claim.minus_or_zero(least_of(input, positions));
  if (missing.value > 0 && !worth_telling(input, missing, answer)) return;
  Candidate c = make_candidate(input, layout);
  c.shape = shape;
  const Interval host = rank->host_for(shape.ranks());
  c.memory_claim = input.uncertain ? host.expected : host.high;
  c.claims.assign(positions.size(), claim);
  c.utilization = share.utilization;
  c.positions.assign(positions.begin(), positions.end());
  std::sort(c.positions.begin(), c.positions.end());
  auto shortfall = check_claims(input, c.positions, c.claims, c.memory_claim, layout);
  if (shortfall.outcome.outcome == Outcome::kPass) {
    answer.candidates.push_back(std::move(c));
    return;
  }
  if (!input.uncertain && shortfall.rule == RuleId::kMemory) {
    const bool expected_fits = std::all_of(c.positions.begin(), c.positions.end(), [&](std::uint16_t p) {
      const Bytes whole = input.entry.worker.devices[p].memory_total_bytes;
      return share_of(whole, rank->device.expected, input.option.settings.utilization).claim <= input.ledger.devices[p];
    });
    if (expected_fits && !input.option.settings.utilization) {
      shortfall.outcome.reason = Reason::kMemoryUncertain;
      shortfall.expected = rank->device.expected;
    }
  }
  answer.shortfalls.push_back(std::move(shortfall));
}

/// All shapes of `ranks` ranks on the first devices of a group; `stages`: those with pipeline stages or copies, else
/// those without. True when one of them fits.
bool add_shapes(const LayoutInput& input,
                const Sizes& sizes,
                std::uint32_t ranks,
                std::span<const std::uint16_t> group,
                bool stages,
                LayoutAnswer& answer) {
  const std::size_t before = answer.candidates.size();
  for (const Shape& shape : shapes_of(sizes, input.option, ranks)) {
    const bool plain = shape.tensor == ranks;
    if (plain == stages) continue;
    if (auto why_not = undivided(input.context, input.option, shape)) {
      answer.shortfalls.push_back({RuleId::kLayout, *std::move(why_not), Bytes(Bytes::kMax - 1)});
      continue;
    }
    const std::string_view layout = !stages              ? "tensor_parallel"
                                    : shape.pipeline > 1 ? "pipeline_parallel"
                                                         : "data_parallel";
    add_ranks(input, shape, group.first(ranks), layout, answer);
    if (answer.candidates.size() > before) return true;  // the others have more stages
  }
  return false;
}

}  // namespace

void layout_one_rank(const LayoutInput& input, LayoutAnswer& answer) {
  if (sizes_of(input.context).world().value_or(1) != 1) return;
  for (const auto& group : selection_groups(input)) {
    const std::size_t before = answer.shortfalls.size(), known = answer.candidates.size();
    for (const auto position : group) {
      add_ranks(input, {}, std::span(&position, 1), "single_device", answer);
      if (answer.shortfalls.size() > before) break;  // sorted by size: smaller devices are no better
      if (input.purpose != Purpose::kAll) break;
    }
    if (answer.candidates.size() == known || input.purpose == Purpose::kAll || input.purpose == Purpose::kAny) continue;
    // The same claim on another device that holds it.
    auto& c = answer.candidates.back();
    std::size_t holding = 1;
    while (holding < group.size() && input.ledger.devices[group[holding]] >= c.claims.front()) ++holding;
    c.positions.front() = best_device(input, group, holding);
  }
}

void layout_tensor_parallel(const LayoutInput& input, LayoutAnswer& answer) {
  const Sizes sizes = sizes_of(input.context);
  const auto fixed = sizes.world();
  if (fixed && *fixed < 2) return;
  if (fixed && *fixed > input.usable.size()) {
    answer.shortfalls.push_back(
        {RuleId::kLayout,
         RuleOutcome::reject(Reason::kTooFewDevices,
                             {{"needs", std::to_string(*fixed)}, {"has", std::to_string(input.usable.size())}}),
         Bytes(Bytes::kMax)});
    return;
  }
  for (const auto& group : selection_groups(input)) {
    const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(group.size(), kRanksMax));
    for (std::uint32_t n = fixed.value_or(2); n <= fixed.value_or(most); ++n) {
      // More ranks than needed rank behind.
      if (add_shapes(input, sizes, n, group, false, answer)) break;
    }
  }
}

void layout_pipeline_parallel(const LayoutInput& input, LayoutAnswer& answer) {
  const Sizes sizes = sizes_of(input.context);
  const auto fixed = sizes.world();
  if ((fixed && *fixed < 2) || fixed.value_or(0) > input.usable.size()) return;
  std::size_t fewest = kRanksMax;
  for (const auto& c : answer.candidates) fewest = std::min(fewest, c.positions.size());
  for (const auto& group : selection_groups(input)) {
    const auto most = static_cast<std::uint32_t>(std::min(group.size(), fewest));
    for (std::uint32_t n = fixed.value_or(2); n <= fixed.value_or(most); ++n)
      if (add_shapes(input, sizes, n, group, true, answer)) break;
  }
}

}  // namespace berth::placement
