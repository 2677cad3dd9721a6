// What a case of each kind may expect, and the kinds that ask about a request rather than about a fleet.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/compare.h"
#include "placement/decide.h"

namespace berth::cli::conformance {
namespace {

using fleet::Verdict;

// The one code that is about the number of devices of a replica.
constexpr std::string_view kCountMismatch = "gpu_count_mismatch_world_size";

std::string truth(bool value) { return value ? "true" : "false"; }

}  // namespace

void Comparison::not_compared() {
  const auto& e = case_.expected;
  struct Key {
    bool told;
    std::string_view name;
    std::string_view why;
  };
  constexpr std::string_view kScores = "berth orders plans by a key of its own and gives no scores";
  constexpr std::string_view kStages = "berth judges every worker by every rule, not stage after stage";
  constexpr std::string_view kOther = "no expectation of a case of this kind";
  const bool schedule = case_.kind == kKindSchedule, filter = case_.kind == kKindFilter;
  const bool counted = case_.kind == kKindCount, evaluated = case_.kind == kKindEvaluate;
  const bool placed = !e.choice.text.empty() || e.choice_must_have || e.candidates || e.estimate;
  const std::vector<Key> keys = {
      {e.candidates && !e.candidates->empty(), "candidates", kScores},
      {e.choice_index_by_score.has_value(), "choice_index_by_score", kScores},
      {e.choice_ties.has_value(), "choice_ties", kScores},
      {e.scores_v0_6_0.has_value(), "scores_v0_6_0", kScores},
      {e.pipeline.has_value(), "pipeline", kStages},
      {e.rejected_at.has_value(), "rejected_at", kStages},
      {e.requirement_as_reported.has_value(), "requirement_as_reported", "it is of the other scheduler's estimate"},
      {e.overcommit_only && !e.feasible, "overcommit_only", "it says nothing without feasible"},
      {!filter && e.passed, "passed", kOther},
      {!filter && e.rejected, "rejected", kOther},
      {!schedule && e.feasible, "feasible", kOther},
      {!schedule && e.reasons_any_of_per_entry, "reasons_any_of_per_entry", kOther},
      {!schedule && !e.workers_never_used.empty(), "workers_never_used", kOther},
      {!schedule && placed, "choice, candidates or estimate", kOther},
      {!evaluated && e.compatible, "compatible", kOther},
      {!evaluated && e.detected_categories, "detected_categories", kOther},
      {!counted && e.accepted, "accepted", kOther},
      {!counted && e.gpus_per_replica, "gpus_per_replica", kOther},
      {!counted && e.gpu_count, "gpu_count", kOther},
      {!counted && e.bypass_active, "bypass_active", kOther},
      {e.scores.has_value(), "scores", kOther},
  };
  for (const auto& key : keys)
    if (key.told) differs(fmt::format("expected.{} is not compared: {}", key.name, key.why));
}

void Comparison::said_with(const std::string& code, const std::map<std::string, std::string>& args) {
  const auto says = [&](const fleet::RuleResult& result) {
    return result.outcome == fleet::Outcome::kReject && reasons_.says(result.reason, code) &&
           std::all_of(args.begin(), args.end(), [&](const auto& arg) {
             const auto at = result.args.find(arg.first);
             return at != result.args.end() && at->second == arg.second;
           });
  };
  bool said = false;
  for (const auto& line : lines_) said = said || std::any_of(line.results.begin(), line.results.end(), says);
  std::string text;
  for (const auto& [name, value] : args) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, value);
  check(said, fmt::format("{}: nothing says it with {}", code, printable(text)));
}

/// Each step of the other scheduler looks at a part of the request; what the step does not look at has room here.
void Comparison::evaluate() {
  const auto& e = case_.expected;
  constexpr std::array<std::string_view, 3> kSteps = {"architecture_support", "model_metadata", "environment"};
  if (std::find(kSteps.begin(), kSteps.end(), case_.step) == kSteps.end())
    return differs(fmt::format("the step \"{}\" is not run yet", printable(case_.step)));
  not_compared();
  if (e.compatible)
    check(decision_.verdict != Verdict::kUnknown && *e.compatible == (decision_.verdict == Verdict::kFits),
          fmt::format("compatible: expected {}, got {}", truth(*e.compatible), decision_.summary));
  listed_reasons();
  if (e.detected_categories) categories(*e.detected_categories);
}

void Comparison::categories(const std::vector<std::string>& expected) {
  if (!case_.model_facts) return differs("detected_categories is expected, but the case tells no facts of the model");
  const auto& named = case_.model_facts->architectures;
  const auto task = named ? task_of_architectures(*named) : fail(Code::kNotFound, "the case names no architecture");
  std::set<std::string> wanted;
  for (const auto& category : expected)
    if (const auto ours = task_of_category(category)) wanted.insert(*ours);
  check(task && wanted.size() == expected.size() && wanted == std::set<std::string>{*task},
        fmt::format("detected_categories: expected {}, got {}",
                    printable(join(expected, ", ")),
                    task ? *task : task.error().message));
}

void Comparison::count() {
  const auto& e = case_.expected;
  not_compared();
  if (e.accepted)
    check(decision_.verdict != Verdict::kUnknown && *e.accepted == (decision_.verdict == Verdict::kFits),
          fmt::format("accepted: expected {}, got {}", truth(*e.accepted), decision_.summary));
  std::uint64_t devices = 0;
  if (!decision_.plans.empty())
    for (const auto& worker : decision_.plans.front().workers) devices += worker.devices.size();
  const std::string got = decision_.plans.empty() ? "no plan: " + decision_.summary : std::to_string(devices);
  for (const auto& [name, expected] : {std::pair{"gpus_per_replica", e.gpus_per_replica}, {"gpu_count", e.gpu_count}})
    if (expected) check(*expected == devices, fmt::format("{}: expected {}, got {}", name, *expected, got));
  listed_reasons();
  if (e.bypass_active) bypass(*e.bypass_active);
}

/// The question is put to decide(): are sizes that make more ranks than a replica has devices let through?
void Comparison::bypass(bool expected) {
  fleet::Request request = world_.request;
  auto& r = request.restriction;
  const auto selected = static_cast<std::uint32_t>(r.devices.size());
  r.tensor_parallel = 2 * r.devices_per_replica.value_or(selected / request.replicas);
  bool active = false;  // without a selection there is nothing that sizes could disagree with
  if (selected > 0) {
    const auto decision = placement::decide(world_.snapshot, request, world_.policy, world_.catalog);
    active = true;
    for (const auto& line : lines_of({world_.snapshot, request, world_.catalog, world_.policy}, decision))
      for (const auto& result : line.results)
        if (result.outcome == fleet::Outcome::kReject && reasons_.says(result.reason, std::string(kCountMismatch)))
          active = false;
  }
  check(active == expected,
        fmt::format("bypass_active: expected {}, got {}: a replica with more ranks than devices is {}",
                    truth(expected),
                    truth(active),
                    active ? "let through" : "never let through"));
}

}  // namespace berth::cli::conformance
