#include "placement/report.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "base/time.h"

namespace berth::placement {
namespace {

constexpr std::size_t kLinesMax = 48;  // above this, lines with the same outcomes are merged whatever their hardware

bool blocks(const RuleOutcome& o) { return o.outcome == Outcome::kReject; }

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
Hash signature(const ChainView& chain, const Hash& hardware_key) {
  Hasher h;
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    word = word << 12 | std::uint64_t(chain[i]->outcome) << 8 | std::uint64_t(chain[i]->reason);
    if (i % 5 == 4) h.add(std::exchange(word, 0));
  }
  return h.add(word).add(hardware_key.hi).add(hardware_key.lo).finish();
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

void add_lines(fleet::Report& report, const Search& search, const Option& option, std::size_t o) {
  for (const bool by_hardware : {true, false}) {
    std::map<std::pair<bool, Hash>, Group> groups;  // what only plays a machine is told apart from machines
    for (const auto* each : search.workers()) {
      const auto& worker = *each;
      const Judgement& j = worker.judgements[o];
      const ChainView chain = full_chain(worker, j);
      const Hash key = signature(chain, by_hardware ? own_key(worker) : Hash{});
      auto& group = groups[{worker.entry->worker.simulated, key}];
      ++group.workers;
      if (group.examples.size() < fleet::kExamplesMax) group.examples.push_back(worker.entry->worker.name);
      // The figures shown are those of the worker that lacks least.
      if (group.first != nullptr && bytes_short(chain) >= bytes_short(group.chain)) continue;
      group.first = &worker;
      group.judgement = &j;
      group.chain = chain;
      if (by_hardware && groups.size() > kLinesMax) break;
    }
    if (by_hardware && groups.size() > kLinesMax) continue;
    std::vector<Group> ordered;
    for (auto& [key, group] : groups) ordered.push_back(std::move(group));
    std::sort(ordered.begin(), ordered.end(), nearer);
    for (const auto& group : ordered) report.lines.push_back(to_line(option, group));
    return;
  }
}

std::uint64_t subjects(const WorkerEval& worker, RuleId rule) {
  if (rule_subject(rule) != std::string_view("device")) return 1;
  return std::max<std::uint64_t>(1, worker.entry->worker.devices.size());
}

void add_counts(fleet::Report& report, const Search& search, const Option& option, std::size_t o) {
  std::array<fleet::RuleCount, kRuleCount> counts;
  for (std::size_t i = 0; i < kRuleCount; ++i) {
    counts[i].engine = option.engine->id;
    counts[i].rule = rule_name(static_cast<RuleId>(i));
    counts[i].subject = rule_subject(static_cast<RuleId>(i));
  }
  for (const auto* each : search.workers()) {
    const auto& worker = *each;
    const ChainView chain = full_chain(worker, worker.judgements[o]);
    std::size_t rejects = 0, open = 0;
    for (const auto* outcome : chain) {
      if (blocks(*outcome)) ++rejects;
      const bool hidden = outcome->outcome == Outcome::kNotEvaluated && !outcome->not_carried;
      if (outcome->outcome == Outcome::kUnknown || hidden) ++open;
    }
    for (std::size_t i = 0; i < kRuleCount; ++i) {
      const std::uint64_t n = subjects(worker, static_cast<RuleId>(i));
      auto& count = counts[i];
      if (chain[i]->outcome == Outcome::kNotEvaluated) {
        count.not_evaluated += n;
        continue;
      }
      count.checked += n;
      if (chain[i]->outcome == Outcome::kUnknown) count.unknown += n;
      if (chain[i]->outcome == Outcome::kWarn) count.warns += n;
      if (!blocks(*chain[i])) continue;
      count.fails += n;
      // What hides only below this very reject would be evaluated after fixing it, and may fail then: not counted.
      if (rejects == 1 && open == 0) count.fails_only += n;
    }
  }
  report.counts.insert(report.counts.end(), counts.begin(), counts.end());
}

/// The reject or unknown that holds for an engine whatever the worker; the engine then needs no lines of its own.
const RuleOutcome* request_level(const Search& search, std::size_t o, RuleId& rule) {
  if (search.workers().empty()) return nullptr;
  const auto& chain = search.workers().front()->judgements[o].chain->outcomes;
  for (const auto id : {RuleId::kRequest, RuleId::kFormat}) {
    rule = id;
    if (blocks(chain[index(id)])) return &chain[index(id)];
  }
  return nullptr;
}

// A worker that is not in the fleet has no line of its own.
void add_missing_workers(fleet::Report& report, const Context& context) {
  if (context.selected.empty() && context.request.restriction.workers.empty()) return;
  std::set<std::string, std::less<>> known;
  context.snapshot.for_each([&](const WorkerEntry& entry) {
    known.insert(entry.worker.name);
    known.insert(entry.worker.id);
  });
  const auto add = [&](Reason reason, const std::string& device, const std::string& worker) {
    report.request.push_back(
        to_result(RuleId::kSelection, RuleOutcome::reject(reason, {{"device", device}, {"worker", worker}})));
  };
  for (const auto& [worker, devices] : context.selected) {
    if (known.contains(worker)) continue;
    for (const auto& device : devices) add(Reason::kSelectedDeviceMissing, worker + "/" + device, worker);
  }
  for (const auto& worker : context.request.restriction.workers)
    if (!known.contains(worker)) add(Reason::kSelectedWorkerMissing, "", worker);
}

void add_unused(fleet::Report& report, const Context& context, const std::vector<Candidate>& chosen) {
  for (const auto& ref : context.request.restriction.devices) {
    const auto slash = ref.find('/');
    const std::string worker = ref.substr(0, slash), device = ref.substr(slash + 1);
    bool used = false;
    for (const auto& c : chosen)
      each_part(c, [&](const Part& part) {
        const auto& w = part.entry->worker;
        for (const auto p : part.positions)
          used = used || ((w.name == worker || w.id == worker) && w.devices[p].id == device);
      });
    if (used) continue;
    report.unused_devices.push_back(ref);
    const auto* entry = context.snapshot.find_by_name(worker);
    if (entry == nullptr) entry = context.snapshot.find(worker);
    if (entry != nullptr && fleet::device_position(*entry, device) == std::string::npos)
      report.notes.push_back(sentence(RuleOutcome::reject(Reason::kSelectedDeviceMissing, {{"device", ref}})));
  }
  for (const auto& name : context.request.accept)
    if (!context.used_accept.contains(name)) report.unused_accept.push_back(name);
}

// Why the replicas that are missing could not lie on several workers either.
void add_over_workers(fleet::Report& report, const Context& context, const Search::Placement& placed) {
  for (const auto& outcome : placed.over_workers) report.request.push_back(to_result(RuleId::kLayout, outcome));
  const bool off = context.request.restriction.across_workers && !context.policy.over_workers;
  if (off && placed.chosen.size() < context.request.replicas)
    report.request.push_back(to_result(RuleId::kLayout, RuleOutcome::reject(Reason::kOverWorkersOff)));
}

enum class Among { kAdmitted, kAll };

/// "worker: why not" of the line that is nearest to a yes; of workers that state, cordon, labels and selection admit,
/// or of all.
std::optional<std::string> nearest_cause(const fleet::Decision& d, Among among) {
  for (const auto& line : d.report.lines) {
    const auto shut = std::find_if(line.results.begin(), line.results.end(), [](const fleet::RuleResult& r) {
      const bool gate = r.rule == "worker_ready" || r.rule == "cordon" || r.rule == "labels" || r.rule == "selection";
      return gate && r.outcome == Outcome::kReject;
    });
    if (among == Among::kAdmitted && shut != line.results.end()) continue;
    for (const auto& r : line.results) {
      const bool untold = d.verdict == fleet::Verdict::kUnknown && r.outcome == Outcome::kUnknown;
      if (r.outcome == Outcome::kReject || untold) return fmt::format("{}: {}", line.examples.front(), r.text);
    }
  }
  return std::nullopt;
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

fleet::Report make_report(const Context& context, const Search& search, const Search::Placement& placed) {
  fleet::Report report;
  report.policy = context.policy.name;
  report.defaults = context.defaults;
  if (context.invalid.outcome == Outcome::kReject)
    report.request.push_back(to_result(RuleId::kRequest, context.invalid));
  add_missing_workers(report, context);
  for (std::size_t o = 0; o < context.options.size(); ++o) {
    const auto& option = context.options[o];
    RuleId rule = RuleId::kRequest;
    const auto* general = request_level(search, o, rule);
    if (general != nullptr) {
      auto result = to_result(rule, *general);
      result.args["engine_id"] = option.engine->id;
      report.request.push_back(std::move(result));
    }
    if (general == nullptr || context.options.size() == 1) add_lines(report, search, option, o);
    add_counts(report, search, option, o);
  }
  add_over_workers(report, context, placed);
  add_unused(report, context, placed.chosen);
  for (const auto& name : search.order().unknown())
    report.notes.push_back(fmt::format("plan_key: there is no part \"{}\"", name));
  if (context.snapshot.size() == 0) report.notes.emplace_back("the fleet has no workers: add one with `berth worker`");
  return report;
}

std::string make_summary(const Context& context, const fleet::Decision& d) {
  const std::string count = fmt::format("{} of {} replica{}", d.fit_count, d.asked, d.asked == 1 ? "" : "s");
  if (d.verdict == fleet::Verdict::kFits) {
    const auto& plan = d.plans.front();
    const auto* engine = context.catalog.find(plan.engine);
    std::string where;
    for (const auto& part : plan.workers)
      where += (where.empty() ? "" : ", ") + part.worker_name + (part.simulated ? " (simulated)" : "");
    if (d.plans.size() > 1)
      where += fmt::format(" and {} more place{}", d.plans.size() - 1, d.plans.size() == 2 ? "" : "s");
    return fmt::format("fits: {} with {} on {}", count, engine == nullptr ? plan.engine : engine->title, where);
  }
  if (d.verdict == fleet::Verdict::kFitsAfter)
    return fmt::format("fits after releasing {} instance{} of ours: {} now",
                       d.holders.size(),
                       d.holders.size() == 1 ? "" : "s",
                       count);
  const std::string head = d.verdict == fleet::Verdict::kUnknown ? "unknown" : "does not fit";
  if (const auto cause = nearest_cause(d, Among::kAdmitted)) return fmt::format("{}: {}; {}", head, count, *cause);
  // What names something that is not there comes before workers that were shut; another engine's format after them.
  for (const bool format : {false, true}) {
    if (format)
      if (const auto cause = nearest_cause(d, Among::kAll)) return fmt::format("{}: {}; {}", head, count, *cause);
    for (const auto& r : d.report.request)
      if ((r.rule == "format") == format && (r.outcome == Outcome::kReject || r.outcome == Outcome::kUnknown))
        return fmt::format("{}: {}; {}", head, count, r.text);
  }
  if (!d.report.notes.empty()) return fmt::format("{}: {}; {}", head, count, d.report.notes.front());
  return fmt::format("{}: {}", head, count);
}

}  // namespace berth::placement
