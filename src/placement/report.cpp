#include "placement/report.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <set>

#include "base/text.h"
#include "placement/detail/report_parts.h"

namespace berth::placement {
namespace {

/// The reject or unknown that holds for an engine whatever the worker; the engine then needs no lines of its own.
const RuleOutcome* request_level(const Search& search, std::size_t o, RuleId& rule) {
  if (search.workers().empty()) return nullptr;
  const auto& chain = search.workers().front()->judgements[o]->chain->outcomes;
  for (const auto id : {RuleId::kRequest, RuleId::kFormat}) {
    rule = id;
    if (blocks(chain[index(id)])) return &chain[index(id)];
  }
  // An architecture may be told of a version, and workers take different ones.
  rule = RuleId::kArchitecture;
  const auto& first = chain[index(rule)];
  const auto says_it = [&](const WorkerEval* worker) {
    const auto& outcome = worker->judgements[o]->chain->outcomes[index(rule)];
    return outcome.outcome == first.outcome && outcome.reason == first.reason;
  };
  if (blocks(first) && std::all_of(search.workers().begin(), search.workers().end(), says_it)) return &first;
  return nullptr;
}

/// Of engines that no worker's system and device has a build for, whatever the rest: true for each. One that stands
/// alone is told worker by worker all the same.
std::vector<bool> without_workers(const Context& context, const Search& search) {
  std::vector<bool> out(context.options.size());
  bool told = false;
  for (std::size_t o = 0; o < out.size(); ++o) {
    RuleId rule{};
    if (request_level(search, o, rule) != nullptr) continue;
    const auto& workers = search.workers();
    out[o] = std::all_of(workers.begin(), workers.end(), [&](const WorkerEval* worker) {
      const auto& chain = *worker->judgements[o]->chain;
      return chain.blocked && chain.rejected_at <= index(RuleId::kEngineVendor);
    });
    told = told || !out[o];
  }
  for (std::size_t o = 0; o < out.size() && !told; ++o) {
    told = out[o];
    out[o] = false;
  }
  return out;
}

RuleOutcome no_worker_for(const Engine& engine) {
  std::set<std::string> needs;
  for (const auto& row : engine.rows)
    needs.insert(row.os.empty() ? row.vendor : fmt::format("{} on {}", row.vendor, join(row.os, " or ")));
  return RuleOutcome::reject(
      Reason::kNoWorkerForEngine,
      {{"engine", engine.title}, {"needs", join(std::vector<std::string>(needs.begin(), needs.end()), ", ")}});
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

fleet::Report make_report(const Context& context, const Search& search, const Search::Placement& placed) {
  fleet::Report report;
  report.policy = context.policy.name;
  report.defaults = context.defaults;
  if (context.invalid.outcome == Outcome::kReject)
    report.request.push_back(to_result(RuleId::kRequest, context.invalid));
  add_missing_workers(report, context);
  const auto lone = without_workers(context, search);
  for (std::size_t o = 0; o < context.options.size(); ++o) {
    const auto& option = context.options[o];
    RuleId rule = RuleId::kRequest;
    const auto* general = request_level(search, o, rule);
    const RuleOutcome elsewhere = lone[o] ? no_worker_for(*option.engine) : RuleOutcome::pass();
    if (lone[o]) {
      general = &elsewhere;
      rule = RuleId::kEngineVendor;
    }
    if (general != nullptr) {
      auto result = to_result(rule, *general);
      result.args["engine_id"] = option.engine->id;
      report.request.push_back(std::move(result));
    }
    const auto outcomes = outcomes_of(search, o);
    if (general == nullptr || context.options.size() == 1) add_lines(report, search, outcomes, option, o);
    add_counts(report, search, outcomes, option, o);
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
  // What names something that is not there comes before workers that were shut; what an engine is not made for, where
  // others are, after them.
  const auto of_an_engine = [](const fleet::RuleResult& r) {
    return r.rule == "format" || r.reason == reason_name(Reason::kNoWorkerForEngine) ||
           (r.rule == "request" && r.args.contains("engine_id"));
  };
  for (const bool last : {false, true}) {
    if (last)
      if (const auto cause = nearest_cause(d, Among::kAll)) return fmt::format("{}: {}; {}", head, count, *cause);
    for (const auto& r : d.report.request)
      if (of_an_engine(r) == last && (r.outcome == Outcome::kReject || r.outcome == Outcome::kUnknown))
        return fmt::format("{}: {}; {}", head, count, r.text);
  }
  if (!d.report.notes.empty()) return fmt::format("{}: {}; {}", head, count, d.report.notes.front());
  return fmt::format("{}: {}", head, count);
}

}  // namespace berth::placement
