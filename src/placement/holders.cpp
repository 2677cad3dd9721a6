#include <algorithm>
#include <set>

#include "base/assert.h"
#include "placement/detail/solve.h"
#include "placement/rules/chain.h"

namespace berth::placement::detail {
namespace {

using fleet::Holder;

struct Named {
  Holder holder;
  bool stopping = false;
};

Holder to_holder(const fleet::Occupant& o, const fleet::Worker& worker) {
  return {o.id, o.deployment, o.priority, worker.name, o.claim.devices};
}

std::vector<Named> releasable(const FleetSnapshot& snapshot,
                              const Request& request,
                              const Policy& policy,
                              const EngineCatalog& catalog) {
  Context context = make_context(snapshot, request, policy, catalog);
  std::vector<Named> all;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    if (!gate(context, entry).open()) return;
    for (const auto& o : entry.occupants) {
      const bool ours = o.kind == fleet::OccupantKind::kInstance;
      const bool replaced = request.replaces && o.deployment == *request.replaces;
      if (ours && !replaced) all.push_back({to_holder(o, entry.worker), o.stopping});
    }
  });
  std::sort(all.begin(), all.end(), [](const Named& a, const Named& b) {
    if (a.stopping != b.stopping) return a.stopping;
    if (a.holder.priority != b.holder.priority) return a.holder.priority < b.holder.priority;
    return a.holder.instance < b.holder.instance;
  });
  return all;
}

void give_back(fleet::Worker& worker, const fleet::Occupant& o) {
  Bytes memory = o.observed_memory_bytes.value_or(o.running ? o.claim.memory_bytes : Bytes());
  for (auto& device : worker.devices) {
    Bytes seen, claim;
    for (const auto& d : o.observed)
      if (d.device == device.id) seen += d.bytes;
    for (const auto& d : o.claim.devices)
      if (d.device == device.id) claim += d.bytes;
    const Bytes held = o.observed.empty() && o.running ? claim : seen;
    device.memory_used_bytes = device.memory_used_bytes.minus_or_zero(held);
    if (device.unified_memory) memory += held;
  }
  worker.memory_used_bytes = worker.memory_used_bytes.minus_or_zero(memory);
}

}  // namespace

FleetSnapshot release(const FleetSnapshot& snapshot, const std::vector<Holder>& holders) {
  std::set<std::string> gone;
  for (const auto& h : holders) gone.insert(h.instance);
  FleetSnapshot out = snapshot;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    const auto leaves = [&](const fleet::Occupant& o) { return gone.contains(o.id); };
    if (std::none_of(entry.occupants.begin(), entry.occupants.end(), leaves)) return;
    fleet::Worker worker = entry.worker;
    std::vector<fleet::Occupant> stay;
    for (const auto& o : entry.occupants) {
      if (leaves(o))
        give_back(worker, o);
      else
        stay.push_back(o);
    }
    auto rebuilt = fleet::make_entry(std::move(worker), std::move(stay));
    ASSERT(rebuilt.has_value());
    out = out.with(std::move(*rebuilt));
  });
  return out;
}

std::vector<Holder> find_holders(const FleetSnapshot& snapshot,
                                 const Request& request,
                                 const Policy& policy,
                                 const EngineCatalog& catalog) {
  const auto all = releasable(snapshot, request, policy, catalog);
  if (all.empty()) return {};
  std::uint32_t calls = 0;
  const auto fits_without = [&](const std::vector<Holder>& set) {
    ++calls;
    return solve(release(snapshot, set), request, policy, catalog, Depth::kPlans).verdict == fleet::Verdict::kFits;
  };
  std::vector<Holder> prefix;
  for (const auto& n : all) prefix.push_back(n.holder);
  if (!fits_without(prefix)) return {};
  for (std::size_t i = 0; i < std::min(all.size(), kHolderSinglesMax); ++i)
    if (fits_without({all[i].holder})) return {all[i].holder};
  // Releasing more never hurts, so the shortest sufficient prefix of the order is found by halving.
  std::size_t low = 2, high = prefix.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    const std::vector<Holder> part(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(middle));
    if (fits_without(part))
      high = middle;
    else
      low = middle + 1;
  }
  prefix.resize(high);
  for (std::size_t i = prefix.size(); i-- > 0 && calls < kHolderCallsMax;) {
    std::vector<Holder> without = prefix;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
    if (fits_without(without)) prefix = std::move(without);
  }
  return prefix;
}

}  // namespace berth::placement::detail
