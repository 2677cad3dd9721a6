// What plans take at least: of a device, by engine and kind of device, and of a worker with given rooms.
#include <algorithm>

#include "placement/by_index.h"
#include "placement/layouts/ranks.h"

namespace berth::placement {

using fleet::DeviceType;
using Least = KeyOrder::Least;

/// Types that are alike as far as it changes bytes share one.
ByIndex::Demand& ByIndex::demand_of(const Lead& lead) {
  const auto& index = context_.snapshot.index();
  if (demand_by_type_.empty()) demand_by_type_.resize(index.type_count() * context_.options.size());
  const std::size_t number = index.worker_class(lead.cls).first_type + lead.type;
  auto& slot = demand_by_type_[lead.option * index.type_count() + number];
  if (slot != nullptr) return *slot;
  const DeviceType& type = type_of(lead);
  const auto same = std::find_if(demands_.begin(), demands_.end(), [&](const Demand& known) {
    const auto& t = *known.type;
    return known.option == lead.option && t.total == type.total && t.cpu == type.cpu && t.traits == type.traits;
  });
  if (same != demands_.end()) return *(slot = &*same);
  const bool parts = context_.options[lead.option].engine->memory == engines::MemoryModel::kParts;
  slot = &demands_.emplace_back(parts ? parts_demand(lead.option, type) : share_demand(lead.option, type));
  return *slot;
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
