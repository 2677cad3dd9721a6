#include "placement/by_index.h"

#include <algorithm>
#include <utility>

#include "placement/layouts/ranks.h"

namespace berth::placement {

using fleet::DeviceType;
using fleet::Lane;
using Least = KeyOrder::Least;

ByIndex::ByIndex(Search& search, Context& context) : search_(search), context_(context) {
  const auto& r = context.request.restriction;
  possible_ = context.use_index && search.order().bounded() && r.workers.empty() && r.devices.empty() &&
              !context.request.replaces && context.uneven.outcome != Outcome::kReject && context.group_size == 0;
  if (context.carries_files && context.request.facts)
    whole_model_ = context.request.facts->weight_bytes.value_or(Bytes()).value;
}

bool ByIndex::behind(const Lead& a, const Lead& b) const {
  const int order = search_.order().compare(a.least, *a.id, b.least, *b.id);
  if (order != 0) return order > 0;
  if (a.candidate != nullptr && b.candidate != nullptr) return search_.order().before(*b.candidate, *a.candidate);
  return a.candidate != nullptr;
}

void ByIndex::push(Lead lead) {
  heap_.push_back(lead);
  std::push_heap(heap_.begin(), heap_.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
}

std::optional<std::vector<Candidate>> ByIndex::place() {
  if (!possible_) return std::nullopt;
  const std::uint32_t asked = context_.request.replicas;
  const std::size_t looks_max = kLooksAtLeast + kLooksPerReplica * asked;
  while (chosen_.size() < asked) {
    if (heap_.empty()) {
      if (next_option_ > 0 || context_.options.empty()) return std::nullopt;
      open_option();
      continue;
    }
    if (looks_ > looks_max) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), [&](const Lead& a, const Lead& b) { return behind(a, b); });
    Lead lead = heap_.back();
    heap_.pop_back();
    if (lead.candidate != nullptr)
      take(lead);
    else if (lead.entry != nullptr)
      look_at(lead);
    else if (lead.close)
      look_into(lead);
    else if (lead.lane != nullptr)
      look_closer(lead);
    else
      open_option();
  }
  return std::move(chosen_);
}

/// Leads for the lanes of one more engine, and one that stands for what comes after it: the same on CPUs, then the next
/// engine.
void ByIndex::open_option() {
  static const std::string kNone;
  const auto behind_it = [&](const Lead& a, const Lead& b) { return behind(a, b); };
  const std::size_t before = heap_.size();
  const bool cpu = std::exchange(cpus_next_, !cpus_next_);
  if (!cpu) ++next_option_;
  const auto option = static_cast<std::uint32_t>(next_option_ - 1);
  open_lanes(option, cpu);
  Lead next{.id = &kNone, .option = option};
  if (!cpu) {
    auto& estimates = *context_.options[option].estimates;
    const bool parts = context_.options[option].engine->memory == engines::MemoryModel::kParts;
    const std::uint64_t host_layers = parts && estimates.llama() != nullptr ? estimates.llama()->total_layers() : 0;
    search_.order().fill({.engine_order = context_.options[option].order, .host_layers = host_layers}, next.least);
    heap_.push_back(next);
  } else if (next_option_ < context_.options.size()) {
    search_.order().fill({.engine_order = context_.options[next_option_].order}, next.least);
    heap_.push_back(next);
  }
  if (before == 0) return std::make_heap(heap_.begin(), heap_.end(), behind_it);
  for (std::size_t i = before + 1; i <= heap_.size(); ++i)
    std::push_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(i), behind_it);
}

void ByIndex::open_lanes(std::uint32_t option, bool cpu) {
  const Lane* last = nullptr;
  Demand* demand = nullptr;
  context_.snapshot.index().each_lane([&](const Lane& lane) {
    if (!lane.open() || (lane.devices == 0) != cpu) return;
    if (last == nullptr || last->cls != lane.cls || last->type != lane.type)
      demand = &demand_of(option, context_.snapshot.index().worker_class(lane.cls).types[lane.type]);
    last = &lane;
    add_lane(lane, *demand);
  });
}

void ByIndex::add_lane(const Lane& lane, Demand& demand) {
  auto least = least_of(
      demand, std::span(lane.tops).first(std::min<std::size_t>(lane.devices, lane.tops.size())), lane.sum, lane.memory);
  if (!least) return;
  least->simulated = context_.snapshot.index().worker_class(lane.cls).simulated ? 1 : 0;
  least->engine_order = context_.options[demand.option].order;
  least->bytes_to_fetch = lane.files ? 0 : whole_model_;
  least->strategy = search_.order().least_strategy(context_, lane.ours, Bytes());
  least->bytes_left = 0;
  Lead& lead = heap_.emplace_back();
  lead.id = &lane.block->workers.front()->worker.id;
  lead.option = demand.option;
  lead.lane = &lane;
  if (least->devices == 1 && least->host_layers == 0 && context_.strategy == fleet::Strategy::kSpread)
    if (const auto claim = claim_of(demand, 1)) on_one_device(lane, *claim, *least);
  search_.order().fill(*least, lead.least);
}

/// Strategy and bytes left of the device that holds the claim on the worker with fewest of ours.
void ByIndex::on_one_device(const Lane& lane, Bytes claim, Least& least) const {
  const auto& slots = lane.block->slots[lane.type];
  for (auto from = slots.begin(); from != slots.end();) {
    const auto fits = std::partition_point(
        from, slots.end(), [&](const fleet::Slot& s) { return s.ours == from->ours && s.room < claim; });
    if (fits == slots.end()) return;
    if (fits->ours == from->ours) {
      least.strategy = KeyOrder::least_strategy(context_, fits->ours, Bytes());
      least.bytes_left = fits->room.minus_or_zero(claim).value;
      return;
    }
    from = fits;
  }
}

template <class Visit>
void ByIndex::each_worker(const Lead& lead, const StaticChain* chain, Visit&& visit) {
  const Lane& lane = *lead.lane;
  const auto& cls = context_.snapshot.index().worker_class(lane.cls);
  const auto& block = *lane.block;
  Demand& demand = demand_of(lead.option, cls.types[lane.type]);
  for (std::size_t w = 0; w < block.workers.size(); ++w) {
    if (block.shut[w] != 0) continue;
    const auto* entry = block.workers[w];
    const auto rooms = block.rooms_of(lane.type, w);
    Bytes sum;
    for (const auto room : rooms) sum += room;
    auto least = least_of(demand, rooms, sum, entry->memory.allocatable);
    if (!least || touched_.contains(entry)) continue;
    least->engine_order = context_.options[lead.option].order;
    least->simulated = cls.simulated ? 1 : 0;
    least->bytes_to_fetch =
        chain == nullptr ? (lane.files ? 0 : whole_model_) : search_.order().bytes_to_fetch(context_, *entry, *chain);
    least->strategy = search_.order().least_strategy(context_, block.ours[w], sum);
    Lead next{.id = &entry->worker.id, .option = lead.option, .lane = &lane, .entry = entry};
    search_.order().fill(*least, next.least);
    visit(next);
  }
}

/// The bound of the best of its workers.
void ByIndex::look_closer(Lead lead) {
  std::optional<Lead> best;
  each_worker(lead, nullptr, [&](Lead next) {
    if (!best || behind(*best, next)) best = next;
  });
  if (!best) return;
  lead.least = best->least;
  lead.id = best->id;
  lead.close = true;
  push(lead);
}

/// Leads for the workers of a lane, once its chain is known to pass.
void ByIndex::look_into(const Lead& lead) {
  const auto& type = context_.snapshot.index().worker_class(lead.lane->cls).types[lead.lane->type];
  const auto& chain = search_.chain_of(lead.option, *lead.lane->block->workers.front(), type);
  if (!Search::passes(chain)) return;
  each_worker(lead, &chain, [&](Lead next) { push(next); });
}

/// The plan on one worker with one engine and device type, if there is one.
void ByIndex::look_at(const Lead& lead) {
  if (touched_.contains(lead.entry)) return;
  ++looks_;
  const auto& type = context_.snapshot.index().worker_class(lead.lane->cls).types[lead.lane->type];
  auto best = search_.best_with(*lead.entry, lead.option, type);
  if (!best) return;
  const Candidate& kept = found_.emplace_back(*std::move(best));
  Lead next = lead;
  next.least = kept.key;
  next.candidate = &kept;
  push(next);
}

/// The worker's other leads are about a ledger that is no more; it has one for all engines and types from here on.
void ByIndex::take(const Lead& lead) {
  const auto known = touched_.find(lead.entry);
  if (known != touched_.end() && known->second.best != lead.candidate) return;
  chosen_.push_back(*lead.candidate);
  if (chosen_.size() == context_.request.replicas) return;
  const WorkerEval& worker = search_.look_at(*lead.entry);
  Replica& replica = known != touched_.end() ? known->second : touched_[lead.entry];
  if (known == touched_.end()) replica.ledger = worker.ledger;
  deduct(replica.ledger, *lead.candidate);
  ++looks_;
  auto again = search_.best_on(worker, replica.ledger, false);
  replica.best = nullptr;
  if (!again) return;
  const Candidate& kept = found_.emplace_back(*std::move(again));
  replica.best = &kept;
  Lead next{.least = kept.key, .id = &lead.entry->worker.id, .option = lead.option};
  next.lane = lead.lane;
  next.entry = lead.entry;
  next.candidate = &kept;
  push(next);
}

ByIndex::Demand& ByIndex::demand_of(std::uint32_t option, const DeviceType& type) {
  for (auto& known : demands_) {
    const auto& t = *known.type;
    if (known.option == option && t.total == type.total && t.cpu == type.cpu && t.traits == type.traits) return known;
  }
  const bool parts = context_.options[option].engine->memory == engines::MemoryModel::kParts;
  return demands_.emplace_back(parts ? parts_demand(option, type) : share_demand(option, type));
}

ByIndex::Demand ByIndex::parts_demand(std::uint32_t option, const DeviceType& type) {
  Demand demand{.type = &type, .option = option};
  auto& estimates = *context_.options[option].estimates;
  if (estimates.llama() == nullptr) return demand;
  if (type.cpu) {
    demand.host = estimates.on_host().high;
    return demand;
  }
  const auto& whole = estimates.whole(type.traits);
  demand.claims = {{}, {Demand::Way::kClaim, whole.device.high}};
  demand.host = whole.host.high;
  return demand;
}

ByIndex::Demand ByIndex::share_demand(std::uint32_t option, const DeviceType& type) {
  Demand demand{.type = &type, .option = option};
  if (type.cpu) return demand;
  const auto fixed = context_.options[option].sizes.world();
  demand.fewest = fixed.value_or(1);
  demand.claims.resize(fixed.value_or(kRanksMax) + 1);
  return demand;
}

std::optional<Bytes> ByIndex::claim_of(Demand& demand, std::size_t n) {
  auto& known = demand.claims[n];
  if (known.way == Demand::Way::kOpen) {
    known.way = Demand::Way::kNone;
    const Option& option = context_.options[demand.option];
    for (auto& cut : cuts_of(context_, option.sizes, option, static_cast<std::uint32_t>(n))) {
      const auto* rank = cut.undivided ? nullptr : option.estimates->rank(cut.shape, demand.type->traits);
      if (rank == nullptr) continue;
      const Share share = share_of(demand.type->total, rank->device.high, option.settings.utilization);
      if (share.below_need || share.claim > demand.type->total) continue;
      known.bytes = known.way == Demand::Way::kClaim ? std::min(known.bytes, share.claim) : share.claim;
      known.way = Demand::Way::kClaim;
    }
  }
  if (known.way == Demand::Way::kNone) return std::nullopt;
  return known.bytes;
}

std::optional<Least> ByIndex::least_of(Demand& demand, std::span<const Bytes> rooms, Bytes sum, Bytes memory) {
  const auto memory_model = context_.options[demand.option].engine->memory;
  if (memory_model == engines::MemoryModel::kDeclared) return Least{};
  if (memory_model == engines::MemoryModel::kParts) return by_layers(demand, rooms, sum, memory);
  // Ranks lie on the devices with most room.
  const std::size_t most = std::min(demand.claims.size(), rooms.size() + 1);
  for (std::size_t n = demand.fewest; n < most; ++n) {
    const auto claim = claim_of(demand, n);
    if (!claim || *claim > rooms[n - 1]) continue;
    Least least{.devices = n};
    if (n == 1) {
      const auto end = std::partition_point(rooms.begin(), rooms.end(), [&](Bytes room) { return room >= *claim; });
      least.bytes_left = (end - 1)->minus_or_zero(*claim).value;
      return least;
    }
    for (std::size_t i = 0; i < n; ++i) least.bytes_left += rooms[i].minus_or_zero(*claim).value;
    return least;
  }
  // More ranks than an index knows the rooms of.
  if (demand.fewest > fleet::kLaneTops && rooms.size() == fleet::kLaneTops) return Least{.devices = demand.fewest};
  return std::nullopt;
}

std::optional<Least> ByIndex::by_layers(Demand& demand, std::span<const Bytes> rooms, Bytes sum, Bytes memory) const {
  const Option& option = context_.options[demand.option];
  auto& estimates = *option.estimates;
  if (!demand.host) return std::nullopt;
  const std::uint32_t total = estimates.llama()->total_layers();
  const auto fixed = option.sizes.world();
  const std::uint32_t wanted = std::min(option.settings.offload_layers.value_or(total), total);
  const bool hosted = context_.request.settings.cpu_offload;
  if (demand.type->cpu) {
    if (!hosted || fixed || *demand.host > memory) return std::nullopt;
    return Least{.host_layers = total};
  }
  if (wanted == total && fixed.value_or(1) == 1 && !rooms.empty()) {
    const Bytes claim = demand.claims[1].bytes;
    if (claim <= rooms.front() && *demand.host <= memory) {
      const auto end = std::partition_point(rooms.begin(), rooms.end(), [&](Bytes room) { return room >= claim; });
      return Least{.devices = 1, .bytes_left = (end - 1)->minus_or_zero(claim).value};
    }
  }
  if (wanted == total && !demand.type->traits.unified_memory) {
    Bytes room;
    for (std::size_t g = 1; g <= rooms.size(); ++g) {
      room += rooms[g - 1];
      if (g >= fixed.value_or(2) && g >= 2 && estimates.least_on_devices(total) <= room) return Least{.devices = g};
    }
    if (rooms.size() == fleet::kLaneTops && estimates.least_on_devices(total) <= sum)
      return Least{.devices = fleet::kLaneTops};
  }
  if (!hosted) return wanted == total ? std::nullopt : std::optional(Least{.devices = 1});
  // What is not on devices is in RAM.
  if (estimates.least_on_devices(total) > sum + memory) return std::nullopt;
  std::uint32_t on_devices = std::min(wanted, total - 1);
  while (on_devices > 0 && estimates.least_on_devices(on_devices) > sum) --on_devices;
  if (on_devices == 0) return std::nullopt;
  return Least{.host_layers = total - on_devices, .devices = 1};
}

}  // namespace berth::placement
