// Step 4 of the search: place replica by replica.
#include "placement/search.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include "placement/across.h"
#include "placement/by_index.h"

namespace berth::placement {
namespace {

std::vector<std::uint64_t> memo_key(const Ledger& ledger) {
  std::vector<std::uint64_t> key;
  key.reserve(ledger.devices.size() + 2);
  for (const auto& d : ledger.devices) key.push_back(d.value);
  key.push_back(ledger.memory.value);
  key.push_back(ledger.replicas);
  return key;
}

}  // namespace

void deduct(Ledger& ledger, const Part& c) {
  Bytes pool = c.memory_claim;
  for (std::size_t i = 0; i < c.positions.size(); ++i) {
    auto& device = ledger.devices[c.positions[i]];
    device = device.minus_or_zero(c.claims[i]);
    ++ledger.instances[c.positions[i]];
    if (c.entry->worker.devices[c.positions[i]].unified_memory) pool += c.claims[i];
  }
  ledger.memory = ledger.memory.minus_or_zero(pool);
  ++ledger.replicas;
}

/// How many replicas this worker still takes, up to `enough`: a greedy walk first, the exact search only when that
/// falls short.
std::uint32_t Search::count_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain, std::uint32_t enough) {
  Ledger rest = ledger;
  std::uint32_t found = 0;
  while (found < enough) {
    const auto best = best_on(worker, rest, uncertain);
    if (!best) break;
    deduct(rest, *best);
    ++found;
  }
  if (found == 0 || found >= enough) return found;
  std::map<std::vector<std::uint64_t>, std::uint32_t> memo;
  return std::max(found, count_exact(worker, ledger, uncertain, enough, memo));
}

std::uint32_t Search::count_exact(const WorkerEval& worker,
                                  const Ledger& ledger,
                                  bool uncertain,
                                  std::uint32_t enough,
                                  std::map<std::vector<std::uint64_t>, std::uint32_t>& memo) {
  if (enough == 0) return 0;
  if (++steps_ > context_.policy.search_steps_max) {
    limit_ = true;
    return 0;
  }
  const auto key = memo_key(ledger);
  if (const auto at = memo.find(key); at != memo.end()) return std::min(at->second, enough);
  std::vector<Candidate> all;
  all_on(worker, ledger, uncertain, all);
  std::uint32_t best = 0;
  for (const auto& c : all) {
    Ledger rest = ledger;
    deduct(rest, c);
    best = std::max(best, 1 + count_exact(worker, rest, uncertain, enough - 1, memo));
    if (best == enough || limit_) break;
  }
  if (!limit_ && best < enough) memo.emplace(key, best);
  return best;
}

/// The judgements were made on the untouched ledger: no need to look again.
const Candidate* Search::judged_best(const WorkerEval& worker) const {
  const Candidate* best = nullptr;
  if (!worker.open) return nullptr;
  for (const auto* j : worker.judgements)
    if (j->fits && j->best && (best == nullptr || order_.before(*j->best, *best))) best = &*j->best;
  return best;
}

std::vector<std::uint32_t> Search::counts(const std::vector<Ledger>& ledgers, std::uint32_t wanted, bool uncertain) {
  std::vector<std::uint32_t> out(workers_.size());
  std::uint32_t sum = 0;
  for (std::size_t w = 0; w < workers_.size() && sum < wanted; ++w) {
    if (!workers_[w]->open) continue;
    out[w] = count_on(*workers_[w], ledgers[w], uncertain, wanted - sum);
    sum += out[w];
  }
  return out;
}

/// The best plan on this worker that leaves room for `left` more, `others` of them elsewhere; `taken` when none does.
Search::Step Search::careful_step(
    const WorkerEval& worker, const Ledger& ledger, bool uncertain, Step taken, std::uint64_t others) {
  const std::uint32_t left = taken.left, before = taken.room;
  taken.room = count_on(worker, taken.rest, uncertain, left);
  if (others + taken.room >= left || taken.room + 1 >= before) return taken;
  std::vector<Candidate> all;
  all_on(worker, ledger, uncertain, all);
  std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return order_.before(a, b); });
  for (auto& other : all) {
    Ledger rest = ledger;
    deduct(rest, other);
    const auto room = count_on(worker, rest, uncertain, left);
    if (others + room >= left) return {std::move(other), std::move(rest), left, room};
  }
  return taken;
}

std::vector<Candidate> Search::walk(std::vector<Ledger>& ledgers, std::uint32_t wanted, bool uncertain, bool careful) {
  std::deque<Candidate> fresh;  // plans on ledgers that were not judged
  const auto look_again = [&](std::size_t w) -> const Candidate* {
    auto best = best_on(*workers_[w], ledgers[w], uncertain);
    return best ? &fresh.emplace_back(*std::move(best)) : nullptr;
  };
  std::vector<const Candidate*> best(workers_.size());
  std::vector<std::uint32_t> room(workers_.size());
  std::vector<std::size_t> heap;  // workers with a plan, the best on top
  const auto behind = [&](std::size_t a, std::size_t b) {
    if (order_.before(*best[b], *best[a])) return true;
    return !order_.before(*best[a], *best[b]) && b < a;
  };
  for (std::size_t w = 0; w < workers_.size(); ++w) {
    const bool judged = !uncertain && workers_[w]->ledger.replicas == ledgers[w].replicas;
    best[w] = judged ? judged_best(*workers_[w]) : look_again(w);
    if (best[w] == nullptr) continue;
    heap.push_back(w);
    if (careful) room[w] = count_on(*workers_[w], ledgers[w], uncertain, wanted);
  }
  if (wanted > 1) std::make_heap(heap.begin(), heap.end(), behind);
  std::vector<Candidate> chosen;
  while (chosen.size() < wanted && !heap.empty()) {
    if (wanted > 1)
      std::pop_heap(heap.begin(), heap.end(), behind);
    else
      std::swap(*std::max_element(heap.begin(), heap.end(), behind), heap.back());
    const std::size_t pick = heap.back();
    heap.pop_back();
    Step step{*best[pick], ledgers[pick], static_cast<std::uint32_t>(wanted - chosen.size() - 1), room[pick]};
    deduct(step.rest, step.taken);
    if (careful) {
      const std::uint64_t others = std::accumulate(room.begin(), room.end(), std::uint64_t(0)) - room[pick];
      step = careful_step(*workers_[pick], ledgers[pick], uncertain, std::move(step), others);
      room[pick] = step.room;
    }
    ledgers[pick] = std::move(step.rest);
    chosen.push_back(std::move(step.taken));
    if (chosen.size() == wanted) break;
    best[pick] = look_again(pick);
    if (best[pick] == nullptr) continue;
    heap.push_back(pick);
    std::push_heap(heap.begin(), heap.end(), behind);
  }
  return chosen;
}

Search::Placement Search::place() {
  if (context_.listed) {
    judge_all();
    return place_listed();
  }
  if (auto chosen = ByIndex(*this, context_).place()) return {.chosen = *std::move(chosen)};
  judge_all();
  return place_among_all();
}

Search::Placement Search::place_among_all() {
  const std::uint32_t asked = context_.request.replicas;
  std::vector<Ledger> ledgers;
  ledgers.reserve(workers_.size());
  for (const auto* worker : workers_) ledgers.push_back(worker->ledger);

  Placement result;
  const auto round = [&](bool uncertain) {
    const auto wanted = static_cast<std::uint32_t>(asked - result.chosen.size());
    const auto before = wanted > 1 ? ledgers : std::vector<Ledger>();
    auto found = walk(ledgers, wanted, uncertain, false);
    if (found.size() < wanted && wanted > 1 && !found.empty()) {
      const auto room = counts(before, wanted, uncertain);
      const auto most = std::accumulate(room.begin(), room.end(), std::uint64_t(0));
      if (most > found.size()) {
        ledgers = before;
        found = walk(ledgers, static_cast<std::uint32_t>(std::min<std::uint64_t>(most, wanted)), uncertain, true);
      }
    }
    for (auto& c : found) result.chosen.push_back(std::move(c));
  };
  Across across(*this, context_);
  const auto all_rounds = [&](bool uncertain) {
    round(uncertain);
    if (result.chosen.size() == asked) return;
    const auto missing = static_cast<std::uint32_t>(asked - result.chosen.size());
    for (auto& c : across.place(ledgers, missing, uncertain)) result.chosen.push_back(std::move(c));
  };
  all_rounds(false);
  if (result.chosen.size() < asked) result.over_workers = across.shortfalls();
  if (result.chosen.size() < asked && context_.accepts(Reason::kMemoryUncertain)) {
    const std::size_t before = result.chosen.size();
    all_rounds(true);
    if (result.chosen.size() > before) context_.used_accept.emplace(reason_name(Reason::kMemoryUncertain));
  }
  if (result.chosen.size() == asked) result.over_workers.clear();
  result.unknown = across.unknown();
  limit_ = limit_ || across.limited();
  // Under `use: all` the selection stands or falls as a whole.
  if (context_.group_size > 0 && result.chosen.size() < asked) result.chosen.clear();
  result.search_limit = limit_ && result.chosen.size() < asked;
  result.steps = steps_;
  return result;
}

}  // namespace berth::placement
