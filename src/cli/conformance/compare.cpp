#include "cli/conformance/compare.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "wire/json.h"

namespace berth::cli::conformance {
namespace {

using fleet::Outcome;
using fleet::Verdict;

std::string listed(const std::set<std::string>& items) {
  return "[" + join(std::vector<std::string>(items.begin(), items.end()), ", ") + "]";
}

std::set<std::string> as_set(const std::vector<std::string>& items) { return {items.begin(), items.end()}; }

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// "cuda:3" of the plan's devices as the cases count them.
std::set<int> indexes_of(const Case& c, const fleet::PlanWorker& place) {
  std::set<int> out;
  for (const auto& worker : c.fleet.workers) {
    if (worker.name != place.worker_name) continue;
    for (const auto& gpu : worker.gpus)
      if (contains(place.devices, fmt::format("{}:{}", gpu.runtime, gpu.index))) out.insert(gpu.index);
  }
  return out;
}

}  // namespace

Comparison::Comparison(const Case& c, const World& world, const fleet::Decision& decision, const ReasonMap& reasons)
    : case_(c), world_(world), decision_(decision), reasons_(reasons), lines_(lines_of(world, decision)) {}

void Comparison::check(bool ok, std::string difference) {
  ++compared_;
  if (!ok) differs(std::move(difference));
}

std::vector<const fleet::RuleResult*> Comparison::request_rejects() const {
  std::vector<const fleet::RuleResult*> out;
  for (const auto& result : decision_.report.request)
    if (result.outcome == Outcome::kReject) out.push_back(&result);
  return out;
}

void Comparison::facts_hold() {
  for (const auto* result : request_rejects()) {
    const auto engine = result->args.find("engine_id");
    const Said said{nullptr, engine == result->args.end() ? "" : engine->second, result};
    if (auto why = untrue(case_, world_, said)) differs(std::move(*why));
  }
  for (const auto& line : lines_) {
    const auto worker = std::find_if(case_.fleet.workers.begin(), case_.fleet.workers.end(), [&](const CaseWorker& w) {
      return w.name == line.worker;
    });
    if (worker == case_.fleet.workers.end()) {
      differs(fmt::format("a line is about worker {}, which the case does not have", line.worker));
      continue;
    }
    for (const auto& result : line.results) {
      if (result.outcome != Outcome::kReject) continue;
      if (auto why = untrue(case_, world_, {&*worker, line.engine, &result})) differs(std::move(*why));
    }
  }
}

void Comparison::plan_holds(const fleet::Plan& plan, const fleet::Verification& verification) {
  if (verification.ok) return;
  differs(fmt::format("the plan on {} is returned, but does not verify: {}",
                      plan.workers.empty() ? "nothing" : plan.workers.front().worker_name,
                      verification.rejects.empty() ? "no reason" : verification.rejects.front().text));
}

void Comparison::verdict() {
  const auto& expected = case_.expected;
  if (!expected.feasible) return;
  // A placement that takes more than there is is none: claims never pass what a device offers.
  const bool wanted = *expected.feasible && !expected.overcommit_only;
  const bool answered = decision_.verdict != Verdict::kUnknown;
  check(answered && wanted == (decision_.verdict == Verdict::kFits),
        fmt::format("feasible: expected {}, got {} ({})",
                    wanted ? "true" : "false",
                    wire::enum_name(decision_.verdict),
                    decision_.summary));
}

std::set<std::string> Comparison::rejected_for(const std::string& code) const {
  std::set<std::string> out;
  for (const auto& line : lines_)
    for (const auto& result : line.results)
      if (result.outcome == Outcome::kReject && reasons_.says(result.reason, code)) out.insert(line.worker);
  for (const auto* result : request_rejects()) {
    // A reject of the request that is not about one engine of several stands on every worker.
    if (result->rule != "request" || result->args.contains("engine_id") || !reasons_.says(result->reason, code))
      continue;
    for (const auto& worker : case_.fleet.workers) out.insert(worker.name);
  }
  return out;
}

void Comparison::reported(const std::vector<std::string>& any_of) {
  bool found = false;
  for (const auto& code : any_of) {
    if (!reasons_.knows(code)) differs(fmt::format("reason {}: no reason of berth says this yet", printable(code)));
    found = found || !rejected_for(code).empty();
  }
  check(found, fmt::format("none of the reasons {} is reported as a reject", listed(as_set(any_of))));
}

void Comparison::place(std::string_view what, const CasePlace& wanted) {
  if (decision_.plans.empty()) return check(false, fmt::format("{}: expected {}, got no plan", what, wanted.worker));
  const auto& got = decision_.plans.front().workers.front();
  check(got.worker_name == wanted.worker,
        fmt::format("{}.worker: expected {}, got {}", what, wanted.worker, got.worker_name));
  if (!wanted.gpu_indexes || got.worker_name != wanted.worker) return;
  const std::set<int> indexes(wanted.gpu_indexes->begin(), wanted.gpu_indexes->end());
  check(indexes_of(case_, got) == indexes,
        fmt::format("{}.gpu_indexes: expected {}, got {}",
                    what,
                    fmt::join(indexes, ","),
                    fmt::join(indexes_of(case_, got), ",")));
}

void Comparison::schedule() {
  const auto& expected = case_.expected;
  verdict();
  if (expected.reasons_any_of_per_entry)
    for (const auto& any_of : *expected.reasons_any_of_per_entry) reported(any_of);
  if (expected.choice_must_have) place("choice_must_have", *expected.choice_must_have);
  if (expected.choice && !expected.choice_from_mutated_fleet) place("choice", *expected.choice);
  if (expected.workers_never_used.empty()) return;
  for (const auto& plan : decision_.plans)
    for (const auto& used : plan.workers)
      if (contains(expected.workers_never_used, used.worker_name))
        differs(fmt::format("worker {} must never be used, but is", used.worker_name));
  ++compared_;
}

std::set<std::string> Comparison::rejected_by(const std::vector<std::string>& ours,
                                              std::set<std::string>& judged) const {
  std::set<std::string> passed;
  for (const auto& line : lines_) {
    judged.insert(line.worker);
    const bool rejects = std::any_of(line.results.begin(), line.results.end(), [&](const fleet::RuleResult& r) {
      return r.outcome == Outcome::kReject && contains(ours, r.reason);
    });
    if (!rejects) passed.insert(line.worker);
  }
  std::set<std::string> rejected;
  for (const auto& worker : judged)
    if (!passed.contains(worker)) rejected.insert(worker);
  for (const auto* result : request_rejects()) {
    if (result->rule != "request" || !contains(ours, result->reason)) continue;
    for (const auto& worker : case_.fleet.workers)
      if (judged.insert(worker.name).second) rejected.insert(worker.name);
  }
  return rejected;
}

void Comparison::selected_workers(const CaseReason& reason, const std::vector<const fleet::RuleResult*>& rejects) {
  std::set<std::string> there;
  for (const auto& ref : world_.request.restriction.devices) there.insert(ref.substr(0, ref.find('/')));
  for (const auto* r : rejects)
    if (const auto worker = r->args.find("worker"); worker != r->args.end() && reasons_.says(r->reason, reason.code))
      there.erase(worker->second);
  check(there.size() == *reason.matched,
        fmt::format(
            "{}: expected {} of the selected workers to exist, got {}", reason.code, *reason.matched, listed(there)));
}

void Comparison::numbered_reason(const CaseReason& reason) {
  if (!reasons_.knows(reason.code))
    return check(false, fmt::format("reason {}: no reason of berth says this yet", printable(reason.code)));
  const auto workers = rejected_for(reason.code);
  if (reason.missing) {
    const auto rejects = request_rejects();
    const bool said = std::any_of(rejects.begin(), rejects.end(), [&](const fleet::RuleResult* r) {
      const auto worker = r->args.find("worker");
      return reasons_.says(r->reason, reason.code) && worker != r->args.end() && worker->second == *reason.missing;
    });
    check(said, fmt::format("{}: nothing says that {} is missing", reason.code, *reason.missing));
    if (reason.matched) selected_workers(reason, rejects);
    return;
  }
  const std::string of = reason.worker.value_or("");
  check(reason.worker ? workers.contains(of) : !workers.empty(),
        fmt::format("{} is not reported as a reject{}{}", reason.code, reason.worker ? " on worker " : "", of));
  const std::uint64_t all = case_.fleet.workers.size();
  if (reason.matched)
    check(*reason.matched == all - workers.size() && reason.of.value_or(all) == all,
          fmt::format("{}: expected {} of {} workers to match, got {} of {}",
                      reason.code,
                      *reason.matched,
                      reason.of.value_or(all),
                      all - workers.size(),
                      all));
  if (reason.backend_version)
    check(world_.request.restriction.engine_version == reason.backend_version,
          fmt::format("{}: expected about version {}", reason.code, *reason.backend_version));
}

void Comparison::filter() {
  const auto stage = reasons_.stages.find(case_.filter);
  if (stage == reasons_.stages.end())
    return differs(fmt::format("the filter \"{}\" is not run yet", printable(case_.filter)));
  const auto& expected = case_.expected;
  std::set<std::string> judged;
  const auto rejected = rejected_by(stage->second, judged);
  for (const auto& worker : case_.fleet.workers)
    if (!judged.contains(worker.name)) differs(fmt::format("the report has no line about worker {}", worker.name));
  std::set<std::string> passed;
  std::set_difference(
      judged.begin(), judged.end(), rejected.begin(), rejected.end(), std::inserter(passed, passed.end()));
  if (expected.passed)
    check(passed == as_set(*expected.passed),
          fmt::format("passed: expected {}, got {}", listed(as_set(*expected.passed)), listed(passed)));
  if (expected.rejected)
    check(rejected == as_set(*expected.rejected),
          fmt::format("rejected: expected {}, got {}", listed(as_set(*expected.rejected)), listed(rejected)));
  if (!expected.reasons) return;
  const auto reasons = read_reasons(*expected.reasons);
  if (!reasons) return differs(fmt::format("expected.reasons cannot be read: {}", reasons.error().message));
  for (const auto& reason : *reasons) numbered_reason(reason);
}

}  // namespace berth::cli::conformance
