#include "cli/conformance/judge.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/conformance/compare.h"
#include "cli/conformance/kind_facts.h"
#include "cli/conformance/kind_score.h"
#include "cli/conformance/known_model.h"
#include "placement/decide.h"
#include "wire/catalog.h"
#include "wire/json.h"
#include "wire/model_catalog.h"

namespace berth::cli::conformance {
namespace {

void add_lines(std::vector<Line>& out, const fleet::WorkerLine& line, const std::string& worker) {
  const bool named = std::find(line.examples.begin(), line.examples.end(), worker) != line.examples.end();
  if (named) out.push_back({worker, line.engine, line.results});
}

CaseResult unreadable(std::string id, const Error& error) {
  const bool strange = error.code == Code::kNotSupported;
  const std::string_view what = strange ? "not understood" : "cannot be read";
  return failed_case(std::move(id), fmt::format("{}: {}", what, error.message));
}

/// Reads a case of its kind and runs it.
struct Kind {
  std::string_view name;
  CaseResult (*run)(const Judge&, std::string_view json, const std::string& id);
};

CaseResult run_decided(const Judge& judge, std::string_view json, const std::string& id) {
  const auto c = read_case(json);
  return c ? judge.run(*c) : unreadable(id, c.error());
}

CaseResult run_facts_of(const Judge&, std::string_view json, const std::string& id) {
  const auto c = read_facts_case(json);
  return c ? run_facts(*c) : unreadable(id, c.error());
}

constexpr std::array kKinds = {
    Kind{kKindSchedule, run_decided},
    Kind{kKindFilter, run_decided},
    Kind{kKindCount, run_decided},
    Kind{kKindEvaluate, run_decided},
    Kind{kKindScore, run_decided},
    Kind{kKindScaleDown, run_decided},
    Kind{kKindFacts, run_facts_of},
};

/// What is compared of a decision, by the kind of the case.
constexpr std::array kDecided = {
    std::pair{kKindSchedule, &Comparison::schedule},
    std::pair{kKindFilter, &Comparison::filter},
    std::pair{kKindCount, &Comparison::count},
    std::pair{kKindEvaluate, &Comparison::evaluate},
};

}  // namespace

std::vector<Line> lines_of(const World& world, const fleet::Decision& decision) {
  std::vector<Line> out;
  const bool one_each = std::all_of(
      decision.report.lines.begin(), decision.report.lines.end(), [](const auto& line) { return line.workers == 1; });
  world.snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    if (one_each) {
      for (const auto& line : decision.report.lines) add_lines(out, line, entry.worker.name);
      return;
    }
    // A line of several workers that are alike has the numbers of the first: asked alone, each has its own.
    const fleet::FleetSnapshot empty = *fleet::FleetSnapshot::build({}, world.snapshot.not_carried());
    const auto alone = empty.with(std::make_shared<const fleet::WorkerEntry>(entry));
    const auto d = placement::decide(alone, world.request, world.policy, world.catalog);
    for (const auto& line : d.report.lines) add_lines(out, line, entry.worker.name);
  });
  return out;
}

Result<Judge> Judge::embedded(fleet::Policy policy) {
  Judge judge;
  judge.policy = std::move(policy);
  TRY(judge.catalog, wire::embedded_catalog());
  TRY(judge.models, wire::embedded_models());
  TRY(judge.reasons, read_reason_map(embedded_reasons()));
  return judge;
}

CaseResult Judge::run(std::string_view json) const {
  const auto head = read_head(json);
  if (!head) return unreadable("", head.error());
  const auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.name == head->kind; });
  if (kind == kKinds.end())
    return failed_case(head->id, fmt::format("kind \"{}\" is not run yet", printable(head->kind)));
  return kind->run(*this, json, head->id);
}

CaseResult Judge::run(const Case& as_written) const {
  if (as_written.kind == kKindScore) return run_score(normalised(as_written), catalog, policy);
  if (as_written.kind == kKindScaleDown) return run_scale_down(normalised(as_written), catalog);
  const auto known =
      std::find_if(kDecided.begin(), kDecided.end(), [&](const auto& kind) { return kind.first == as_written.kind; });
  if (known == kDecided.end())
    return failed_case(as_written.id, fmt::format("kind \"{}\" is not run yet", printable(as_written.kind)));
  Case c = with_known_model(normalised(as_written), models);
  if (c.kind == kKindCount || c.kind == kKindEvaluate) {
    auto roomy = with_room(std::move(c));
    if (!roomy) return failed_case(as_written.id, fmt::format("not understood: {}", roomy.error().message));
    c = std::move(*roomy);
  }
  std::map<std::int64_t, std::int64_t> ids;
  if (policy.candidates == "listed" && c.kind == kKindSchedule) c = in_order(std::move(c), ids);
  auto world = to_world(c, catalog, policy);
  if (!world) return failed_case(c.id, fmt::format("not understood: {}", world.error().message));
  world->workers = std::move(ids);
  const auto decision = placement::decide(world->snapshot, world->request, world->policy, world->catalog);
  Comparison comparison(c, *world, decision, reasons);
  if (strict) comparison.be_strict();
  comparison.facts_hold();
  for (const auto& plan : decision.plans) {
    const auto verification = placement::verify(world->snapshot, world->request, world->policy, world->catalog, plan);
    comparison.plan_holds(plan, verification);
  }
  (comparison.*known->second)();
  CaseResult result{.id = c.id,
                    .passed = false,
                    .compared = comparison.compared(),
                    .differences = comparison.differences(),
                    .left_out = comparison.left_out()};
  if (result.compared == 0) result.differences.emplace_back("nothing in it could be compared");
  result.passed = result.differences.empty();
  return result;
}

}  // namespace berth::cli::conformance
