// The lines and counts of the report.
#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>

#include "base/time.h"
#include "placement/detail/report_parts.h"

namespace berth::placement {
namespace {

constexpr std::size_t kLinesMax = 48;  // above this, lines with the same outcomes are merged whatever their hardware

std::string hardware(const fleet::Worker& worker) {
  std::vector<std::pair<std::string, int>> kinds;
  for (const auto& device : worker.devices) {
    const auto at = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == device.name; });
    if (at == kinds.end())
      kinds.emplace_back(device.name, 1);
    else
      ++at->second;
  }
  std::string text;
  for (const auto& [name, count] : kinds) text += fmt::format("{}{} × {}", text.empty() ? "" : ", ", count, name);
  return text.empty() ? "no device" : text;
}

bool only_gate_rejects(const ChainView& chain) {
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    const auto& o = *chain[i];
    if (independent(static_cast<RuleId>(i))) continue;
    const bool silent = o.outcome == Outcome::kNotEvaluated && o.not_carried;
    if (o.outcome != Outcome::kPass && o.outcome != Outcome::kWarn && !silent) return false;
  }
  return true;
}

std::vector<fleet::DeviceLine> device_lines(const WorkerEval& worker, const Judgement& j) {
  std::vector<fleet::DeviceLine> lines;
  const auto& w = worker.entry->worker;
  for (std::size_t i = 0; i < w.devices.size(); ++i) {
    const auto& c = worker.entry->capacity[i];
    fleet::DeviceLine line{w.name,
                           w.devices[i].id,
                           w.devices[i].name,
                           c.total,
                           c.reserved,
                           c.claimed,
                           c.foreign,
                           worker.ledger.devices[i],
                           {},
                           Outcome::kPass,
                           ""};
    if (c.overcommitted) line.reason = "overcommitted";
    if (j.best)
      for (std::size_t k = 0; k < j.best->positions.size(); ++k)
        if (j.best->positions[k] == i) line.needed = j.best->claims[k];
    if (!j.best && j.memory.numbers) {
      line.needed = j.memory.needed;
      line.outcome = j.memory.outcome;
      line.reason = reason_name(j.memory.reason);
    }
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return a.allocatable != b.allocatable ? a.allocatable > b.allocatable : a.device < b.device;
  });
  if (lines.size() > fleet::kExamplesMax) lines.resize(fleet::kExamplesMax);
  return lines;
}

fleet::DeviceLine host_line(const WorkerEval& worker, const Judgement& j) {
  const auto& m = worker.entry->memory;
  fleet::DeviceLine line;
  line.worker = worker.entry->worker.name;
  line.name = worker.entry->unified ? "shared pool" : "host RAM";
  line.total = m.total;
  line.reserved = m.reserved;
  line.claimed = m.claimed;
  line.foreign = m.foreign;
  line.allocatable = worker.ledger.memory;
  if (m.overcommitted) line.reason = "overcommitted";
  if (j.best) line.needed = j.best->memory_claim;
  return line;
}

/// Equal outcomes for equal reasons; what hides a rule follows from the others.
Hash signature(const Outcomes& outcomes, const Hash& hardware_key) {
  Hasher h;
  for (const auto word : outcomes.words) h.add(word);
  return h.add(hardware_key.hi).add(hardware_key.lo).finish();
}

/// What tells the line of this worker from others with the same outcomes: hardware, and the time of a last report.
Hash own_key(const WorkerEval& worker) {
  const auto& w = worker.entry->worker;
  if (w.state == fleet::WorkerState::kReady || !w.last_report_at) return worker.entry->class_key;
  return Hasher().add(worker.entry->class_key.text()).add(to_rfc3339(*w.last_report_at)).finish();
}

/// Of the first reject that has figures; 0 without one.
std::uint64_t bytes_short(const ChainView& chain) {
  for (const auto* o : chain)
    if (blocks(*o) && o->numbers) return o->needed.minus_or_zero(o->available).value;
  return 0;
}

struct Group {
  bool simulated = false;
  Hash key;
  std::uint64_t lacks = 0;  // bytes_short() of the first
  const WorkerEval* first = nullptr;
  const Judgement* judgement = nullptr;
  ChainView chain{};
  std::uint32_t workers = 0;
  std::vector<std::string> examples;
};

fleet::WorkerLine to_line(const Option& option, const Group& group) {
  const auto& worker = group.first->entry->worker;
  fleet::WorkerLine line;
  line.engine = option.engine->id;
  line.engine_version = group.judgement->chain->version;
  line.workers = group.workers;
  // The worker whose figures are shown stands first.
  line.examples = {worker.name};
  for (const auto& name : group.examples)
    if (name != worker.name && line.examples.size() < fleet::kExamplesMax) line.examples.push_back(name);
  line.os = worker.os;
  line.arch = worker.arch;
  line.hardware = hardware(worker);
  line.state = worker.state;
  line.last_report_at = worker.last_report_at;
  for (std::size_t i = 0; i < kRuleCount; ++i)
    line.results.push_back(to_result(static_cast<RuleId>(i), *group.chain[i]));
  line.devices = device_lines(*group.first, *group.judgement);
  line.host = host_line(*group.first, *group.judgement);
  line.simulated = worker.simulated;
  line.would_fit = only_gate_rejects(group.chain);
  return line;
}

// Fewest rejects first, then the one that got farthest: what is nearest to a yes stands on top.
bool nearer(const Group& a, const Group& b) {
  const auto rank = [](const Group& g) {
    std::size_t rejects = 0, first = kRuleCount;
    for (std::size_t i = 0; i < kRuleCount; ++i) {
      if (!blocks(*g.chain[i])) continue;
      ++rejects;
      if (!independent(static_cast<RuleId>(i))) first = std::min(first, i);
    }
    return std::pair(rejects, kRuleCount - first);
  };
  return rank(a) != rank(b) ? rank(a) < rank(b) : a.first->entry->worker.name < b.first->entry->worker.name;
}

/// What workers share that stand in one line; what only plays a machine is told apart from machines.
struct LineKey {
  Outcomes outcomes;
  Hash hardware;
  bool simulated = false;

  friend bool operator==(const LineKey&, const LineKey&) = default;
};

struct Mixed {
  std::size_t operator()(const Outcomes& o) const {
    std::uint64_t sum = o.silent;
    for (const auto word : o.words) sum = (sum ^ word) * 0x9E3779B97F4A7C15ULL;
    return sum ^ sum >> 32;
  }
  std::size_t operator()(const LineKey& k) const { return operator()(k.outcomes) ^ k.hardware.lo; }
};

/// The lines of one option in an order of their own, or nothing when they are more than kLinesMax.
std::optional<std::vector<Group>> groups_of(const Search& search,
                                            std::span<const Outcomes> outcomes,
                                            std::size_t o,
                                            bool by_hardware) {
  std::vector<Group> groups;
  std::unordered_map<LineKey, std::size_t, Mixed> places;
  for (std::size_t w = 0; w < outcomes.size(); ++w) {
    const auto& worker = *search.workers()[w];
    LineKey key{outcomes[w], by_hardware ? own_key(worker) : Hash{}, worker.entry->worker.simulated};
    key.outcomes.silent = 0;
    const auto [at, fresh] = places.try_emplace(key, groups.size());
    if (fresh) {
      groups.emplace_back().simulated = key.simulated;
      groups.back().key = signature(key.outcomes, key.hardware);
    }
    if (by_hardware && groups.size() > kLinesMax) return std::nullopt;
    auto& group = groups[at->second];
    ++group.workers;
    if (group.examples.size() < fleet::kExamplesMax) group.examples.push_back(worker.entry->worker.name);
    // The figures shown are those of the worker that lacks least.
    if (!fresh && group.lacks == 0) continue;
    const ChainView chain = full_chain(worker, *worker.judgements[o]);
    const std::uint64_t lacks = bytes_short(chain);
    if (!fresh && lacks >= group.lacks) continue;
    group.lacks = lacks;
    group.first = &worker;
    group.judgement = worker.judgements[o];
    group.chain = chain;
  }
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    return std::tie(a.simulated, a.key) < std::tie(b.simulated, b.key);
  });
  std::sort(groups.begin(), groups.end(), nearer);
  return groups;
}

/// Workers whose rules come to the same, with the chain of one of them.
struct Tally {
  ChainView chain{};
  std::uint64_t workers = 0;
  std::uint64_t devices = 0;  // a worker without devices counts as one
};

void add_tally(std::array<fleet::RuleCount, kRuleCount>& counts, const Tally& tally) {
  std::size_t rejects = 0, open = 0;
  for (const auto* outcome : tally.chain) {
    if (blocks(*outcome)) ++rejects;
    const bool hidden = outcome->outcome == Outcome::kNotEvaluated && !outcome->not_carried;
    if (outcome->outcome == Outcome::kUnknown || hidden) ++open;
  }
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    auto& count = counts[i];
    const std::uint64_t n = count.subject == "device" ? tally.devices : tally.workers;
    const auto outcome = tally.chain[i]->outcome;
    (outcome == Outcome::kNotEvaluated ? count.not_evaluated : count.checked) += n;
    if (outcome == Outcome::kUnknown) count.unknown += n;
    if (outcome == Outcome::kWarn) count.warns += n;
    if (!blocks(*tally.chain[i])) continue;
    count.fails += n;
    // What hides only below this very reject would be evaluated after fixing it, and may fail then: not counted.
    if (rejects == 1 && open == 0) count.fails_only += n;
  }
}

}  // namespace

ChainView full_chain(const WorkerEval& worker, const Judgement& j) {
  ChainView chain{};
  for (std::size_t i = 0; i < kRuleCount; ++i) chain[i] = &j.chain->outcomes[i];
  chain[index(RuleId::kWorkerReady)] = &worker.gate.ready;
  chain[index(RuleId::kCordon)] = &worker.gate.cordon;
  chain[index(RuleId::kLabels)] = &worker.gate.labels;
  chain[index(RuleId::kSelection)] = &worker.gate.selection;
  chain[index(RuleId::kLayout)] = &j.layout;
  chain[index(RuleId::kMemory)] = &j.memory;
  chain[index(RuleId::kRam)] = &j.ram;
  chain[index(RuleId::kDisk)] = &j.disk;
  return chain;
}

std::vector<Outcomes> outcomes_of(const Search& search, std::size_t o) {
  std::vector<Outcomes> out;
  out.reserve(search.workers().size());
  for (const auto* worker : search.workers()) {
    const Judgement& j = *worker->judgements[o];
    Outcomes& all = out.emplace_back(j.chain->told);
    const WorkerGate& g = worker->gate;
    const RuleOutcome* own[] = {&g.ready, &g.cordon, &g.labels, &g.selection, &j.layout, &j.memory, &j.ram, &j.disk};
    for (std::size_t i = 0; i < kOwnRules.size(); ++i) all.put(index(kOwnRules[i]), *own[i]);
  }
  return out;
}

void add_lines(fleet::Report& report,
               const Search& search,
               std::span<const Outcomes> outcomes,
               const Option& option,
               std::size_t o) {
  auto groups = groups_of(search, outcomes, o, true);
  if (!groups) groups = groups_of(search, outcomes, o, false);
  if (!groups) return;  // only where lines are merged by hardware may there be too many
  for (const auto& group : *groups) report.lines.push_back(to_line(option, group));
}

void add_counts(fleet::Report& report,
                const Search& search,
                std::span<const Outcomes> outcomes,
                const Option& option,
                std::size_t o) {
  std::unordered_map<Outcomes, Tally, Mixed> tallies;  // sums: their order is no matter
  Tally* tally = nullptr;
  for (std::size_t w = 0; w < outcomes.size(); ++w) {
    const auto& worker = *search.workers()[w];
    if (w == 0 || outcomes[w] != outcomes[w - 1]) tally = &tallies[outcomes[w]];
    if (tally->workers++ == 0) tally->chain = full_chain(worker, *worker.judgements[o]);
    tally->devices += std::max<std::uint64_t>(1, worker.entry->worker.devices.size());
  }
  std::array<fleet::RuleCount, kRuleCount> counts;
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    counts[i].engine = option.engine->id;
    counts[i].rule = rule_name(static_cast<RuleId>(i));
    counts[i].subject = rule_subject(static_cast<RuleId>(i));
  }
  for (const auto& [key, each] : tallies) add_tally(counts, each);
  report.counts.insert(report.counts.end(), counts.begin(), counts.end());
}

}  // namespace berth::placement
