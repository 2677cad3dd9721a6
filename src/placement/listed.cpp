// Policies whose candidates are listed: all plans for one replica, on one worker and on several, in one order; replicas
// one after the other, each on what the last one left.
#include <algorithm>

#include "placement/listed_across.h"
#include "placement/search.h"

namespace berth::placement {

/// The list's own order: that of the fleet; for layers, the roomiest workers first.
void Search::number(const std::vector<Ledger>& ledgers, std::vector<Candidate>& list) const {
  struct Place {
    Bytes host;  // where no device is used
    Bytes devices;
    std::uint32_t at = 0;
  };
  std::vector<Place> places(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    places[i].at = static_cast<std::uint32_t>(i);
    if (list[i].total_layers == 0) continue;
    for (std::size_t w = 0; w < workers_.size(); ++w) {
      if (workers_[w]->entry != list[i].entry) continue;
      if (list[i].positions.empty()) places[i].host = ledgers[w].memory;
      for (const auto room : ledgers[w].devices) places[i].devices += room;
    }
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    if (a.host != b.host) return a.host > b.host;
    return a.devices != b.devices ? a.devices > b.devices : a.at < b.at;
  });
  for (std::size_t i = 0; i < places.size(); ++i) list[places[i].at].listed = static_cast<std::uint32_t>(i);
}

std::vector<Candidate> Search::list(const std::vector<Ledger>& ledgers, bool overcommit) {
  std::vector<Candidate> out;
  if (context_.uneven.outcome == Outcome::kReject) return out;
  for (std::size_t w = 0; w < workers_.size(); ++w) {
    const WorkerEval& worker = *workers_[w];
    if (!worker.open) continue;
    for (std::size_t i = 0; i < context_.options.size(); ++i)
      for (std::size_t t = 0; t < worker.cls->types.size(); ++t) {
        const auto& type = worker.cls->types[t];
        const auto& chain = *worker.cls->chains[i][t];
        if (!admits(worker, chain)) continue;
        const auto usable = usable_devices(context_, *worker.entry, ledgers[w], type);
        LayoutInput input{context_, context_.options[i], *worker.entry, ledgers[w], type, chain, usable, order_};
        input.purpose = Purpose::kAll;
        input.overcommit = overcommit;
        for (auto& c : run_layouts(input, i).candidates) {
          order_.fill(context_, ledgers[w], c);
          out.push_back(std::move(c));
        }
      }
  }
  for (auto& c : listed_across(*this, context_, ledgers, overcommit)) out.push_back(std::move(c));
  number(ledgers, out);
  std::sort(out.begin(), out.end(), [&](const auto& a, const auto& b) {
    if (order_.before(a, b)) return true;
    return !order_.before(b, a) && a.listed < b.listed;
  });
  return out;
}

/// What is chosen by hand is taken though it is too small, for one replica.
std::vector<Candidate> Search::list_or_overcommit(const std::vector<Ledger>& ledgers) {
  auto all = list(ledgers, false);
  const bool by_hand = !context_.selected.empty() && context_.request.replicas == 1;
  if (all.empty() && by_hand && context_.policy.overcommit_selection) all = list(ledgers, true);
  return all;
}

std::vector<Candidate> Search::list_first() {
  judge_all();
  std::vector<Ledger> ledgers;
  for (const auto* worker : workers_) ledgers.push_back(worker->ledger);
  return list_or_overcommit(ledgers);
}

Search::Placement Search::place_listed() {
  const std::uint32_t asked = context_.request.replicas;
  std::vector<Ledger> ledgers;
  for (const auto* worker : workers_) ledgers.push_back(worker->ledger);
  const auto deduct_on = [&](const Part& part) {
    for (std::size_t w = 0; w < workers_.size(); ++w)
      if (workers_[w]->entry == part.entry) deduct(ledgers[w], part);
  };
  Placement result;
  while (result.chosen.size() < asked) {
    auto all = list_or_overcommit(ledgers);
    if (all.empty()) break;
    each_part(all.front(), deduct_on);
    result.chosen.push_back(std::move(all.front()));
  }
  return result;
}

}  // namespace berth::placement
