#include "placement/layouts/listed.h"

#include <algorithm>
#include <fmt/format.h>

#include "placement/layouts/listed_layers.h"
#include "placement/layouts/ranks.h"

namespace berth::placement {
namespace {

using estimate::PublishedForm;
using estimate::PublishedNeed;

constexpr std::string_view kOne = "single_device";
constexpr std::string_view kSeveral = "several_devices";
constexpr std::string_view kRanks = "tensor_parallel";
constexpr std::string_view kHost = "cpu";

bool as_asked(const std::optional<std::uint32_t>& asked, std::uint32_t count) { return !asked || *asked == count; }

/// Takes the candidate unless a device or the host is too small for its claims.
bool take_listed(const LayoutInput& input, Candidate c, LayoutAnswer& answer) {
  std::vector<std::pair<std::uint16_t, Bytes>> pairs;
  for (std::size_t i = 0; i < c.positions.size(); ++i) pairs.emplace_back(c.positions[i], c.claims[i]);
  std::sort(pairs.begin(), pairs.end());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    c.positions[i] = pairs[i].first;
    c.claims[i] = pairs[i].second;
  }
  c.memory_claim += host_ratio(need_of(input.option), c.claims);
  auto shortfall = check_claims(input, c.positions, c.claims, c.memory_claim, c.layout);
  const bool fits = shortfall.outcome.outcome == Outcome::kPass;
  if (!fits) answer.shortfalls.push_back(std::move(shortfall));
  if (!fits && !input.overcommit) return false;
  c.overcommit = !fits;
  answer.candidates.push_back(std::move(c));
  return true;
}

/// The shares of these devices together are less than the need.
void too_little(const LayoutInput& input, const Candidate& c, Bytes sum, LayoutAnswer& answer) {
  const Bytes need = need_of(input.option).device_bytes;
  Bytes whole;
  for (const auto p : c.positions) whole += input.entry.worker.devices[p].memory_total_bytes;
  const auto enough = enough_share(whole, need);
  std::string where = device_title(input.entry, c.positions.front());
  if (c.positions.size() > 1) where = fmt::format("{} devices of {}", c.positions.size(), input.entry.worker.name);
  answer.shortfalls.push_back({RuleId::kMemory,
                               RuleOutcome::reject(Reason::kUtilizationBelowNeed,
                                                   {{"utilization", fmt::format("{}", c.utilization)},
                                                    {"claim", human(sum)},
                                                    {"where", std::move(where)},
                                                    {"enough", enough ? fmt::format("{:.2f}", *enough) : "no share"}})
                                   .with(need, sum),
                               need.minus_or_zero(sum)});
}

Candidate listed_candidate(const LayoutInput& input, std::string_view layout) {
  Candidate c = make_candidate(input, layout);
  c.memory_claim = need_of(input.option).host_bytes;
  return c;
}

void set_ranks(const LayoutInput& input, std::uint32_t ranks, Candidate& c) {
  const auto& sizes = input.option.sizes;
  const std::uint32_t pipeline = sizes.pipeline.value_or(1), data = sizes.data.value_or(1);
  const std::uint32_t others = pipeline * data;
  c.shape = {sizes.tensor.value_or(std::max(1U, ranks / others)), pipeline, data};
}

// --- kShare ---

void one_rank(const LayoutInput& input, LayoutAnswer& answer) {
  const auto& need = need_of(input.option);
  std::vector<std::uint16_t> order(input.usable.begin(), input.usable.end());
  if (need.one_per_worker)
    order.resize(1);  // the roomiest
  else
    std::sort(order.begin(), order.end());
  for (const auto p : order) {
    const auto& device = input.entry.worker.devices[p];
    const double share = share_on(input.option, device.framework);
    Candidate c = listed_candidate(input, kOne);
    c.utilization = share;
    c.positions = {p};
    c.claims = {share > 0 ? estimate::share_bytes(device.memory_total_bytes, share) : need.device_bytes};
    const bool free = share_is_free(input.ledger.devices[p], device.memory_total_bytes, share);
    const bool holds = need.device_bytes <= c.claims.front();
    if (!holds && !input.overcommit) too_little(input, c, c.claims.front(), answer);
    if (holds || input.overcommit) {
      if (!take_listed(input, std::move(c), answer)) continue;
      answer.candidates.back().overcommit |= !holds || !free;
    }
  }
}

/// Devices whose allocatable bytes differ by a tenth at most, roomiest first.
std::vector<std::vector<std::uint16_t>> memory_groups(const LayoutInput& input,
                                                      const std::vector<std::uint16_t>& devices) {
  constexpr std::uint64_t kTenth = 10;
  std::vector<std::vector<std::uint16_t>> groups;
  Bytes most;
  for (const auto p : devices) {
    const Bytes room = input.ledger.devices[p];
    if (groups.empty() || room * kTenth < most * (kTenth - 1)) {
      groups.emplace_back();
      most = room;
    }
    groups.back().push_back(p);
  }
  return groups;
}

/// As many of the group as hold the need together; true when they do.
bool listed_ranks(const LayoutInput& input, const std::vector<std::uint16_t>& group, LayoutAnswer& answer) {
  const auto& need = need_of(input.option);
  const auto asked = ranks_asked(input.context, input.option);
  if (asked && group.size() < *asked) return false;
  Candidate c = listed_candidate(input, kRanks);
  Bytes sum;
  std::optional<RuleOutcome> why;
  const std::size_t most = asked.value_or(static_cast<std::uint32_t>(group.size()));
  for (std::size_t i = 0; i < most; ++i) {
    const auto& device = input.entry.worker.devices[group[i]];
    c.utilization = share_on(input.option, device.framework);
    c.positions.push_back(group[i]);
    c.claims.push_back(c.utilization > 0 ? estimate::share_bytes(device.memory_total_bytes, c.utilization)
                                         : input.ledger.devices[group[i]]);
    sum += c.claims.back();
    const auto ranks = static_cast<std::uint32_t>(i + 1);
    if (ranks < 2 || (asked && ranks < most)) continue;
    const bool holds = sum >= need.device_bytes;
    if (auto whole = uncut(input.context, input.option, ranks)) {
      why = std::move(whole);
      continue;
    }
    if (!holds && !(input.overcommit && ranks == most)) continue;
    set_ranks(input, ranks, c);
    if (!take_listed(input, c, answer)) return false;
    answer.candidates.back().overcommit |= !holds;
    return true;
  }
  if (sum < need.device_bytes)
    too_little(input, c, sum, answer);
  else if (why)
    answer.shortfalls.push_back({RuleId::kLayout, *std::move(why), Bytes(Bytes::kMax - 1)});
  return false;
}

void several_ranks(const LayoutInput& input, LayoutAnswer& answer) {
  std::vector<std::uint16_t> free;
  for (const auto p : input.usable) {
    const auto& device = input.entry.worker.devices[p];
    const double share = share_on(input.option, device.framework);
    if (input.overcommit || share_is_free(input.ledger.devices[p], device.memory_total_bytes, share))
      free.push_back(p);
    else
      answer.shortfalls.push_back(check_claims(
          input, std::span(&p, 1), std::array{estimate::share_bytes(device.memory_total_bytes, share)}, {}, kRanks));
  }
  const auto asked = ranks_asked(input.context, input.option);
  if (asked && free.size() < *asked && input.usable.size() < *asked)
    answer.shortfalls.push_back(
        {RuleId::kLayout,
         RuleOutcome::reject(Reason::kTooFewDevices,
                             {{"needs", std::to_string(*asked)}, {"has", std::to_string(input.usable.size())}}),
         Bytes(Bytes::kMax)});
  if (input.overcommit) {
    (void)listed_ranks(input, free, answer);
    return;
  }
  for (const auto& group : memory_groups(input, free))
    if (group.size() > 1 && listed_ranks(input, group, answer)) return;
}

void by_share(const LayoutInput& input, LayoutAnswer& answer) {
  const auto asked = ranks_asked(input.context, input.option);
  if (as_asked(asked, 1)) one_rank(input, answer);
  if (asked != 1U) several_ranks(input, answer);
}

// --- kOneDevice and kEvenly ---

/// Ranks that each hold all of it, as many as are asked for.
void whole_on_several(const LayoutInput& input, std::size_t count, LayoutAnswer& answer) {
  Candidate c = listed_candidate(input, kRanks);
  for (const auto p : input.usable.first(std::min(count, input.usable.size()))) {
    c.positions.push_back(p);
    c.claims.push_back(need_of(input.option).device_bytes);
  }
  set_ranks(input, static_cast<std::uint32_t>(count), c);
  if (c.positions.size() == count) (void)take_listed(input, std::move(c), answer);
}

void whole_on_each(const LayoutInput& input, LayoutAnswer& answer) {
  const auto& need = need_of(input.option);
  const auto asked = ranks_asked(input.context, input.option);
  if (asked && *asked > 1 && need.form == PublishedForm::kOneDevice && need.vendor.empty())
    return whole_on_several(input, *asked, answer);
  if (!as_asked(asked, 1)) return;
  std::vector<std::uint16_t> order(input.usable.begin(), input.usable.end());
  std::sort(order.begin(), order.end());
  for (const auto p : order) {
    if (!need.vendor.empty() && input.entry.worker.devices[p].vendor != need.vendor) continue;
    Candidate c = listed_candidate(input, kOne);
    c.positions = {p};
    c.claims = {need.device_bytes};
    (void)take_listed(input, std::move(c), answer);
  }
}

void evenly(const LayoutInput& input, LayoutAnswer& answer) {
  const auto asked = ranks_asked(input.context, input.option);
  const std::size_t count = asked.value_or(static_cast<std::uint32_t>(input.usable.size()));
  if (count < 2 || count > input.usable.size()) return;
  Candidate c = listed_candidate(input, kSeveral);
  for (const auto p : input.usable.first(count)) {
    c.positions.push_back(p);
    c.claims.emplace_back(need_of(input.option).device_bytes.value / count);
  }
  (void)take_listed(input, std::move(c), answer);
}

bool need_is_known(const LayoutInput& input, LayoutAnswer& answer) {
  if (input.option.published) return true;
  answer.shortfalls.push_back(
      {RuleId::kMemory, RuleOutcome::unknown(Reason::kFactsMissing, {{"text", input.option.published_error}}), {}});
  return false;
}

}  // namespace

Bytes host_ratio(const PublishedNeed& need, std::span<const Bytes> claims) {
  constexpr std::uint64_t kPermille = 1000;
  Bytes sum;
  for (const auto claim : claims) sum += claim;
  return {sat_mul(sum.value / kPermille, need.host_permille) + sum.value % kPermille * need.host_permille / kPermille};
}

double share_on(const Option& option, const std::string& framework) {
  if (const auto share = need_of(option).share) return *share;
  const auto at = option.shares.find(framework);
  return at == option.shares.end() ? 0 : at->second;
}

bool share_is_free(Bytes allocatable, Bytes total, double share) {
  return static_cast<double>(allocatable.value) >= share * static_cast<double>(total.value);
}

std::optional<std::uint32_t> ranks_asked(const Context& context, const Option& option) {
  const auto& sizes = option.sizes;
  if (sizes.ranks) return sizes.ranks;
  if (context.group_size > 0) return context.group_size;
  return sizes.world();
}

std::optional<RuleOutcome> uncut(const Context& context, const Option& option, std::uint32_t ranks) {
  const auto& facts = context.request.facts;
  const auto& sizes = option.sizes;
  const std::uint32_t others = sizes.pipeline.value_or(1) * sizes.data.value_or(1);
  const std::uint32_t tensor = sizes.tensor.value_or(std::max(1U, ranks / others));
  if (!facts || tensor < 2) return std::nullopt;
  struct Count {
    std::optional<std::uint32_t> count;
    const char* what;
    const char* what_zh;
  };
  for (const auto& [count, what, what_zh] :
       {Count{facts->attention_heads, "attention heads", "个注意力头"},
        Count{facts->vision_attention_heads, "vision attention heads", "个视觉注意力头"},
        Count{facts->vocab_size, "vocabulary entries", "个词表项"}})
    if (count && *count % tensor != 0)
      return RuleOutcome::reject(Reason::kHeadsNotDivisible,
                                 {{"heads", std::to_string(*count)},
                                  {"what", what},
                                  {"what_zh", what_zh},
                                  {"by", "tensor parallel"},
                                  {"by_zh", "张量并行"},
                                  {"tp", std::to_string(tensor)}});
  return std::nullopt;
}

namespace {

/// Devices of one framework go together, whatever they are called: roomiest first, then by place. Empty where another
/// type of the worker is the first of its framework, which then looks at all of them.
std::vector<std::uint16_t> of_framework(const LayoutInput& input) {
  const auto& devices = input.entry.worker.devices;
  const auto* chosen = selected_on(input.context, input.entry.worker);
  std::vector<std::uint16_t> out;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].framework != input.type.traits.framework || devices[i].health == fleet::Health::kUnhealthy) continue;
    if (chosen != nullptr && std::find(chosen->begin(), chosen->end(), devices[i].id) == chosen->end()) continue;
    out.push_back(static_cast<std::uint16_t>(i));
  }
  const auto& own = input.type.positions;
  if (out.empty() || std::find(own.begin(), own.end(), out.front()) == own.end()) return {};
  std::sort(out.begin(), out.end(), [&](std::uint16_t a, std::uint16_t b) {
    const Bytes x = input.ledger.devices[a], y = input.ledger.devices[b];
    return x != y ? x > y : a < b;
  });
  return out;
}

}  // namespace

void layout_listed(const LayoutInput& of_type, LayoutAnswer& answer) {
  if (!need_is_known(of_type, answer)) return;
  const auto together = of_framework(of_type);
  if (together.empty()) return;
  LayoutInput input = of_type;
  input.usable = together;
  // Sizes of the flags that disagree with what is selected, unless the request lets that through.
  const auto& accept = input.context.request.accept;
  const bool let_through = std::find(accept.begin(), accept.end(), reason_name(Reason::kWorldMismatch)) != accept.end();
  if (!let_through) {
    if (auto refused = refused_sizes(input)) {
      answer.shortfalls.push_back(*std::move(refused));
      return;
    }
  }
  switch (need_of(input.option).form) {
    case PublishedForm::kShare:
      return by_share(input, answer);
    case PublishedForm::kOneDevice:
      return whole_on_each(input, answer);
    case PublishedForm::kEvenly:
      whole_on_each(input, answer);
      return evenly(input, answer);
    case PublishedForm::kLayers:
      return layout_listed_layers(input, answer);
  }
}

void layout_listed_on_host(const LayoutInput& input, LayoutAnswer& answer) {
  if (!need_is_known(input, answer)) return;
  const PublishedNeed& need = need_of(input.option);
  if (need.form == PublishedForm::kLayers) return layout_listed_no_layers(input, answer);
  if (!need.host_alone || (need.form == PublishedForm::kEvenly && !input.entry.worker.devices.empty())) {
    answer.shortfalls.push_back({RuleId::kLayout,
                                 RuleOutcome::reject(Reason::kTooFewDevices, {{"needs", "1"}, {"has", "0"}}),
                                 Bytes(Bytes::kMax)});
    return;
  }
  Candidate c = listed_candidate(input, kHost);
  c.memory_claim = *need.host_alone;
  (void)take_listed(input, std::move(c), answer);
}

}  // namespace berth::placement
