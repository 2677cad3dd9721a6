#include "placement/layouts/by_share.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "placement/layouts/ranks.h"

namespace berth::placement {
namespace {

void add_below_need(const LayoutInput& input,
                    std::uint16_t position,
                    const Estimates::Cut::Taken& taken,
                    LayoutAnswer& answer) {
  const Bytes need = taken.need;
  const auto enough = enough_share(taken.total, need);
  answer.shortfalls.push_back({RuleId::kMemory,
                               RuleOutcome::reject(Reason::kUtilizationBelowNeed,
                                                   {{"utilization", fmt::format("{}", taken.utilization)},
                                                    {"claim", human(taken.claim)},
                                                    {"where", device_title(input.entry, position)},
                                                    {"enough", enough ? fmt::format("{:.2f}", *enough) : "no share"}})
                                   .with(need, taken.claim),
                               need.minus_or_zero(taken.claim)});
}

Bytes least_of(const LayoutInput& input, std::span<const std::uint16_t> positions) {
  // Most allocatable first, unless groups were asked for.
  if (input.context.group_size == 0) return input.ledger.devices[positions.back()];
  Bytes least = input.ledger.devices[positions.front()];
  for (const auto p : positions) least = std::min(least, input.ledger.devices[p]);
  return least;
}

/// Facts are missing; but where the weights alone are too much, no fact could help.
void add_unknown(const LayoutInput& input,
                 const Shape& shape,
                 std::span<const std::uint16_t> positions,
                 std::string_view layout,
                 LayoutAnswer& answer) {
  const auto& facts = input.context.request.facts;
  const std::uint64_t cut = std::uint64_t(shape.tensor) * shape.pipeline;
  const Bytes least(facts ? facts->weight_bytes.value_or(Bytes()).value / cut : 0);
  const Bytes have = least_of(input, positions);
  if (least > have) {
    answer.shortfalls.push_back({RuleId::kMemory,
                                 RuleOutcome::reject(Reason::kFreeMemory).with(least, have),
                                 least.minus_or_zero(have),
                                 layout,
                                 positions.back(),
                                 {}});
    return;
  }
  answer.shortfalls.push_back(
      {RuleId::kMemory, RuleOutcome::unknown(Reason::kFactsMissing, {{"text", input.option.estimates->error()}}), {}});
}

/// A shortfall is only told by a judgement, and only the nearest one.
bool worth_telling(const LayoutInput& input, Bytes missing, const LayoutAnswer& answer) {
  return input.purpose == Purpose::kJudge && (answer.near.cut == nullptr || missing < answer.near.missing) &&
         std::none_of(answer.shortfalls.begin(), answer.shortfalls.end(), [&](const Shortfall& known) {
           return known.missing <= missing;
         });
}

using Cut = Estimates::Cut;

/// What a rank of this cut takes of the type's devices, which have one size; asked once for each kind. The chain of a
/// type is that of all devices with its traits.
const Cut::Taken& taken_of(const LayoutInput& input, Cut& cut, Bytes total) {
  for (const auto& known : cut.taken)
    if (known.kind == &input.chain && known.total == total && known.uncertain == input.uncertain &&
        known.unified == input.type.traits.unified_memory)
      return known;
  Cut::Taken fresh{
      .kind = &input.chain, .unified = input.type.traits.unified_memory, .total = total, .uncertain = input.uncertain};
  fresh.rank = input.option.estimates->rank(cut.shape, input.type.traits);
  if (fresh.rank != nullptr) {
    fresh.need = input.uncertain ? fresh.rank->device.expected : fresh.rank->device.high;
    const Share share = share_of(total, fresh.need, input.option.settings.utilization);
    fresh.utilization = share.utilization;
    fresh.below_need = share.below_need;
    // More than the device has: the claim is the need itself, so that the sentence tells the true shortfall.
    fresh.claim = share.claim > total && !share.below_need ? fresh.need : share.claim;
  }
  return cut.taken.emplace_back(fresh);
}

/// The claims of one rank on each of these devices: a candidate, or the shortfall.
void lay_out(const LayoutInput& input,
             Cut& cut,
             std::span<const std::uint16_t> positions,
             std::string_view layout,
             LayoutAnswer& answer) {
  const Shape& shape = cut.shape;
  const Cut::Taken taken = taken_of(input, cut, input.entry.worker.devices[positions.front()].memory_total_bytes);
  const auto* rank = taken.rank;
  Candidate c = make_candidate(input, layout);
  c.shape = shape;
  const Interval host = rank->host_for(shape.ranks());
  c.memory_claim = input.uncertain ? host.expected : host.high;
  c.claims.assign(positions.size(), taken.claim);
  c.utilization = taken.utilization;
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

void add_ranks(const LayoutInput& input,
               Cut& cut,
               std::span<const std::uint16_t> positions,
               std::string_view layout,
               LayoutAnswer& answer) {
  const Shape& shape = cut.shape;
  const Cut::Taken taken = taken_of(input, cut, input.entry.worker.devices[positions.front()].memory_total_bytes);
  const auto* rank = taken.rank;
  if (rank == nullptr) return add_unknown(input, shape, positions, layout, answer);
  if (taken.below_need) return add_below_need(input, positions.front(), taken, answer);
  const Bytes claim = taken.claim;
  const Bytes missing = claim.minus_or_zero(least_of(input, positions));
  if (missing.value > 0) {
    if (!worth_telling(input, missing, answer)) return;
    answer.near.cut = &cut;
    answer.near.positions.assign(positions.begin(), positions.end());
    answer.near.layout = layout;
    answer.near.missing = missing;
    return;
  }
  lay_out(input, cut, positions, layout, answer);
}

/// Puts the nearest miss in words, unless something nearer is known.
void tell_nearest(const LayoutInput& input, LayoutAnswer& answer) {
  const NearMiss near = std::exchange(answer.near, {});
  if (near.cut != nullptr && answer.candidates.empty() && worth_telling(input, near.missing, answer))
    lay_out(input, *near.cut, near.positions, near.layout, answer);
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
  for (auto& cut : cuts_of(input.context, sizes, input.option, ranks)) {
    const auto& [shape, why_not, taken] = cut;
    const bool plain = shape.tensor == ranks;
    if (plain == stages) continue;
    if (why_not) {
      if (input.purpose == Purpose::kJudge)
        answer.shortfalls.push_back({RuleId::kLayout, *why_not, Bytes(Bytes::kMax - 1)});
      continue;
    }
    const std::string_view layout = !stages              ? "tensor_parallel"
                                    : shape.pipeline > 1 ? "pipeline_parallel"
                                                         : "data_parallel";
    add_ranks(input, cut, group.first(ranks), layout, answer);
    if (answer.candidates.size() > before) return true;  // the others have more stages
  }
  return false;
}

}  // namespace

void layout_one_rank(const LayoutInput& input, LayoutAnswer& answer) {
  const Sizes& sizes = input.option.sizes;
  if (sizes.world().value_or(1) != 1) return;
  auto& cuts = cuts_of(input.context, sizes, input.option, 1);
  if (cuts.empty()) return;
  auto& single = cuts.front();
  for (const auto& group : selection_groups(input)) {
    const std::size_t before = answer.shortfalls.size(), known = answer.candidates.size();
    for (const auto position : group) {
      add_ranks(input, single, std::span(&position, 1), "single_device", answer);
      if (answer.shortfalls.size() > before || answer.near.cut != nullptr)
        break;  // sorted by size: smaller devices are no better
      if (input.purpose != Purpose::kAll) break;
    }
    if (answer.candidates.size() == known || input.purpose == Purpose::kAll || input.purpose == Purpose::kAny) continue;
    // The same claim on another device that holds it.
    auto& c = answer.candidates.back();
    std::size_t holding = 1;
    while (holding < group.size() && input.ledger.devices[group[holding]] >= c.claims.front()) ++holding;
    c.positions.front() = best_device(input, group, holding);
  }
  tell_nearest(input, answer);
}

void layout_tensor_parallel(const LayoutInput& input, LayoutAnswer& answer) {
  const Sizes& sizes = input.option.sizes;
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
  tell_nearest(input, answer);
}

void layout_pipeline_parallel(const LayoutInput& input, LayoutAnswer& answer) {
  const Sizes& sizes = input.option.sizes;
  const auto fixed = sizes.world();
  if ((fixed && *fixed < 2) || fixed.value_or(0) > input.usable.size()) return;
  std::size_t fewest = kRanksMax;
  for (const auto& c : answer.candidates) fewest = std::min(fewest, c.positions.size());
  for (const auto& group : selection_groups(input)) {
    const auto most = static_cast<std::uint32_t>(std::min(group.size(), fewest));
    for (std::uint32_t n = fixed.value_or(2); n <= fixed.value_or(most); ++n)
      if (add_shapes(input, sizes, n, group, true, answer)) break;
  }
  tell_nearest(input, answer);
}

}  // namespace berth::placement
