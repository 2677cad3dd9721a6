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

bool may_go(const fleet::Occupant& o, const Request& request) {
  return o.kind == fleet::OccupantKind::kInstance && !(request.replaces && o.deployment == *request.replaces);
}

/// Ours on this worker, in the order in which they would go.
std::vector<const fleet::Occupant*> releasable(const fleet::WorkerEntry& entry, const Request& request) {
  std::vector<const fleet::Occupant*> all;
  for (const auto& o : entry.occupants)
    if (may_go(o, request)) all.push_back(&o);
  std::sort(all.begin(), all.end(), [](const fleet::Occupant* a, const fleet::Occupant* b) {
    if (a->stopping != b->stopping) return a->stopping;
    if (a->priority != b->priority) return a->priority < b->priority;
    return a->id < b->id;
  });
  return all;
}

/// What one occupant gives back to a ledger when it goes. An overcommitted device is left alone: what it owes is not
/// known here.
struct Release {
  const fleet::WorkerEntry* entry = nullptr;
  const fleet::Occupant* occupant = nullptr;
  std::span<const fleet::Holding> held;
  Bytes memory;

  void into(Ledger& ledger) const {
    for (const auto& h : held)
      if (!entry->capacity[h.device].overcommitted) ledger.devices[h.device] += h.bytes;
    ledger.memory += memory;
  }
};

Release release_of(const fleet::WorkerEntry& entry, const fleet::Occupant& o) {
  const auto n = static_cast<std::uint32_t>(&o - entry.occupants.data());
  const auto first =
      std::partition_point(entry.held.begin(), entry.held.end(), [&](const auto& h) { return h.occupant < n; });
  const auto last = std::partition_point(first, entry.held.end(), [&](const auto& h) { return h.occupant == n; });
  Release out{&entry, &o, {first, last}, std::max(o.claim.memory_bytes, o.observed_memory_bytes.value_or(Bytes()))};
  for (const auto& h : out.held)
    if (entry.worker.devices[h.device].unified_memory) out.memory += h.bytes;
  if (entry.memory.overcommitted) out.memory = Bytes();
  return out;
}

using Occupants = std::vector<const fleet::Occupant*>;

struct Offer {
  const WorkerEval* worker;
  Occupants holders;
  std::int64_t priorities = 0;
};

/// Fewest first, then lowest priorities, then worker id.
bool before(const Offer& a, const Offer& b) {
  if (a.holders.size() != b.holders.size()) return a.holders.size() < b.holders.size();
  if (a.priorities != b.priorities) return a.priorities < b.priorities;
  return a.worker->entry->worker.id < b.worker->entry->worker.id;
}

/// What could be given back on one worker, and whether a replica fits then. More given back never fits worse.
class Givers {
 public:
  Givers(Search& search, const WorkerEval& worker, const Request& request) : search_(&search), worker_(&worker) {
    for (const auto* o : releasable(*worker.entry, request)) order_.push_back(release_of(*worker.entry, *o));
    const std::size_t all = order_.size();
    if (all == 0 || !fits_without([](std::size_t) { return true; })) return;
    std::size_t low = 1, high = all;
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (fits_without([&](std::size_t i) { return i < middle; }))
        high = middle;
      else
        low = middle + 1;
    }
    first_ = low;
  }

  [[nodiscard]] const WorkerEval& worker() const { return *worker_; }
  /// False when all of them are not enough.
  [[nodiscard]] bool enough() const { return first_ > 0; }
  /// The first one that is enough by itself. Those before the last of the first that are enough together are not.
  const fleet::Occupant* alone() {
    for (std::size_t one = first_ - 1; one < order_.size(); ++one)
      if (fits_without([&](std::size_t i) { return i == one; })) return order_[one].occupant;
    return nullptr;
  }
  /// The first that are enough together, less those that may stay, tried from the last.
  Occupants several() {
    order_.resize(first_);
    for (std::size_t i = first_ - 1; i-- > 0;)
      if (fits_without([&](std::size_t k) { return k != i; }))
        order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(i));
    Occupants out;
    for (const auto& r : order_) out.push_back(r.occupant);
    return out;
  }

 private:
  template <class Goes>
  bool fits_without(Goes&& goes) {
    Ledger ledger = worker_->ledger;
    for (std::size_t i = 0; i < order_.size(); ++i)
      if (goes(i)) order_[i].into(ledger);
    return search_->fits_on(*worker_, ledger);
  }

  Search* search_;
  const WorkerEval* worker_;
  std::vector<Release> order_;
  std::size_t first_ = 0;  // so many of order_ are enough together, one less is not
};

/// Workers with something of ours, the lowest priority on it first, then by id.
std::vector<std::pair<std::int32_t, const WorkerEval*>> askable(const Search& search, const Request& request) {
  std::vector<std::pair<std::int32_t, const WorkerEval*>> out;
  for (const auto* worker : search.workers()) {
    if (!worker->open) continue;
    std::optional<std::int32_t> least;
    for (const auto& o : worker->entry->occupants)
      if (may_go(o, request)) least = std::min(least.value_or(o.priority), o.priority);
    if (least) out.emplace_back(*least, worker);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->entry->worker.id < b.second->entry->worker.id;
  });
  return out;
}

/// The best `wanted` offers, best first. One occupant comes before several, so that workers are first asked for one,
/// and no longer than the rest could still be better.
std::vector<Offer> best_offers(Search& search, const Request& request, std::size_t wanted) {
  std::vector<Offer> offers;
  std::vector<Givers> others;
  const auto better_than_last = [&](std::int32_t priority, const WorkerEval& worker) {
    const auto& last = offers.back();
    return priority != last.priorities ? priority < last.priorities
                                       : worker.entry->worker.id < last.worker->entry->worker.id;
  };
  for (const auto& [priority, worker] : askable(search, request)) {
    if (offers.size() == wanted && !better_than_last(priority, *worker)) return offers;
    Givers givers(search, *worker, request);
    if (!givers.enough()) continue;
    const auto* one = givers.alone();
    if (one == nullptr) {
      others.push_back(std::move(givers));
      continue;
    }
    Offer offer{worker, {one}, one->priority};
    offers.insert(std::upper_bound(offers.begin(), offers.end(), offer, before), std::move(offer));
    if (offers.size() > wanted) offers.pop_back();
  }
  if (offers.size() == wanted) return offers;
  for (auto& givers : others) {
    Offer offer{&givers.worker(), givers.several(), 0};
    for (const auto* o : offer.holders) offer.priorities += o->priority;
    offers.push_back(std::move(offer));
  }
  std::sort(offers.begin(), offers.end(), before);
  return offers;
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
  const auto offers = best_offers(search, request, std::size_t(missing) * kHolderRoundsMax);
  // One worker for each missing replica at least; more only when one release did not make room for one each.
  std::vector<Holder> taken;
  std::size_t next = 0;
  for (std::uint32_t round = 0; round < kHolderRoundsMax; ++round) {
    const std::size_t upto = std::min(offers.size(), std::size_t(missing) + next);
    for (; next < upto; ++next)
      for (const auto* o : offers[next].holders) taken.push_back(to_holder(*o, offers[next].worker->entry->worker));
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
