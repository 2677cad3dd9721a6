#include "placement/layouts/declared.h"

#include <algorithm>
#include <fmt/format.h>

namespace berth::placement {
namespace {

/// Beside the weights, for a program on the CPU of which nothing is declared: a guess, and said to be one.
constexpr Bytes kHostRoom{std::uint64_t{2} << 30U};
constexpr std::uint64_t kHostWeightsPercent = 125;

const std::optional<fleet::DeclaredNeeds>& needs_of(const Option& option) { return option.settings.needs; }

Bytes declared_host(const Option& option) {
  const auto& needs = needs_of(option);
  return needs ? needs->memory_bytes.value_or(Bytes()) : Bytes();
}

/// What a replica takes of this device. A whole device is what ours may claim of it, beside strangers.
Bytes wanted_of(const LayoutInput& input, std::uint16_t position) {
  const auto& needs = needs_of(input.option);
  if (needs && needs->device_bytes) return *needs->device_bytes;
  const Bytes whole = fleet::claimable(input.entry.capacity[position]);
  if (!input.entry.worker.devices[position].unified_memory) return whole;
  return std::min(whole, fleet::claimable(input.entry.memory).minus_or_zero(declared_host(input.option)));
}

void reject(LayoutAnswer& answer, Reason reason, RuleOutcome::Args args) {
  answer.shortfalls.push_back({RuleId::kLayout, RuleOutcome::reject(reason, std::move(args)), Bytes(Bytes::kMax)});
}

void try_devices(const LayoutInput& input, std::span<const std::uint16_t> positions, LayoutAnswer& answer) {
  Candidate c = make_candidate(input, "declared");
  c.positions.assign(positions.begin(), positions.end());
  std::sort(c.positions.begin(), c.positions.end());
  for (const auto p : c.positions) c.claims.push_back(wanted_of(input, p));
  c.memory_claim = declared_host(input.option);
  auto shortfall = check_claims(input, c.positions, c.claims, c.memory_claim, c.layout);
  if (shortfall.outcome.outcome == Outcome::kPass)
    answer.candidates.push_back(std::move(c));
  else
    answer.shortfalls.push_back(std::move(shortfall));
}

/// Those of the group that hold what is wanted of them come first, in the group's order.
Few<std::uint16_t> holding_first(const LayoutInput& input, std::span<const std::uint16_t> group, std::size_t& holding) {
  Few<std::uint16_t> out;
  const auto holds = [&](std::uint16_t p) {
    const Bytes wanted = wanted_of(input, p);
    return wanted.value > 0 && wanted <= input.ledger.devices[p];
  };
  for (const auto p : group)
    if (holds(p)) out.push_back(p);
  holding = out.size();
  for (const auto p : group)
    if (!holds(p)) out.push_back(p);
  return out;
}

void place_in(const LayoutInput& input,
              std::span<const std::uint16_t> group,
              std::uint32_t count,
              LayoutAnswer& answer) {
  std::size_t holding = 0;
  const auto order = holding_first(input, group, holding);
  const std::span<const std::uint16_t> all(order.begin(), order.end());
  if (count != 1 || holding == 0) return try_devices(input, all.first(count), answer);
  if (input.purpose != Purpose::kAll) {
    const std::uint16_t best = best_device(input, all, holding);
    return try_devices(input, std::span(&best, 1), answer);
  }
  for (std::size_t i = 0; i < holding; ++i) try_devices(input, all.subspan(i, 1), answer);
}

bool has_cpu_build(const Engine& engine) {
  return std::any_of(engine.rows.begin(), engine.rows.end(), [](const auto& row) { return row.vendor == "cpu"; });
}

}  // namespace

void layout_declared(const LayoutInput& input, LayoutAnswer& answer) {
  const auto& needs = needs_of(input.option);
  if (needs && needs->devices == 0u)
    return reject(answer,
                  Reason::kLayoutUnsupported,
                  {{"engine", input.option.engine->title}, {"layout", "a program that is declared to need no device"}});
  const std::uint32_t unasked = fixed_device_count(input).value_or(1);
  const std::uint32_t count = needs ? needs->devices.value_or(unasked) : unasked;
  const auto too_few = [&](std::size_t has) {
    reject(answer, Reason::kTooFewDevices, {{"needs", std::to_string(count)}, {"has", std::to_string(has)}});
  };
  if (count > input.usable.size()) return too_few(input.usable.size());
  for (const auto& group : selection_groups(input)) {
    if (count > group.size()) return too_few(group.size());
    place_in(input, group, count, answer);
  }
}

void layout_declared_on_host(const LayoutInput& input, LayoutAnswer& answer) {
  const auto& needs = needs_of(input.option);
  const bool no_device = needs && needs->devices == 0u;
  if (!no_device && !has_cpu_build(*input.option.engine))
    return reject(answer, Reason::kTooFewDevices, {{"needs", "1"}, {"has", "0"}});
  if (!no_device && needs && needs->device_bytes)
    return reject(
        answer, Reason::kTooFewDevices, {{"needs", std::to_string(needs->devices.value_or(1))}, {"has", "0"}});
  Candidate c = make_candidate(input, "declared");
  const auto& facts = input.context.request.facts;
  if (needs && needs->memory_bytes) {
    c.memory_claim = *needs->memory_bytes;
  } else if (facts && facts->weight_bytes) {
    c.memory_claim = Bytes(mul_div_ceil(facts->weight_bytes->value, kHostWeightsPercent, 100)) + kHostRoom;
  } else if (!no_device) {
    answer.shortfalls.push_back(
        {RuleId::kMemory,
         RuleOutcome::unknown(Reason::kFactsMissing,
                              {{"text", "what it takes of the host is not declared in settings.needs.memory_bytes"}}),
         {}});
    return;
  }
  auto shortfall = check_claims(input, {}, {}, c.memory_claim, c.layout);
  if (shortfall.outcome.outcome == Outcome::kPass)
    answer.candidates.push_back(std::move(c));
  else
    answer.shortfalls.push_back(std::move(shortfall));
}

std::vector<fleet::MemoryPart> declared_memory(const Candidate& c) {
  std::vector<fleet::MemoryPart> parts;
  const auto& needs = needs_of(*c.option);
  const auto add = [&](std::string name, std::string device, Bytes bytes, std::string derivation) {
    parts.push_back({.name = std::move(name),
                     .device = std::move(device),
                     .low = bytes,
                     .expected = bytes,
                     .high = bytes,
                     .derivation = std::move(derivation),
                     .worker = ""});
  };
  const bool told = needs && needs->device_bytes;
  for (std::size_t i = 0; i < c.positions.size(); ++i)
    add(told ? "declared" : "whole_device",
        c.entry->worker.devices[c.positions[i]].id,
        c.claims[i],
        told ? "settings.needs.device_bytes"
             : "nothing is declared in settings.needs: the device less what is reserved and what strangers hold");
  if (c.memory_claim.value == 0) return parts;
  if (needs && needs->memory_bytes)
    add("declared", "host", c.memory_claim, "settings.needs.memory_bytes");
  else
    add("weights_and_room",
        "host",
        c.memory_claim,
        fmt::format(
            "nothing is declared in settings.needs: the weights × {}/100 + {}", kHostWeightsPercent, human(kHostRoom)));
  return parts;
}

}  // namespace berth::placement
