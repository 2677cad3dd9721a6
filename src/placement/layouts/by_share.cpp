#include "placement/layouts/by_share.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace berth::placement {
namespace {

constexpr std::uint64_t kShareSteps = 100;     // utilization is given in hundredths when berth chooses it
constexpr std::uint64_t kShareScale = 10'000;  // and read in ten-thousandths when the user does
constexpr std::uint32_t kRanksMax = 16;

struct Share {
  Bytes claim;
  double utilization = 0;
  bool below_need = false;
};

Share share_of(Bytes total, Bytes need, std::optional<double> asked) {
  if (asked) {
    const auto scaled = static_cast<std::uint64_t>(std::llround(*asked * static_cast<double>(kShareScale)));
    const Bytes claim = mul_div_ceil(total.value, scaled, kShareScale);
    return {claim, *asked, need > claim};
  }
  const std::uint64_t steps = mul_div_ceil(need.value, kShareSteps, total.value);
  return {mul_div_ceil(total.value, steps, kShareSteps),
          static_cast<double>(steps) / static_cast<double>(kShareSteps),
          false};
}

bool heads_divide(const LayoutInput& input, std::uint32_t tp, LayoutAnswer& answer) {
  const auto& facts = input.context.request.facts;
  if (!facts || !facts->attention_heads || *facts->attention_heads % tp == 0) return true;
  answer.shortfalls.push_back(
      {RuleId::kLayout,
       RuleOutcome::reject(Reason::kHeadsNotDivisible,
                           {{"heads", std::to_string(*facts->attention_heads)}, {"tp", std::to_string(tp)}}),
       Bytes(Bytes::kMax - 1)});
  return false;
}

void add_below_need(
    const LayoutInput& input, std::uint16_t position, const Share& share, Bytes need, LayoutAnswer& answer) {
  const Bytes total = input.entry.worker.devices[position].memory_total_bytes;
  const std::uint64_t enough = mul_div_ceil(need.value, kShareSteps, total.value);
  const std::string hint =
      enough <= kShareSteps ? fmt::format("{:.2f}", static_cast<double>(enough) / kShareSteps) : "no share";
  answer.shortfalls.push_back({RuleId::kMemory,
                               RuleOutcome::reject(Reason::kUtilizationBelowNeed,
                                                   {{"utilization", fmt::format("{}", share.utilization)},
                                                    {"claim", human(share.claim)},
                                                    {"where", device_title(input.entry, position)},
                                                    {"enough", hint}})
                                   .with(need, share.claim),
                               need.minus_or_zero(share.claim)});
}

Bytes least_of(const LayoutInput& input, std::span<const std::uint16_t> positions) {
  Bytes least = input.ledger.devices[positions.front()];
  for (const auto p : positions) least = std::min(least, input.ledger.devices[p]);
  return least;
}

void add_ranks(const LayoutInput& input,
               std::uint32_t tp,
               std::span<const std::uint16_t> positions,
               std::string_view layout,
               LayoutAnswer& answer) {
  const auto* rank = input.option.estimates->rank(tp, input.type.traits);
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
  // The shortfall is only told by a judgement.
  if (input.purpose != Purpose::kJudge && least_of(input, positions) < share.claim) return;
  Candidate c = make_candidate(input, layout);
  c.tensor_parallel = tp;
  c.memory_claim = input.uncertain ? rank->host.expected : rank->host.high;
  // More than the device has: the claim is the need itself, so that the sentence tells the true shortfall.
  c.claims.assign(positions.size(), share.claim > total ? need : share.claim);
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

}  // namespace

void layout_one_rank(const LayoutInput& input, LayoutAnswer& answer) {
  const auto fixed = fixed_device_count(input.context);
  if (fixed && *fixed != 1) return;
  for (const auto& group : selection_groups(input)) {
    const std::size_t before = answer.shortfalls.size();
    for (const auto position : group) {
      add_ranks(input, 1, std::span(&position, 1), "single_device", answer);
      if (answer.shortfalls.size() > before) break;  // sorted by size: smaller devices are no better
    }
  }
}

void layout_tensor_parallel(const LayoutInput& input, LayoutAnswer& answer) {
  const auto fixed = fixed_device_count(input.context);
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
    for (std::uint32_t tp = fixed.value_or(2); tp <= fixed.value_or(most); ++tp) {
      if (!fixed && (tp & (tp - 1)) != 0) continue;  // unasked, only powers of two: what every model's heads divide by
      if (!heads_divide(input, tp, answer)) continue;
      const std::size_t before = answer.candidates.size();
      add_ranks(input, tp, group.first(tp), "tensor_parallel", answer);
      if (answer.candidates.size() > before && !fixed) break;  // more ranks than needed rank behind (key part 5)
    }
  }
}

}  // namespace berth::placement
