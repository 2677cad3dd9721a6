#include "placement/across.h"

#include <algorithm>
#include <fmt/format.h>

#include "placement/detail/across_parts.h"

namespace berth::placement {
namespace {

bool same_kind(const fleet::Device& a, const fleet::Device& b) {
  return a.vendor == b.vendor && a.framework == b.framework && a.name == b.name &&
         a.memory_total_bytes == b.memory_total_bytes && a.compute_capability == b.compute_capability &&
         a.unified_memory == b.unified_memory && a.partition == b.partition;
}

std::string shape_text(const Shape& shape) {
  std::string text = fmt::format("tensor parallel {}", shape.tensor);
  if (shape.pipeline > 1) text += fmt::format(" × {} stages", shape.pipeline);
  if (shape.data > 1) text += fmt::format(" × {} copies", shape.data);
  return text;
}

/// How many of the usable devices hold the claim.
std::uint32_t holding(const Few<std::uint16_t>& usable, const Ledger& ledger, Bytes claim) {
  const auto end =
      std::partition_point(usable.begin(), usable.end(), [&](std::uint16_t p) { return ledger.devices[p] >= claim; });
  return static_cast<std::uint32_t>(end - usable.begin());
}

/// How many there are of each size, so that the largest few can be summed without sorting again.
class Largest {
 public:
  void add(std::uint32_t size) {
    if (size >= counts_.size()) counts_.resize(size + 1);
    ++counts_[size];
  }
  void remove(std::uint32_t size) { --counts_[size]; }
  [[nodiscard]] std::uint64_t sum(std::uint32_t count) const {
    std::uint64_t total = 0;
    for (std::size_t g = counts_.size(); g > 0 && count > 0; --g) {
      const std::uint32_t take = std::min(count, counts_[g - 1]);
      total += std::uint64_t(take) * (g - 1);
      count -= take;
    }
    return total;
  }

 private:
  std::vector<std::uint32_t> counts_;
};

}  // namespace

Across::Across(Search& search, Context& context) : search_(search), context_(context) {
  if (!context.request.restriction.across_workers || !context.policy.over_workers) return;
  if (context.uneven.outcome == Outcome::kReject) return;
  for (const auto& option : context.options) possible_ = possible_ || option.over_workers != OverWorkers::kNo;
}

namespace {

/// Where every selected device belongs to one replica, those that have one are no longer to be had.
void drop_taken(Few<std::uint16_t>& usable, const Ledger& before, const Ledger& now) {
  const auto taken = [&](std::uint16_t p) { return now.instances[p] > before.instances[p]; };
  usable.erase(std::remove_if(usable.begin(), usable.end(), taken), usable.end());
}

}  // namespace

namespace {

/// What keeps this version of the engine from lying on several workers.
const engines::VersionLimit* over_workers_limit(const Engine& engine, const std::string& version) {
  if (engine.limits.empty()) return nullptr;
  const auto* limit = engines::limit_of(engine, version, "over_workers");
  return limit != nullptr ? limit : engines::limit_of(engine, version, "over_workers_evenly");
}

}  // namespace

std::vector<Across::Kind> Across::kinds_of(std::size_t option, const Ledgers& ledgers) const {
  std::vector<Kind> kinds;
  const auto& workers = search_.workers();
  for (std::size_t w = 0; w < workers.size(); ++w) {
    const WorkerEval& worker = *workers[w];
    if (!worker.open) continue;
    for (std::size_t t = 0; t < worker.cls->types.size(); ++t) {
      const auto& type = worker.cls->types[t];
      const auto& chain = *worker.cls->chains[option][t];
      if (type.cpu || !search_.admits(worker, chain)) continue;
      if (over_workers_limit(*context_.options[option].engine, chain.known_as) != nullptr) continue;
      Offer offer{w, &type, &chain, usable_devices(context_, *worker.entry, ledgers[w], type), 0};
      if (context_.group_size > 0) drop_taken(offer.usable, worker.ledger, ledgers[w]);
      if (offer.usable.empty()) continue;
      const auto& device = worker.entry->worker.devices[offer.usable.front()];
      auto at = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) {
        return k.version == chain.version && same_kind(*k.device, device);
      });
      if (at == kinds.end()) at = kinds.insert(kinds.end(), Kind{&device, chain.version, {}, 0});
      at->devices += offer.usable.size();
      at->offers.push_back(std::move(offer));
    }
  }
  return kinds;
}

std::optional<Across::Need> Across::need_of(const Option& option,
                                            const Kind& kind,
                                            const Shape& shape,
                                            bool uncertain) {
  Need need{shape, option.estimates->rank(shape, kind.offers.front().type->traits), {}, uncertain};
  if (need.rank == nullptr) {
    // No fact could help where the weights alone are too much.
    const auto& facts = context_.request.facts;
    const std::uint64_t weights = facts ? facts->weight_bytes.value_or(Bytes()).value : 0;
    const std::uint64_t cuts = std::uint64_t(shape.tensor) * shape.pipeline;
    unknown_ = unknown_ || Bytes(weights / cuts) <= kind.device->memory_total_bytes;
    return std::nullopt;
  }
  const Bytes bytes = uncertain ? need.rank->device.expected : need.rank->device.high;
  need.share = share_of(kind.device->memory_total_bytes, bytes, option.settings.utilization);
  if (need.share.below_need || need.share.claim > kind.device->memory_total_bytes) return std::nullopt;
  return need;
}

Part Across::part_of(const Offer& offer, const Need& need, std::uint32_t ranks) const {
  Part part;
  part.entry = search_.workers()[offer.worker]->entry;
  part.type = offer.type;
  part.chain = offer.chain;
  part.positions.assign(offer.usable.begin(), offer.usable.begin() + ranks);
  std::sort(part.positions.begin(), part.positions.end());
  part.claims.assign(ranks, need.claim_on(device_of(offer)));
  part.memory_claim = need.host(ranks);
  return part;
}

Candidate Across::candidate(const Option& option, const Need& need, std::string_view layout) const {
  Candidate c;
  c.option = &option;
  c.layout = layout;
  c.shape = need.shape;
  c.utilization = need.share.utilization;
  c.uncertain = need.uncertain;
  return c;
}

void Across::add_part(Candidate& c, Part part) const {
  if (c.entry == nullptr)
    static_cast<Part&>(c) = std::move(part);
  else
    c.more.push_back(std::move(part));
}

std::size_t Across::place_of(const Part& part) const {
  const auto& workers = search_.workers();
  const auto at = std::lower_bound(workers.begin(), workers.end(), part.entry, [](const auto* w, const auto* entry) {
    return w->entry->worker.id < entry->worker.id;
  });
  return static_cast<std::size_t>(at - workers.begin());
}

void Across::fill_key(Candidate& c, const Ledgers& ledgers) const {
  std::vector<KeyOrder::Rated> rated = {{&c, &ledgers[place_of(c)]}};
  for (const auto& part : c.more) rated.push_back({&part, &ledgers[place_of(part)]});
  search_.order().fill(context_, rated, c);
}

void Across::take_off(Ledgers& ledgers, const Candidate& c) const {
  deduct(ledgers[place_of(c)], c);
  for (const auto& part : c.more) deduct(ledgers[place_of(part)], part);
}

const fleet::Device& Across::device_of(const Offer& offer) const {
  return search_.workers()[offer.worker]->entry->worker.devices[offer.usable.front()];
}

std::uint32_t Across::groups_on(const Offer& offer, const Need& need, const Ledger& ledger) const {
  const std::uint32_t holds = holding(offer.usable, ledger, need.claim_on(device_of(offer)));
  std::uint32_t fit = std::min(holds / need.shape.tensor, need.groups());
  while (fit > 0 && need.host(fit * need.shape.tensor) > ledger.memory) --fit;
  return fit;
}

std::vector<Across::Offer> Across::offers_for(const Option&,
                                              const Kind& kind,
                                              const Need& need,
                                              const Ledgers& ledgers) const {
  std::vector<Offer> offers;
  for (const auto& known : kind.offers) {
    const std::uint32_t fit = groups_on(known, need, ledgers[known.worker]);
    if (fit == 0) continue;
    offers.push_back(known);
    offers.back().groups = fit;
  }
  return offers;
}

/// Whole groups on each worker. Fewest workers by counting; among workers that may be taken, the order of the plan key
/// over one group each.
std::optional<Candidate> Across::fewest_workers(const Option& option,
                                                const Kind& kind,
                                                const Need& need,
                                                const Ledgers& ledgers) {
  const std::uint32_t tensor = need.shape.tensor, groups = need.groups();
  const bool evenly = option.over_workers == OverWorkers::kEvenly;
  auto offers = offers_for(option, kind, need, ledgers);
  Largest largest;
  for (const auto& offer : offers) largest.add(offer.groups);
  const auto enough = [&](std::uint32_t workers) {
    if (!evenly) return largest.sum(workers) >= groups;
    const auto able = [&](const Offer& o) { return o.groups >= groups / workers; };
    return groups % workers == 0 && std::count_if(offers.begin(), offers.end(), able) >= workers;
  };
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(offers.size(), groups));
  std::uint32_t workers = 2;
  while (workers <= most && !enough(workers)) ++workers;
  if (workers > most) {
    note_short(option, kind, need, largest.sum(static_cast<std::uint32_t>(offers.size())));
    return std::nullopt;
  }
  std::vector<std::pair<Candidate, std::size_t>> order;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    auto& [probe, at] = order.emplace_back(candidate(option, need, "over_workers"), i);
    add_part(probe, part_of(offers[i], need, tensor));
    search_.order().fill(context_, ledgers[offers[i].worker], probe);
  }
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return search_.order().before(a.first, b.first);
  });
  Candidate c = candidate(option, need, "over_workers");
  std::uint32_t left = groups, open = workers;
  for (const auto& [probe, at] : order) {
    if (open == 0) break;
    const Offer& offer = offers[at];
    largest.remove(offer.groups);
    if (evenly ? offer.groups < groups / workers : offer.groups + largest.sum(open - 1) < left) continue;
    const std::uint32_t take = evenly ? groups / workers : std::min(offer.groups, left - (open - 1));
    add_part(c, part_of(offer, need, take * tensor));
    left -= take;
    --open;
  }
  if (left > 0) return std::nullopt;
  fill_key(c, ledgers);
  return c;
}

/// One tensor-parallel group over as few workers as have it, the same number of ranks on each.
std::optional<Candidate> Across::one_group(const Option& option,
                                           const Kind& kind,
                                           const Need& need,
                                           const Ledgers& ledgers) {
  for (std::uint32_t workers = 2; workers <= need.shape.tensor; ++workers) {
    if (need.shape.tensor % workers != 0) continue;
    const std::uint32_t each = need.shape.tensor / workers;
    Candidate c = candidate(option, need, "tensor_over_workers");
    c.groups_across = 1;
    std::uint32_t found = 0;
    for (const auto& offer : kind.offers) {
      const Ledger& ledger = ledgers[offer.worker];
      if (found == workers) break;
      if (holding(offer.usable, ledger, need.share.claim) < each || need.host(each) > ledger.memory) continue;
      add_part(c, part_of(offer, need, each));
      ++found;
    }
    if (found < workers) continue;
    fill_key(c, ledgers);
    return c;
  }
  return std::nullopt;
}

std::optional<Candidate> Across::best(const Ledgers& ledgers, bool uncertain, Mixed mixed) {
  std::optional<Candidate> best;
  each_need(ledgers, uncertain, mixed, [&](const Option& option, const Kind& kind, const Need& need) {
    auto c = need.groups() > 1 ? fewest_workers(option, kind, need, ledgers) : one_group(option, kind, need, ledgers);
    if (c && (!best || search_.order().before(*c, *best))) best = std::move(c);
  });
  return best;
}

std::vector<Candidate> Across::place(Ledgers& ledgers, std::uint32_t wanted, bool uncertain) {
  std::vector<Candidate> chosen;
  if (!possible_) return chosen;
  short_.clear();
  const Ledgers before = ledgers;
  while (chosen.size() < wanted) {
    auto c = best(ledgers, uncertain, Mixed::kNo);
    if (!c) c = best(ledgers, uncertain, Mixed::kYes);
    if (!c) break;
    take_off(ledgers, *c);
    chosen.push_back(*std::move(c));
  }
  if (chosen.empty() || chosen.size() == wanted) return chosen;
  auto found = Exhaust(*this, wanted, uncertain).run(before);
  if (found.size() <= chosen.size()) return chosen;
  ledgers = before;
  for (const auto& c : found) take_off(ledgers, c);
  limited_ = limited_ && found.size() < wanted;
  return found;
}

void Across::note_short(const Option& option, const Kind& kind, const Need& need, std::uint64_t has) {
  const double ratio = static_cast<double>(has) / need.groups();
  const Short fresh{&option, ratio, need.shape, need.share.claim, kind.device->name, has};
  for (auto& known : short_) {
    if (known.option != &option) continue;
    if (ratio > known.ratio) known = fresh;
    return;
  }
  short_.push_back(fresh);
}

std::vector<RuleOutcome> Across::shortfalls() const {
  std::vector<RuleOutcome> out;
  for (const auto& s : short_)
    out.push_back(RuleOutcome::reject(Reason::kOverWorkersShort,
                                      {{"engine", s.option->engine->title},
                                       {"engine_id", s.option->engine->id},
                                       {"groups", std::to_string(s.shape.pipeline * s.shape.data)},
                                       {"tp", std::to_string(s.shape.tensor)},
                                       {"device", s.device},
                                       {"claim", human(s.claim)},
                                       {"shape", shape_text(s.shape)},
                                       {"has", std::to_string(s.has)}}));
  for (std::size_t i = 0; possible_ && i < context_.options.size(); ++i)
    if (auto why = limited_version(i)) out.push_back(*std::move(why));
  return out;
}

/// Said of the first worker whose version it is; nothing for an engine without limits.
std::optional<RuleOutcome> Across::limited_version(std::size_t option) const {
  const Engine& engine = *context_.options[option].engine;
  if (engine.limits.empty()) return std::nullopt;
  for (const auto* worker : search_.workers()) {
    if (!worker->open) continue;
    for (std::size_t t = 0; t < worker->cls->types.size(); ++t) {
      const auto& chain = *worker->cls->chains[option][t];
      if (worker->cls->types[t].cpu || !search_.admits(*worker, chain)) continue;
      if (const auto* limit = over_workers_limit(engine, chain.known_as))
        return RuleOutcome::reject(Reason::kLayoutUnsupported,
                                   {{"engine", engine.title + " " + chain.version},
                                    {"engine_id", engine.id},
                                    {"layout", "one replica over several workers (" + limit->why + ")"}});
    }
  }
  return std::nullopt;
}

}  // namespace berth::placement
