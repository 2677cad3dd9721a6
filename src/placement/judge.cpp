// Steps 1–3 of the search: gate, class, layouts.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "placement/search.h"

namespace berth::placement {
namespace {

RuleOutcome disk_rule(const Context& context, const WorkerEntry& entry, const StaticChain& chain) {
  const auto& worker = entry.worker;
  if (!worker.disk_free_bytes) return RuleOutcome::source_lacks();
  const auto& off = context.policy.rules_off;
  if (std::find(off.begin(), off.end(), rule_name(RuleId::kDisk)) != off.end()) return RuleOutcome::pass();
  Bytes need = chain.install_bytes;
  const bool present = std::binary_search(worker.model_files.begin(), worker.model_files.end(), context.model_file);
  const bool local = context.request.source.kind == "local";
  if (!present && !local && context.request.facts) need += context.request.facts->weight_bytes.value_or(Bytes());
  if (need <= *worker.disk_free_bytes) return RuleOutcome::pass();
  return RuleOutcome::reject(Reason::kDiskShort).with(need, *worker.disk_free_bytes);
}

bool chain_unknown(const StaticChain& chain) {
  return std::any_of(chain.outcomes.begin(), chain.outcomes.end(), [](const RuleOutcome& o) {
    return o.outcome == Outcome::kUnknown;
  });
}

/// Nearer than any shortfall of one worker, so that it is the one that counts.
Shortfall across_workers_shortfall(const Option& option) {
  return {RuleId::kLayout,
          RuleOutcome::unknown(Reason::kLayoutNotJudged,
                               {{"engine", option.engine->title}, {"layout", "one replica over several workers"}}),
          Bytes()};
}

// Where the judgement stands in the chain: what gets farther is shown.
std::uint64_t progress(const Judgement& j) {
  if (j.fits) return 100;
  if (j.unknown) return 99;
  if (j.chain->blocked) return j.chain->rejected_at;
  for (const auto& [rule, outcome] : {std::pair(RuleId::kDisk, &j.disk),
                                      std::pair(RuleId::kRam, &j.ram),
                                      std::pair(RuleId::kMemory, &j.memory),
                                      std::pair(RuleId::kLayout, &j.layout)})
    if (outcome->outcome == Outcome::kReject) return index(rule);
  return 0;
}

void set_shortfall(Judgement& j, Shortfall nearest, const WorkerEntry& entry) {
  RuleOutcome* slots[] = {&j.layout, &j.memory, &j.ram, &j.disk};
  bool hidden = false;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto rule = static_cast<RuleId>(index(RuleId::kLayout) + i);
    if (hidden && nearest.outcome.outcome == Outcome::kReject) *slots[i] = RuleOutcome::not_evaluated(nearest.rule);
    if (rule != nearest.rule) continue;
    *slots[i] = worded(nearest, entry);
    hidden = true;
  }
}

void hide_below(Judgement& j) {
  const auto at = static_cast<RuleId>(j.chain->rejected_at);
  for (auto* slot : {&j.layout, &j.memory, &j.ram, &j.disk}) *slot = RuleOutcome::not_evaluated(at);
}

}  // namespace

Few<std::uint16_t> usable_devices(const Context& context,
                                  const WorkerEntry& entry,
                                  const Ledger& ledger,
                                  const DeviceType& type) {
  const auto* chosen = selected_on(context, entry.worker);
  Few<std::uint16_t> usable;
  for (const auto p : type.positions) {
    const auto& id = entry.worker.devices[p].id;
    // A worker that is not selected at all is judged on all its devices: its line says what it would be worth.
    if (chosen != nullptr && std::find(chosen->begin(), chosen->end(), id) == chosen->end()) continue;
    // Few, and often in order already: inserted where they belong.
    const Bytes room = ledger.devices[p];
    std::size_t at = usable.size();
    usable.push_back(p);
    for (; at > 0 && ledger.devices[usable[at - 1]] < room; --at) usable[at] = usable[at - 1];
    usable[at] = p;
  }
  return usable;
}

Judgement::Judgement() = default;

Search::Search(Context& context, const Search* before) : context_(context), before_(before), order_(context.policy) {
  chains_.resize(context.options.size());
  for (const auto& option : context.options) {
    const auto& known = option.engine->layouts;
    auto& rows = layouts_.emplace_back();
    for (const auto& row : layout_table(context.policy))
      rows.push_back(context.listed || std::find(known.begin(), known.end(), row.name) != known.end());
  }
}

void Search::fill(WorkerEval& worker, const WorkerEntry& entry) {
  worker.entry = &entry;
  worker.gate = gate(context_, entry);
  worker.open = worker.gate.open();
  worker.ledger = ledger_of(context_, entry);
}

void Search::judge_all() {
  if (std::exchange(all_judged_, true)) return;
  const std::size_t size = context_.snapshot.size();
  workers_.reserve(size);
  judged_.reserve(size);  // never grows beyond that: workers_ points into it
  context_.snapshot.for_each([&](const WorkerEntry& entry) {
    const std::size_t at = workers_.size();
    if (before_ != nullptr && at < before_->workers_.size() && before_->workers_[at]->entry == &entry) {
      workers_.push_back(before_->workers_[at]);
    } else {
      WorkerEval& worker = judged_.emplace_back();
      fill(worker, entry);
      worker.cls = &class_of(entry);
      workers_.push_back(&worker);
    }
    if (workers_.back()->open) ++open_workers_;
  });
  const std::size_t options = context_.options.size();
  judgements_.reserve(judged_.size() * options);  // never grows beyond that: told_ points into it
  told_.resize(judged_.size() * options);
  for (std::size_t w = 0; w < judged_.size(); ++w) {
    judged_[w].judgements = std::span(told_).subspan(w * options, options);
    for (std::size_t i = 0; i < options; ++i) {
      const auto* shut = judged_[w].cls->shut[i].get();
      if (shut == nullptr) judge(judged_[w], i, judgements_.emplace_back());
      judged_[w].judgements[i] = shut != nullptr ? shut : &judgements_.back();
    }
  }
}

const WorkerEval& Search::look_at(const WorkerEntry& entry) {
  WorkerEval& worker = looked_at_.emplace_back();
  fill(worker, entry);
  worker.cls = &class_of(entry);
  return worker;
}

const StaticChain& Search::chain_of(std::size_t option, const WorkerEntry& entry, const DeviceType& type) {
  const auto [at, fresh] = chains_[option].try_emplace(type.kind);
  if (fresh) at->second = best_version(context_, context_.options[option], entry, type);
  return at->second;
}

bool Search::passes(const StaticChain& chain) { return !chain.blocked && !chain_unknown(chain); }

std::optional<Candidate> Search::best_with(const WorkerEntry& entry, std::size_t option, const DeviceType& type) {
  if (!gate(context_, entry).open()) return std::nullopt;
  const auto& chain = chain_of(option, entry, type);
  if (!passes(chain) || disk_rule(context_, entry, chain).outcome == Outcome::kReject) return std::nullopt;
  const Ledger ledger = ledger_of(context_, entry);
  const auto usable = usable_devices(context_, entry, ledger, type);
  const LayoutInput input{
      context_, context_.options[option], entry, ledger, type, chain, usable, order_, false, Purpose::kBest};
  auto* best = first_of(run_layouts(input, option).candidates, ledger);
  if (best == nullptr) return std::nullopt;
  return std::move(*best);
}

LayoutAnswer& Search::run_layouts(const LayoutInput& input, std::size_t option) {
  answer_.candidates.clear();
  answer_.shortfalls.clear();
  if (!input.type.cpu && !context_.listed) {
    if (auto refused = refused_sizes(input)) {
      answer_.shortfalls.push_back(*std::move(refused));
      return answer_;
    }
  }
  const auto table = layout_table(context_.policy);
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].needs_devices == input.type.cpu || !layouts_[option][i]) continue;
    if (table[i].needs_devices && input.usable.empty()) continue;
    table[i].strategy(input, answer_);
    if (answer_.candidates.empty() || input.purpose == Purpose::kAll) continue;
    if (input.purpose == Purpose::kAny) break;
    if (table[i].all_on_one_device && order_.one_device_wins()) break;
  }
  return answer_;
}

const ClassEval& Search::class_of(const WorkerEntry& entry) {
  const auto [slot, unseen] = classes_.try_emplace(entry.types_key);
  ClassEval& cls = slot->second;
  if (!unseen) return cls;
  cls.types = device_types(entry.worker);
  cls.chains.resize(context_.options.size());
  for (const auto& type : cls.types) {
    for (std::size_t i = 0; i < context_.options.size(); ++i) cls.chains[i].push_back(&chain_of(i, entry, type));
  }
  judge_class(cls);
  return cls;
}

/// The options of which no type passes the chain; the type that gets farthest is told.
void Search::judge_class(ClassEval& cls) const {
  cls.shut.resize(cls.chains.size());
  for (std::size_t i = 0; i < cls.chains.size(); ++i) {
    const auto& chains = cls.chains[i];
    if (!std::all_of(chains.begin(), chains.end(), [](const auto* chain) { return chain->blocked; })) continue;
    const auto farthest = std::max_element(
        chains.begin(), chains.end(), [](const auto* a, const auto* b) { return a->rejected_at < b->rejected_at; });
    auto& shut = *(cls.shut[i] = std::make_unique<Judgement>());
    shut.type = &cls.types[static_cast<std::size_t>(farthest - chains.begin())];
    shut.chain = *farthest;
    hide_below(shut);
  }
}

void Search::judge_type(const WorkerEval& worker, std::size_t option, std::size_t at, Judgement& j) {
  const auto& type = worker.cls->types[at];
  const auto& chain = *worker.cls->chains[option][at];
  j.type = &type;
  j.chain = &chain;
  if (chain.blocked) return hide_below(j);
  const auto& ledger = worker.ledger;
  const auto usable = usable_devices(context_, *worker.entry, ledger, type);
  const LayoutInput input{context_, context_.options[option], *worker.entry, ledger, type, chain, usable, order_};
  const bool uneven = context_.uneven.outcome == Outcome::kReject;
  LayoutAnswer none;
  if (uneven) none.shortfalls.push_back({RuleId::kLayout, context_.uneven, Bytes(Bytes::kMax)});
  LayoutAnswer& answer = uneven ? none : run_layouts(input, option);
  j.disk = disk_rule(context_, *worker.entry, chain);
  if (auto* best = first_of(answer.candidates, ledger)) j.best = std::move(*best);
  if (!j.best && answer.shortfalls.empty())
    answer.shortfalls.push_back({RuleId::kLayout,
                                 type.cpu ? RuleOutcome::reject(Reason::kDeviceSelected)
                                          : RuleOutcome::reject(Reason::kTooFewDevices, {{"needs", "1"}, {"has", "0"}}),
                                 Bytes(Bytes::kMax)});
  // With consent to several workers, what one of them cannot hold is no answer.
  const bool layers = !context_.listed && context_.options[option].engine->memory == engines::MemoryModel::kParts;
  if (!j.best && layers && context_.request.restriction.across_workers && worker.open && open_workers_ > 1)
    answer.shortfalls.push_back(across_workers_shortfall(context_.options[option]));
  if (!j.best) {
    auto nearest = std::min_element(answer.shortfalls.begin(),
                                    answer.shortfalls.end(),
                                    [](const auto& a, const auto& b) { return a.missing < b.missing; });
    set_shortfall(j, std::move(*nearest), *worker.entry);
  }
  const bool untold = j.memory.outcome == Outcome::kUnknown || j.layout.outcome == Outcome::kUnknown;
  const bool rejected = (!j.best && !untold) || j.disk.outcome == Outcome::kReject;
  j.unknown = !rejected && (chain_unknown(chain) || untold);
  j.fits = !rejected && !j.unknown;
}

/// Whether what this type comes to is known to be no better, without a look at it.
bool Search::cannot_pass(const Judgement& best, const DeviceType& type, const StaticChain& chain) const {
  if (chain.blocked) return chain.rejected_at <= progress(best);
  const bool on_devices = best.fits && best.best && best.best->total_layers > 0 && best.best->offload_layers > 0;
  return type.cpu && on_devices && order_.one_device_wins();
}

void Search::judge(const WorkerEval& worker, std::size_t option, Judgement& best) {
  for (std::size_t t = 0; t < worker.cls->types.size(); ++t) {
    if (t == 0) {
      judge_type(worker, option, t, best);
      continue;
    }
    if (cannot_pass(best, worker.cls->types[t], *worker.cls->chains[option][t])) continue;
    Judgement j;
    judge_type(worker, option, t, j);
    const bool both = j.fits && best.fits && j.best && best.best;
    const bool better = progress(j) > progress(best) || (both && order_.before(*j.best, *best.best));
    if (better) best = std::move(j);
  }
  ASSERT(best.type != nullptr);
}

/// The candidate that ranks first, with its key; null without one.
Candidate* Search::first_of(std::vector<Candidate>& candidates, const Ledger& ledger) const {
  Candidate* best = nullptr;
  for (auto& c : candidates) {
    order_.fill(context_, ledger, c);
    if (best == nullptr || order_.before(c, *best)) best = &c;
  }
  return best;
}

bool Search::something_unknown() const {
  for (const auto* worker : workers_) {
    if (!worker->open) continue;
    for (const auto* j : worker->judgements)
      if (j->unknown) return true;
  }
  return false;
}

bool Search::admits(const WorkerEval& worker, const StaticChain& chain) const {
  return passes(chain) && disk_rule(context_, *worker.entry, chain).outcome != Outcome::kReject;
}

/// Calls `visit(LayoutAnswer)` for each option and device type that nothing static rules out, until it returns false.
template <class Visit>
void Search::each_layout(
    const WorkerEval& worker, const Ledger& ledger, bool uncertain, Purpose purpose, Visit&& visit) {
  if (context_.uneven.outcome == Outcome::kReject) return;
  for (std::size_t i = 0; i < context_.options.size(); ++i) {
    for (std::size_t t = 0; t < worker.cls->types.size(); ++t) {
      const auto& type = worker.cls->types[t];
      const auto& chain = *worker.cls->chains[i][t];
      if (!admits(worker, chain)) continue;
      const auto usable = usable_devices(context_, *worker.entry, ledger, type);
      const LayoutInput input{
          context_, context_.options[i], *worker.entry, ledger, type, chain, usable, order_, uncertain, purpose};
      if (!visit(run_layouts(input, i))) return;
    }
  }
}

void Search::all_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain, std::vector<Candidate>& out) {
  each_layout(worker, ledger, uncertain, Purpose::kAll, [&](LayoutAnswer& answer) {
    for (auto& c : answer.candidates) {
      order_.fill(context_, ledger, c);
      out.push_back(std::move(c));
    }
    return true;
  });
}

bool Search::fits_on(const WorkerEval& worker, const Ledger& ledger) {
  if (!worker.open) return false;
  bool fits = false;
  each_layout(worker, ledger, false, Purpose::kAny, [&](const LayoutAnswer& answer) {
    fits = !answer.candidates.empty();
    return !fits;
  });
  return fits;
}

std::optional<Candidate> Search::best_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain) {
  if (!worker.open) return std::nullopt;
  std::optional<Candidate> best;
  each_layout(worker, ledger, uncertain, Purpose::kBest, [&](LayoutAnswer& answer) {
    auto* first = first_of(answer.candidates, ledger);
    if (first != nullptr && (!best || order_.before(*first, *best))) best = std::move(*first);
    return true;
  });
  return best;
}

}  // namespace berth::placement
