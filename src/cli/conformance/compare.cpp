#include "cli/conformance/compare.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "wire/json.h"

namespace berth::cli::conformance {
namespace {

using fleet::Outcome;
using fleet::Verdict;

// The one code that is about workers which are not there.
constexpr std::string_view kSelectedWorkersMissing = "gpu_selector_workers_missing";

std::string listed(const std::set<std::string>& items) {
  return "[" + join(std::vector<std::string>(items.begin(), items.end()), ", ") + "]";
}

std::set<std::string> as_set(const std::vector<std::string>& items) { return {items.begin(), items.end()}; }

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

Comparison::Comparison(const Case& c, const World& world, const fleet::Decision& decision, const ReasonMap& reasons)
    : case_(c), world_(world), decision_(decision), reasons_(reasons), lines_(lines_of(world, decision)) {}

void Comparison::check(bool ok, std::string difference) {
  ++compared_;
  if (!ok) differs(std::move(difference));
}

const CaseWorker* Comparison::worker_named(const std::string& name) const {
  const auto& workers = case_.fleet.workers;
  const auto at = std::find_if(workers.begin(), workers.end(), [&](const CaseWorker& w) { return w.name == name; });
  return at == workers.end() ? nullptr : &*at;
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
    const auto* worker = worker_named(line.worker);
    if (worker == nullptr) {
      differs(fmt::format("a line is about worker {}, which the case does not have", line.worker));
      continue;
    }
    for (const auto& result : line.results) {
      if (result.outcome != Outcome::kReject) continue;
      if (auto why = untrue(case_, world_, {worker, line.engine, &result})) differs(std::move(*why));
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

bool Comparison::says_missing(const fleet::RuleResult& result, const std::string& code) const {
  const auto worker = result.args.find("worker");
  return reasons_.says(result.reason, code) && worker != result.args.end() && worker_named(worker->second) == nullptr;
}

std::set<std::string> Comparison::rejected_for(const std::string& code) const {
  std::set<std::string> out;
  if (code == kSelectedWorkersMissing) return out;  // about workers that are not there, so a reject on none that is
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
    for (const auto* result : request_rejects()) found = found || says_missing(*result, code);
  }
  check(found, fmt::format("none of the reasons {} is reported as a reject", listed(as_set(any_of))));
}

void Comparison::listed_reasons() {
  if (!case_.expected.reasons) return;
  const auto reasons = read_reasons(*case_.expected.reasons);
  if (!reasons) return differs(fmt::format("expected.reasons is not compared: {}", reasons.error().message));
  for (const auto& reason : *reasons) numbered_reason(reason);
}

void Comparison::recorded() {
  const auto& e = case_.expected;
  verdict();
  never_used(e.workers_never_used);
  const std::pair<bool, std::string_view> parts[] = {
      {e.estimate.has_value() || e.requirement_as_reported.has_value(), "estimate"},
      {e.candidates.has_value(), "candidates"},
      {!e.choice.text.empty() || e.choice_must_have || e.choice_index_by_score || e.choice_ties, "choice"},
      {e.pipeline.has_value() || e.rejected_at.has_value(), "stages"},
      {e.reasons || e.reasons_any_of_per_entry, "reasons"}};
  for (const auto& [told, name] : parts)
    if (told) left_out_.emplace_back(name);
}

void Comparison::schedule() {
  const auto& expected = case_.expected;
  if (world_.policy.candidates == "listed") return schedule_listed();
  if (is_recorded(case_)) return recorded();
  not_compared();
  verdict();
  if (expected.reasons_any_of_per_entry)
    for (const auto& any_of : *expected.reasons_any_of_per_entry) reported(any_of);
  listed_reasons();
  if (expected.choice_must_have) place("choice_must_have", *expected.choice_must_have);
  if (!expected.choice_from_mutated_fleet) choice(expected.choice);
  if (expected.candidates && expected.candidates->empty())
    check(decision_.plans.empty(), "candidates: expected none, got a plan");
  if (expected.estimate) estimate(*expected.estimate);
  never_used(expected.workers_never_used);
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

void Comparison::selected_workers(const CaseReason& reason,
                                  std::uint64_t matched,
                                  const std::vector<const fleet::RuleResult*>& rejects) {
  std::set<std::string> there;
  for (const auto& ref : world_.request.restriction.devices) there.insert(ref.substr(0, ref.find('/')));
  for (const auto* r : rejects)
    if (says_missing(*r, reason.code)) there.erase(r->args.at("worker"));
  check(there.size() == matched,
        fmt::format("{}: expected {} of the selected workers to exist, got {}", reason.code, matched, listed(there)));
}

void Comparison::numbered_reason(const CaseReason& reason) {
  if (!reasons_.knows(reason.code))
    return check(false, fmt::format("reason {}: no reason of berth says this yet", printable(reason.code)));
  const auto workers = rejected_for(reason.code);
  if (reason.missing || reason.code == kSelectedWorkersMissing) {
    const auto rejects = request_rejects();
    const bool said = std::any_of(rejects.begin(), rejects.end(), [&](const fleet::RuleResult* r) {
      return says_missing(*r, reason.code) && (!reason.missing || r->args.at("worker") == *reason.missing);
    });
    check(said, fmt::format("{}: nothing says that {} is missing", reason.code, reason.missing.value_or("a worker")));
    if (reason.matched) selected_workers(reason, *reason.matched, rejects);
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
  std::map<std::string, std::string> args;
  if (reason.selected) args["each"] = std::to_string(*reason.selected);
  if (reason.world_size) args["ranks"] = std::to_string(*reason.world_size);
  if (reason.architecture) args["architecture"] = *reason.architecture;
  if (!args.empty()) said_with(reason.code, args);
  if (reason.backend_version)
    check(world_.request.restriction.engine_version == reason.backend_version,
          fmt::format("{}: expected about version {}", reason.code, *reason.backend_version));
}

void Comparison::filter() {
  const auto stage = reasons_.stages.find(case_.filter);
  if (stage == reasons_.stages.end())
    return differs(fmt::format("the filter \"{}\" is not run yet", printable(case_.filter)));
  const auto& expected = case_.expected;
  not_compared();
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
  listed_reasons();
}

}  // namespace berth::cli::conformance
