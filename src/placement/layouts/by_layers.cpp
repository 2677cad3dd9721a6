// Layouts of engines whose memory is judged by parts and split by layers (llama.cpp).
//
// single_device    all layers on one device. Every device that holds them is a candidate.
// several_devices  all layers over g ≥ 2 devices of one type. Layers are first dealt in proportion to what is
//                  allocatable, then, if some device is too small for its share, filled in order of size, then, for at
//                  most 12 devices, by an exact search over all orders (deal.h).
// partial_offload  as many layers as fit on one device, or on all of them together; the rest on the host.
// cpu              no device.
#include "placement/layouts/by_layers.h"

#include <algorithm>
#include <numeric>

#include "placement/layouts/deal.h"

namespace berth::placement {
namespace {

Bytes pick(const Interval& interval, bool uncertain) { return uncertain ? interval.expected : interval.high; }

bool llama_ready(const LayoutInput& input, LayoutAnswer& answer) {
  if (input.option.estimates->llama() != nullptr) return true;
  answer.shortfalls.push_back(
      {RuleId::kMemory, RuleOutcome::unknown(Reason::kFactsMissing, {{"text", input.option.estimates->error()}}), {}});
  return false;
}

void too_few(LayoutAnswer& answer, std::uint32_t needs, std::size_t has) {
  answer.shortfalls.push_back(
      {RuleId::kLayout,
       RuleOutcome::reject(Reason::kTooFewDevices, {{"needs", std::to_string(needs)}, {"has", std::to_string(has)}}),
       Bytes(Bytes::kMax)});
}

std::uint32_t layers_wanted(const LayoutInput& input, std::uint32_t total) {
  return std::min(input.option.settings.offload_layers.value_or(total), total);
}

Candidate llama_candidate(const LayoutInput& input, std::string_view layout, std::uint32_t total) {
  Candidate c = make_candidate(input, layout);
  c.total_layers = total;
  return c;
}

/// Claims of a split, or nothing when some device or the host is too small; the reject is kept.
bool try_split(const LayoutInput& input, Candidate& c, LayoutAnswer& answer, bool keep_shortfall) {
  const auto split = input.option.estimates->llama()->split(c.layers, input.type.traits);
  c.claims.clear();
  for (const auto& device : split.devices) c.claims.push_back(pick(device, input.uncertain));
  c.memory_claim = pick(split.host, input.uncertain);
  auto shortfall = check_claims(input, c.positions, c.claims, c.memory_claim, c.layout);
  if (shortfall.outcome.outcome == Outcome::kPass) return true;
  if (!input.uncertain && keep_shortfall) {
    bool expected_fits = true;
    Bytes pool = split.host.expected;
    for (std::size_t i = 0; i < c.positions.size(); ++i) {
      expected_fits = expected_fits && split.devices[i].expected <= input.ledger.devices[c.positions[i]];
      if (input.type.traits.unified_memory) pool += split.devices[i].expected;
    }
    if (expected_fits && pool <= input.ledger.memory) mark_uncertain(shortfall, split);
  }
  if (keep_shortfall) answer.shortfalls.push_back(std::move(shortfall));
  return false;
}

Few<Bytes> rooms_of(const LayoutInput& input, std::span<const std::uint16_t> positions) {
  Few<Bytes> rooms;
  for (const auto p : positions) rooms.push_back(input.ledger.devices[p]);
  return rooms;
}

/// Devices without a layer are no part of a plan. False when the request fixes how many there are.
bool drop_unused(const LayoutInput& input, Candidate& c) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < c.layers.size(); ++i) {
    if (c.layers[i] == 0) continue;
    c.positions[kept] = c.positions[i];
    c.layers[kept] = c.layers[i];
    c.claims[kept++] = c.claims[i];
  }
  if (kept == c.layers.size()) return true;
  c.positions.resize(kept);
  c.layers.resize(kept);
  c.claims.resize(kept);
  return !fixed_device_count(input);
}

bool offload(const LayoutInput& input, Candidate& c, std::uint32_t count, LayoutAnswer& answer, bool keep) {
  const auto positions = c.positions;
  const auto rooms = rooms_of(input, positions);
  c.offload_layers = count;
  c.layers = deal_in_proportion(rooms, count);
  if (try_split(input, c, answer, false) && drop_unused(input, c)) return true;
  const bool all = fixed_device_count(input).has_value();
  auto* const runs = input.option.estimates->runs(input.type.traits, count);
  const DealInput deal{*input.option.estimates->llama(), input.type.traits, rooms, count, input.uncertain, all, runs};
  c.positions = positions;
  c.layers = deal_in_order(deal);
  if (try_split(input, c, answer, keep) && drop_unused(input, c)) return true;
  // With more devices to come, only what is all but there already is worth an exact search.
  if (layers_over(deal, deal_in_order(deal)) > (keep ? gain_max(rooms.size()) : 1)) return false;
  const auto exact = deal_exactly(deal);
  if (!exact && rooms.size() <= kExactDealMax) return false;
  c.positions.assign(positions.rbegin(), positions.rend());
  if (exact) {
    c.positions.clear();
    for (const auto at : exact->order) c.positions.push_back(positions[at]);
    c.layers = exact->layers;
  } else {
    // The last device also holds the output layer, so that the other way round may fit where this one does not.
    const Few<Bytes> reversed(rooms.rbegin(), rooms.rend());
    c.layers = deal_in_order({deal.model, deal.traits, reversed, count, deal.uncertain, all, runs});
  }
  return try_split(input, c, answer, false) && drop_unused(input, c);
}

/// A lower bound of the bytes that `count` layers take on devices: skips hopeless searches, never possible ones.
bool could_hold(const LayoutInput& input, std::span<const std::uint16_t> positions, std::uint32_t count) {
  Bytes room;
  for (const auto p : positions) room += input.ledger.devices[p];
  return input.option.estimates->least_on_devices(count) <= room;
}

}  // namespace

void mark_uncertain(Shortfall& shortfall, const estimate::LlamaModel::Split& split) {
  shortfall.expected = split.host.expected;
  if (!split.devices.empty()) {
    const auto most = std::max_element(
        split.devices.begin(), split.devices.end(), [](const auto& a, const auto& b) { return a.high < b.high; });
    shortfall.expected = most->expected;
  }
  shortfall.outcome.reason = Reason::kMemoryUncertain;
}

void layout_single_device(const LayoutInput& input, LayoutAnswer& answer) {
  const auto fixed = fixed_device_count(input);
  if (fixed && *fixed != 1) return;
  if (!llama_ready(input, answer)) return;
  const auto total = input.option.estimates->llama()->total_layers();
  if (layers_wanted(input, total) < total) return;
  const auto& [device_bytes, host_bytes] = input.option.estimates->whole(input.type.traits);
  const Bytes claim = pick(device_bytes, input.uncertain), host = pick(host_bytes, input.uncertain);
  const bool shared = input.type.traits.unified_memory;
  const bool host_holds = host + (shared ? claim : Bytes()) <= input.ledger.memory;
  const auto add = [&](std::uint16_t position) {
    Candidate& c = add_candidate(input, "single_device", answer);
    c.total_layers = c.offload_layers = total;
    c.positions.push_back(position);
    c.layers.push_back(total);
    c.claims.push_back(claim);
    c.memory_claim = host;
  };
  for (const auto& group : selection_groups(input)) {
    std::size_t holding = 0;  // sorted by size: those behind a device that is too small are no better
    while (host_holds && holding < group.size() && input.ledger.devices[group[holding]] >= claim) ++holding;
    if (holding > 0 && input.purpose == Purpose::kAll)
      std::for_each(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(holding), add);
    else if (holding > 0)
      add(input.purpose == Purpose::kAny ? group.front() : best_device(input, group, holding));
    // The shortfall is only told by a judgement.
    if (holding > 0 || group.empty() || input.purpose != Purpose::kJudge) continue;
    const auto position = group.front();
    auto shortfall = check_claims(input, group.first(1), std::span(&claim, 1), host, "single_device");
    const bool expected_fits = !input.uncertain && device_bytes.expected <= input.ledger.devices[position] &&
                               host_bytes.expected + (shared ? device_bytes.expected : Bytes()) <= input.ledger.memory;
    if (expected_fits) mark_uncertain(shortfall, {{device_bytes}, host_bytes});
    answer.shortfalls.push_back(std::move(shortfall));
  }
}

void layout_several_devices(const LayoutInput& input, LayoutAnswer& answer) {
  const auto fixed = fixed_device_count(input);
  if (fixed && *fixed < 2) return;
  if (input.type.traits.unified_memory) return;
  if (fixed && input.usable.size() < *fixed) return too_few(answer, *fixed, input.usable.size());
  if (input.usable.size() < 2) return;
  if (!llama_ready(input, answer)) return;
  const std::uint32_t total = input.option.estimates->llama()->total_layers();
  if (layers_wanted(input, total) < total) return;
  for (const auto& group : selection_groups(input)) {
    const std::size_t least = fixed ? *fixed : 2;
    const std::size_t most = fixed ? *fixed : group.size();
    for (std::size_t g = least; g <= most && g <= group.size(); ++g) {
      const bool last = g == most || g == group.size();
      const bool hopeless = !could_hold(input, group.first(g), total);
      if (hopeless && (!last || input.purpose != Purpose::kJudge)) continue;
      Candidate c = llama_candidate(input, "several_devices", total);
      c.positions.assign(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(g));
      if (hopeless) {
        c.layers = deal_in_proportion(rooms_of(input, c.positions), total);
        (void)try_split(input, c, answer, true);  // for what it lacks
        continue;
      }
      if (!offload(input, c, total, answer, last)) continue;
      // One device that holds everything is single_device's plan.
      if (c.positions.size() > 1) answer.candidates.push_back(std::move(c));
      return;
    }
  }
}

void layout_partial_offload(const LayoutInput& input, LayoutAnswer& answer) {
  if (!llama_ready(input, answer)) return;
  const auto& table = input.option.estimates->layer_table(input.type.traits);
  const auto total = static_cast<std::uint32_t>(table.device.size() - 1);
  const auto fixed = fixed_device_count(input);
  const std::uint32_t wanted = layers_wanted(input, total);
  if (!input.context.request.settings.cpu_offload) {
    if (wanted == total) return;
    answer.shortfalls.push_back({RuleId::kLayout, RuleOutcome::reject(Reason::kNoCpuOffload), Bytes(Bytes::kMax)});
    return;
  }
  const std::uint32_t least = input.option.settings.offload_layers ? wanted : 1;
  for (const auto& group : selection_groups(input)) {
    if (group.empty()) continue;
    // llama.cpp's bytes are not monotone in the layer count, so every count is looked at, most layers first. Without a
    // fit, the count that lacks least is told: with so much more it would fit.
    std::optional<Shortfall> nearest;
    for (std::uint32_t n = std::min(wanted, total - 1); n >= least && n > 0 && (!fixed || *fixed == 1); --n) {
      Candidate c = llama_candidate(input, "partial_offload", total);
      c.positions = {group.front()};
      c.layers = {n};
      c.offload_layers = n;
      c.claims = {pick(table.device[n], input.uncertain)};
      c.memory_claim = pick(table.host[n], input.uncertain);
      auto shortfall = check_claims(input, c.positions, c.claims, c.memory_claim, c.layout);
      if (shortfall.outcome.outcome == Outcome::kPass) {
        answer.candidates.push_back(std::move(c));
        nearest.reset();
        break;
      }
      if (!nearest || shortfall.missing < nearest->missing) nearest = std::move(shortfall);
    }
    if (nearest) answer.shortfalls.push_back(*std::move(nearest));
    const std::size_t g = fixed ? *fixed : group.size();
    if (g < 2 || g > group.size()) continue;
    for (std::uint32_t n = std::min(wanted, total - 1); n >= std::max(least, 2U); --n) {
      Candidate c = llama_candidate(input, "partial_offload", total);
      c.positions.assign(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(g));
      if (!could_hold(input, c.positions, n)) continue;
      if (!answer.candidates.empty() && answer.candidates.back().offload_layers >= n) break;
      if (!offload(input, c, n, answer, false)) continue;
      answer.candidates.push_back(std::move(c));
      break;
    }
  }
}

void layout_cpu(const LayoutInput& input, LayoutAnswer& answer) {
  if (!llama_ready(input, answer)) return;
  const auto& bytes = input.option.estimates->on_host();
  const bool offload_asked = input.option.settings.offload_layers.value_or(0) > 0 || fixed_device_count(input);
  if (offload_asked) {
    answer.shortfalls.push_back({RuleId::kLayout, RuleOutcome::reject(Reason::kDevicesAsked), Bytes(Bytes::kMax)});
    return;
  }
  if (!input.context.request.settings.cpu_offload) {
    answer.shortfalls.push_back({RuleId::kLayout, RuleOutcome::reject(Reason::kNoCpuOffload), Bytes(Bytes::kMax)});
    return;
  }
  const Bytes claim = pick(bytes, input.uncertain);
  if (claim <= input.ledger.memory) {
    Candidate& c = add_candidate(input, "cpu", answer);
    c.total_layers = input.option.estimates->llama()->total_layers();
    c.memory_claim = claim;
    return;
  }
  auto shortfall = check_claims(input, {}, {}, claim, "cpu");
  if (!input.uncertain && bytes.expected <= input.ledger.memory) mark_uncertain(shortfall, {{}, bytes});
  answer.shortfalls.push_back(std::move(shortfall));
}

}  // namespace berth::placement
