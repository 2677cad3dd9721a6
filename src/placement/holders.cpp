#include <algorithm>
#include <set>

#include "base/assert.h"
#include "placement/detail/solve.h"
#include "placement/search.h"

namespace berth::placement::detail {
namespace {

using fleet::Holder;

Holder to_holder(const fleet::Occupant& o, const fleet::Worker& worker) {
  return {o.id, o.deployment, o.priority, worker.name, o.claim.devices};
}

/// Ours on this worker, in the order in which they would go.
std::vector<const fleet::Occupant*> releasable(const fleet::WorkerEntry& entry, const Request& request) {
  std::vector<const fleet::Occupant*> all;
  for (const auto& o : entry.occupants) {
    const bool replaced = request.replaces && o.deployment == *request.replaces;
    if (o.kind == fleet::OccupantKind::kInstance && !replaced) all.push_back(&o);
  }
  std::sort(all.begin(), all.end(), [](const fleet::Occupant* a, const fleet::Occupant* b) {
    if (a->stopping != b->stopping) return a->stopping;
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->id < b->id;
  });
  return all;
}

Bytes larger_of(const std::vector<fleet::DeviceClaim>& claims,
                const std::vector<fleet::DeviceClaim>& seen,
                std::string_view id) {
  Bytes claim, observed;
  for (const auto& d : claims)
    if (d.device == id) claim += d.bytes;
  for (const auto& d : seen)
    if (d.device == id) observed += d.bytes;
  return std::max(claim, observed);
}

/// What one occupant gives back to a ledger when it goes.
struct Release {
  const fleet::Occupant* occupant = nullptr;
  std::vector<std::pair<std::size_t, Bytes>> devices;  // position, bytes
  Bytes memory;

  void into(Ledger& ledger) const {
    for (const auto& [at, bytes] : devices) ledger.devices[at] += bytes;
    ledger.memory += memory;
  }
};

/// An overcommitted device is left alone: what it owes is not known here.
Release release_of(const fleet::WorkerEntry& entry, const fleet::Occupant& o) {
  Release out{&o, {}, std::max(o.claim.memory_bytes, o.observed_memory_bytes.value_or(Bytes()))};
  for (const auto& claim : o.claim.devices) {
    const auto at = fleet::device_position(entry, claim.device);
    if (at == std::string::npos) continue;
    const Bytes held = larger_of(o.claim.devices, o.observed, claim.device);
    if (entry.worker.devices[at].unified_memory) out.memory += held;
    if (!entry.capacity[at].overcommitted) out.devices.emplace_back(at, held);
  }
  if (entry.memory.overcommitted) out.memory = Bytes();
  return out;
}

using Occupants = std::vector<const fleet::Occupant*>;

/// The occupants of one worker that would have to go for one replica; empty when that does not help.
Occupants holders_on(Search& search, const WorkerEval& worker, const Request& request) {
  std::vector<Release> order;
  for (const auto* o : releasable(*worker.entry, request)) order.push_back(release_of(*worker.entry, *o));
  const auto fits_without = [&](auto&& goes) {
    Ledger ledger = worker.ledger;
    for (std::size_t i = 0; i < order.size(); ++i)
      if (goes(i)) order[i].into(ledger);
    return search.fits_on(worker, ledger);
  };
  if (order.empty() || !fits_without([](std::size_t) { return true; })) return {};
  for (std::size_t one = 0; one < order.size(); ++one)
    if (fits_without([&](std::size_t i) { return i == one; })) return {order[one].occupant};
  for (std::size_t i = order.size(); i-- > 0;) {
    if (fits_without([&](std::size_t k) { return k != i; }))
      order.erase(order.begin() + static_cast<std::ptrdiff_t>(i));
  }
  Occupants out;
  for (const auto& r : order) out.push_back(r.occupant);
  return out;
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

std::vector<Holder> find_holders(Search& search, const Context& context, const Rules& rules, std::uint32_t missing) {
  const Request& request = context.request;
  struct Offer {
    const fleet::WorkerEntry* entry;
    std::vector<const fleet::Occupant*> holders;
    std::int64_t priorities = 0;
  };
  std::vector<Offer> offers;
  for (const auto& worker : search.workers()) {
    if (!worker.open) continue;
    Offer offer{worker.entry, holders_on(search, worker, request), 0};
    if (offer.holders.empty()) continue;
    for (const auto* o : offer.holders) offer.priorities += o->priority;
    offers.push_back(std::move(offer));
  }
  std::sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
    if (a.holders.size() != b.holders.size()) return a.holders.size() < b.holders.size();
    if (a.priorities != b.priorities) return a.priorities < b.priorities;
    return a.entry->worker.id < b.entry->worker.id;
  });
  // One worker for each missing replica at least; more only when one release did not make room for one each.
  std::vector<Holder> taken;
  std::size_t next = 0;
  for (std::uint32_t round = 0; round < kHolderRoundsMax; ++round) {
    const std::size_t upto = std::min(offers.size(), std::size_t(missing) + next);
    for (; next < upto; ++next)
      for (const auto* o : offers[next].holders) taken.push_back(to_holder(*o, offers[next].entry->worker));
    if (taken.empty()) return {};
    const FleetSnapshot after = release(context.snapshot, taken);
    Context then = make_context(after, request, rules.policy, rules.catalog);
    Search again(then, &search);
    if (solve(then, again, rules, Depth::kPlans).verdict == fleet::Verdict::kFits) return taken;
    if (next >= offers.size()) return {};
  }
  return {};
}

}  // namespace berth::placement::detail
