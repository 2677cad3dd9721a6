#include "placement/listed_across.h"

#include <algorithm>
#include <map>

#include "placement/layouts/listed.h"
#include "placement/listed_remote.h"

namespace berth::placement {
namespace {

using estimate::PublishedForm;

/// Devices of one framework on one worker that have the share free.
struct ShareOffer {
  std::size_t worker = 0;
  const DeviceType* type = nullptr;
  const StaticChain* chain = nullptr;
  std::vector<std::uint16_t> free;  // roomiest first
  std::size_t devices = 0;          // all that the worker has of it
  Bytes roomiest;
};

class ListedRanks {
 public:
  ListedRanks(
      const Search& search, Context& context, const std::vector<Ledger>& ledgers, std::size_t option, bool overcommit)
      : search_(search),
        context_(context),
        ledgers_(ledgers),
        option_(context.options[option]),
        at_(option),
        overcommit_(overcommit),
        asked_(ranks_asked(context, option_)) {}

  std::vector<Candidate> run() {
    std::vector<Candidate> out;
    std::map<std::string, std::vector<ShareOffer>> by_framework;
    gather(by_framework);
    for (auto& [framework, offers] : by_framework) {
      if (offers.size() < 2) continue;
      auto found = context_.selected.empty() ? whole_workers(offers) : selected(offers);
      if (found) out.push_back(*std::move(found));
    }
    return out;
  }

 private:
  void gather(std::map<std::string, std::vector<ShareOffer>>& by_framework) const {
    const auto& workers = search_.workers();
    for (std::size_t w = 0; w < workers.size(); ++w) {
      if (!workers[w]->open) continue;
      std::map<std::string, ShareOffer> offers;
      for (std::size_t t = 0; t < workers[w]->cls->types.size(); ++t) {
        const auto& type = workers[w]->cls->types[t];
        const auto& chain = *workers[w]->cls->chains[at_][t];
        if (type.cpu || !search_.admits(*workers[w], chain)) continue;
        const auto [at, first] = offers.try_emplace(type.traits.framework, ShareOffer{w, &type, &chain, {}, 0, {}});
        add_type(w, type, at->second);
      }
      for (auto& [framework, offer] : offers) {
        std::sort(offer.free.begin(), offer.free.end(), [&](std::uint16_t a, std::uint16_t b) {
          const Bytes x = ledgers_[w].devices[a], y = ledgers_[w].devices[b];
          return x != y ? x > y : a < b;
        });
        if (!offer.free.empty()) by_framework[framework].push_back(std::move(offer));
      }
    }
  }

  void add_type(std::size_t worker, const DeviceType& type, ShareOffer& offer) const {
    const auto& entry = *search_.workers()[worker]->entry;
    const auto& ledger = ledgers_[worker];
    const auto usable = usable_devices(context_, entry, ledger, type);
    offer.devices += usable.size();
    for (const auto p : usable) {
      const auto& device = entry.worker.devices[p];
      offer.roomiest = std::max(offer.roomiest, ledger.devices[p]);
      const double share = share_on(option_, device.framework);
      if (overcommit_ || share_is_free(ledger.devices[p], device.memory_total_bytes, share)) offer.free.push_back(p);
    }
  }

  [[nodiscard]] Bytes claim_on(const ShareOffer& offer, std::uint16_t position) const {
    const auto& device = search_.workers()[offer.worker]->entry->worker.devices[position];
    const double share = share_on(option_, device.framework);
    return share > 0 ? estimate::share_bytes(device.memory_total_bytes, share)
                     : ledgers_[offer.worker].devices[position];
  }

  /// A replica that grows by some devices of one worker after the other.
  struct Grown {
    Candidate c;
    Bytes sum;
    std::uint32_t ranks = 0;
    bool any = false;
  };

  [[nodiscard]] Part part_on(const ShareOffer& offer, std::size_t count) const {
    Part part;
    part.entry = search_.workers()[offer.worker]->entry;
    part.type = offer.type;
    part.chain = offer.chain;
    part.positions.assign(offer.free.begin(), offer.free.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(part.positions.begin(), part.positions.end());
    for (const auto p : part.positions) part.claims.push_back(claim_on(offer, p));
    part.memory_claim = need_of(option_).host_bytes + host_ratio(need_of(option_), part.claims);
    return part;
  }

  /// False when the host of the worker is too small for its part.
  bool add(Grown& grown, const ShareOffer& offer, std::size_t count) const {
    Part part = part_on(offer, count);
    Bytes host = part.memory_claim;
    for (const auto bytes : part.claims) host += offer.type->traits.unified_memory ? bytes : Bytes();
    if (!overcommit_ && host > ledgers_[offer.worker].memory) return false;
    for (const auto bytes : part.claims) grown.sum += bytes;
    grown.ranks += static_cast<std::uint32_t>(count);
    if (!grown.any) {
      grown.c.option = &option_;
      grown.c.layout = "over_workers";
      grown.c.utilization = share_on(option_, offer.type->traits.framework);
      static_cast<Part&>(grown.c) = std::move(part);
    } else {
      grown.c.more.push_back(std::move(part));
    }
    return grown.any = true;
  }

  std::optional<Candidate> finished(Grown grown, bool holds) const {
    if (grown.c.more.empty()) return std::nullopt;
    if (uncut(context_, option_, grown.ranks)) return std::nullopt;
    const auto& sizes = option_.sizes;
    const std::uint32_t pipeline = sizes.pipeline.value_or(1), data = sizes.data.value_or(1);
    grown.c.shape = {sizes.tensor.value_or(std::max(1U, grown.ranks / (pipeline * data))), pipeline, data};
    grown.c.overcommit = !holds;
    return std::move(grown.c);
  }

  /// Workers of which `each` devices are taken; whole: all that they have.
  std::optional<Candidate> accumulate(const std::vector<const ShareOffer*>& offers, std::size_t each) const {
    const auto& need = need_of(option_);
    const double share = share_on(option_, offers.front()->type->traits.framework);
    Grown grown;
    for (const auto* offer : offers) {
      if (!add(grown, *offer, each)) continue;
      const bool holds = grown.sum >= need.device_bytes;
      if (asked_) {
        if (grown.ranks < *asked_) continue;
        return grown.ranks == *asked_ && holds ? finished(std::move(grown), true) : std::nullopt;
      }
      // Where parts of workers will do, more workers are added while what is left beside the share would be missed.
      const bool enough = need.part_of_worker ? estimate::share_bytes(grown.sum, share) >= need.device_bytes : holds;
      if (!enough) continue;
      if (auto c = finished(grown, true)) return c;
    }
    if (asked_ || grown.sum < need.device_bytes) return std::nullopt;
    return finished(std::move(grown), true);
  }

  std::optional<Candidate> whole_workers(const std::vector<ShareOffer>& offers) const {
    std::map<std::size_t, std::vector<const ShareOffer*>, std::greater<>> by_size;
    for (const auto& offer : offers) by_size[offer.devices];
    for (auto& [size, members] : by_size) {
      for (const auto& offer : offers)
        if (offer.devices == size && offer.free.size() == size) members.push_back(&offer);
      if (need_of(option_).part_of_worker) {
        const auto roomier = [](const ShareOffer* a, const ShareOffer* b) {
          return a->roomiest != b->roomiest ? a->roomiest > b->roomiest : a->worker < b->worker;
        };
        std::sort(members.begin(), members.end(), roomier);
        const auto own = static_cast<std::ptrdiff_t>(members.size());
        for (const auto& offer : offers)
          if (offer.devices != size && offer.free.size() >= size) members.push_back(&offer);
        std::sort(members.begin() + own, members.end(), roomier);
      }
      if (members.size() < 2) continue;
      if (auto found = accumulate(members, size)) return found;
    }
    return std::nullopt;
  }

  std::optional<Candidate> selected(std::vector<ShareOffer>& offers) const {
    std::sort(offers.begin(), offers.end(), [](const ShareOffer& a, const ShareOffer& b) {
      return a.free.size() != b.free.size() ? a.free.size() > b.free.size() : a.worker < b.worker;
    });
    std::size_t all = 0;
    for (const auto& offer : offers) all += offer.free.size();
    const std::size_t wanted = asked_.value_or(static_cast<std::uint32_t>(all));
    if (all < wanted) return std::nullopt;
    Grown grown;
    for (const auto& offer : offers) {
      if (grown.ranks >= wanted) break;
      add(grown, offer, std::min(offer.free.size(), wanted - grown.ranks));
    }
    const bool holds = grown.sum >= need_of(option_).device_bytes;
    if (grown.ranks < wanted || (!holds && !overcommit_)) return std::nullopt;
    return finished(std::move(grown), holds && !overcommit_);
  }

  const Search& search_;
  Context& context_;
  const std::vector<Ledger>& ledgers_;
  const Option& option_;
  std::size_t at_;
  bool overcommit_;
  std::optional<std::uint32_t> asked_;
};

}  // namespace

std::vector<Candidate> listed_across(const Search& search,
                                     Context& context,
                                     const std::vector<Ledger>& ledgers,
                                     bool overcommit) {
  std::vector<Candidate> out;
  if (!context.request.restriction.across_workers || !context.policy.over_workers) return out;
  for (std::size_t i = 0; i < context.options.size(); ++i) {
    const Option& option = context.options[i];
    if (!option.published) continue;
    std::vector<Candidate> found;
    if (need_of(option).form == PublishedForm::kShare && option.over_workers != OverWorkers::kNo)
      found = ListedRanks(search, context, ledgers, i, overcommit).run();
    if (need_of(option).form == PublishedForm::kLayers && !overcommit)
      found = listed_remote(search, context, ledgers, i);
    for (auto& c : found) out.push_back(std::move(c));
  }
  for (auto& c : out) {
    std::vector<KeyOrder::Rated> rated;
    const auto rate = [&](const Part& part) {
      for (std::size_t w = 0; w < search.workers().size(); ++w)
        if (search.workers()[w]->entry == part.entry) rated.push_back({&part, &ledgers[w]});
    };
    each_part(c, rate);
    // The base is a part of the candidate itself.
    rated.front().part = &c;
    search.order().fill(context, rated, c);
  }
  return out;
}

}  // namespace berth::placement
