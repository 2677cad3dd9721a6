#include <algorithm>
#include <fmt/format.h>

#include "placement/layouts/layout.h"
#include "placement/layouts/ranks.h"
#include "placement/ranking.h"

namespace berth::placement {
namespace {

bool mentions(const fleet::Claim& claim, std::string_view device) {
  return std::any_of(claim.devices.begin(), claim.devices.end(), [&](const auto& d) { return d.device == device; });
}

// What the occupant takes of this device: the larger of claim and measured use, as in DeviceCapacity.
Bytes held(const fleet::Occupant& o, std::string_view device) {
  Bytes claim, seen;
  for (const auto& d : o.claim.devices)
    if (d.device == device) claim += d.bytes;
  for (const auto& d : o.observed)
    if (d.device == device) seen += d.bytes;
  return std::max(claim, seen);
}

/// Policy::allocatable "claims": what is reserved and what ours claim, whatever is in use. Devices that share the
/// host's memory share its room as well.
void leave_claims_alone(const Context& context, const WorkerEntry& entry, Ledger& ledger) {
  const auto& worker = entry.worker;
  const auto counts = [&](const fleet::Occupant& o) {
    return o.kind != fleet::OccupantKind::kForeign && o.deployment != context.request.replaces;
  };
  Bytes host = worker.reserved_memory_bytes;
  for (const auto& o : entry.occupants)
    if (counts(o)) host += o.claim.memory_bytes;
  bool shared = false;
  for (std::size_t i = 0; i < worker.devices.size(); ++i) {
    Bytes claimed = worker.reserved_device_memory_bytes;
    for (const auto& o : entry.occupants)
      for (const auto& d : o.claim.devices)
        if (counts(o) && d.device == worker.devices[i].id) claimed += d.bytes;
    ledger.devices[i] = worker.devices[i].memory_total_bytes.minus_or_zero(claimed);
    if (!worker.devices[i].unified_memory) continue;
    host += claimed;
    shared = true;
  }
  ledger.memory = worker.memory_total_bytes.minus_or_zero(host);
  for (std::size_t i = 0; shared && i < worker.devices.size(); ++i)
    if (worker.devices[i].unified_memory) ledger.devices[i] = std::min(ledger.devices[i], ledger.memory);
}

Ledger measured_ledger(const Context& context, const WorkerEntry& entry) {
  Ledger ledger;
  const auto& devices = entry.worker.devices;
  ledger.instances.assign(entry.instances.begin(), entry.instances.end());
  ledger.devices.reserve(devices.size());
  if (!context.request.replaces) {
    for (const auto& o : entry.occupants)
      if (o.kind != fleet::OccupantKind::kForeign)
        ++(o.deployment == context.request.deployment ? ledger.own : ledger.others);
    for (const auto& c : entry.capacity) ledger.devices.push_back(c.allocatable);
    ledger.memory = entry.memory.allocatable;
    return ledger;
  }
  Few<Bytes> back(devices.size());
  Bytes memory_back;
  for (const auto& o : entry.occupants) {
    if (o.kind == fleet::OccupantKind::kForeign) continue;
    const bool replaced = o.deployment == *context.request.replaces;
    if (!replaced) ++(o.deployment == context.request.deployment ? ledger.own : ledger.others);
    if (replaced) memory_back += std::max(o.claim.memory_bytes, o.observed_memory_bytes.value_or(Bytes()));
    for (std::size_t i = 0; replaced && i < devices.size(); ++i) {
      if (mentions(o.claim, devices[i].id)) --ledger.instances[i];
      back[i] += held(o, devices[i].id);
      if (devices[i].unified_memory) memory_back += held(o, devices[i].id);
    }
  }
  for (std::size_t i = 0; i < devices.size(); ++i)
    ledger.devices.push_back(fleet::allocatable(entry.capacity[i], back[i]));
  ledger.memory = fleet::allocatable(entry.memory, memory_back);
  return ledger;
}

}  // namespace

Ledger ledger_of(const Context& context, const WorkerEntry& entry) {
  Ledger ledger = measured_ledger(context, entry);
  if (context.policy.allocatable == "claims") leave_claims_alone(context, entry, ledger);
  return ledger;
}

std::string device_title(const WorkerEntry& entry, std::uint16_t position) {
  return fmt::format("{} of {}", entry.worker.devices[position].id, entry.worker.name);
}

Shortfall check_claims(const LayoutInput& input,
                       std::span<const std::uint16_t> positions,
                       std::span<const Bytes> claims,
                       Bytes memory_claim,
                       std::string_view layout) {
  Shortfall worst;
  Bytes pool = memory_claim;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const Bytes have = input.ledger.devices[positions[i]];
    if (input.entry.worker.devices[positions[i]].unified_memory) pool += claims[i];
    const Bytes missing = claims[i].minus_or_zero(have);
    if (missing <= worst.missing) continue;
    worst = {RuleId::kMemory,
             RuleOutcome::reject(Reason::kFreeMemory).with(claims[i], have),
             missing,
             layout,
             positions[i],
             {}};
  }
  if (worst.missing.value > 0) return worst;
  if (pool <= input.ledger.memory) return worst;
  const bool shared = pool != memory_claim;
  return {RuleId::kRam,
          RuleOutcome::reject(shared ? Reason::kPoolShort : Reason::kRamShort).with(pool, input.ledger.memory),
          pool.minus_or_zero(input.ledger.memory),
          layout,
          {},
          {}};
}

RuleOutcome worded(Shortfall shortfall, const WorkerEntry& entry) {
  auto& args = shortfall.outcome.args;
  if (!shortfall.layout.empty()) {
    args.emplace_back("layout", std::string(shortfall.layout));
    args.emplace_back("where", shortfall.position ? device_title(entry, *shortfall.position) : "the host");
  }
  if (shortfall.expected) args.emplace_back("expected", human(*shortfall.expected));
  return std::move(shortfall.outcome);
}

Candidate make_candidate(const LayoutInput& input, std::string_view layout) {
  Candidate c;
  c.option = &input.option;
  c.entry = &input.entry;
  c.type = &input.type;
  c.chain = &input.chain;
  c.layout = layout;
  c.uncertain = input.uncertain;
  return c;
}

Candidate& add_candidate(const LayoutInput& input, std::string_view layout, LayoutAnswer& answer) {
  Candidate& c = answer.candidates.emplace_back();
  c.option = &input.option;
  c.entry = &input.entry;
  c.type = &input.type;
  c.chain = &input.chain;
  c.layout = layout;
  c.uncertain = input.uncertain;
  return c;
}

std::uint16_t best_device(const LayoutInput& input, std::span<const std::uint16_t> group, std::size_t count) {
  std::uint16_t best = group.front();
  for (const auto position : group.first(count).subspan(1))
    if (input.order.device_before(input.context, input.entry, input.ledger, position, best)) best = position;
  return best;
}

std::optional<std::uint32_t> fixed_device_count(const LayoutInput& input) { return input.option.sizes.world(); }

std::optional<Shortfall> refused_sizes(const LayoutInput& input) {
  const auto& r = input.context.request.restriction;
  const Sizes& sizes = input.option.sizes;
  const std::string& engine = input.option.engine->title;
  const auto whole = [](RuleOutcome outcome) {
    return Shortfall{RuleId::kLayout, std::move(outcome), Bytes(Bytes::kMax)};
  };
  const auto unsupported = [&](std::uint32_t count, std::string_view what) {
    return whole(RuleOutcome::reject(Reason::kLayoutUnsupported,
                                     {{"engine", engine}, {"layout", fmt::format("{} {}", count, what)}}));
  };
  const std::uint32_t tp = sizes.tensor.value_or(1), pp = sizes.pipeline.value_or(1), dp = sizes.data.value_or(1);
  if (tp > 1 && !input.option.ranks) return unsupported(tp, "tensor-parallel ranks");
  if (pp > 1 && !input.option.pipeline) return unsupported(pp, "pipeline stages");
  if (dp > 1 && !input.option.data) return unsupported(dp, "data-parallel copies");
  if (sizes.shared_context > 1)
    return whole(RuleOutcome::unknown(
        Reason::kLayoutNotJudged,
        {{"engine", engine}, {"layout", fmt::format("{} ranks for each prompt's context", sizes.shared_context)}}));
  if (!input.option.ranks || !sizes.ranks) return std::nullopt;
  // Sizes that are left open take what the others leave; a single stage is what nobody asks for by its name.
  const std::uint32_t given = tp * pp * dp;
  const bool open = !sizes.tensor || (!sizes.pipeline && input.option.pipeline);
  if (*sizes.ranks == given || (open && *sizes.ranks % given == 0)) return std::nullopt;
  if (input.context.group_size > 0)
    return whole(RuleOutcome::reject(
        Reason::kUnevenSelection,
        {{"devices", std::to_string(r.devices.size())},
         {"replicas", std::to_string(input.context.request.replicas)},
         {"ranks", std::to_string(given)},
         {"each", std::to_string(*sizes.ranks)},
         {"hint", fmt::format("the parallel sizes make {} ranks a replica: select as many devices for each", given)}}));
  return whole(RuleOutcome::reject(Reason::kWorldMismatch,
                                   {{"ranks", std::to_string(given)}, {"each", std::to_string(*sizes.ranks)}}));
}

SelectionGroups selection_groups(const LayoutInput& input) {
  const std::uint32_t size = input.context.group_size;
  SelectionGroups out;
  if (size == 0) {
    out.group_ = input.usable;
    out.there_ = true;
    return out;
  }
  // Disjoint groups by island, then id; the n-th replica on this worker takes the n-th group.
  const std::size_t from = std::size_t(input.ledger.replicas) * size;
  // A remainder may lie on several workers, by consent.
  const bool whole = input.usable.size() % size == 0 || input.context.request.restriction.across_workers;
  if (!whole || from + size > input.usable.size()) return out;
  out.owned_.assign(input.usable.begin(), input.usable.end());
  const auto& devices = input.entry.worker.devices;
  std::sort(out.owned_.begin(), out.owned_.end(), [&](std::uint16_t a, std::uint16_t b) {
    return std::tie(devices[a].island, devices[a].id) < std::tie(devices[b].island, devices[b].id);
  });
  out.group_ = std::span(out.owned_).subspan(from, size);
  out.there_ = true;
  return out;
}

}  // namespace berth::placement
