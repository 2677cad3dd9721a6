#include "cli/scenario.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/inputs.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

using fleet::Outcome;

std::string listed(std::vector<std::string> items) { return "[" + join(items, ", ") + "]"; }

class Comparison {
 public:
  Comparison(const wire::Expect& expect, ScenarioResult& result) : expect_(expect), result_(result) {}

  void run(const std::string& text) {
    const auto& d = result_.answer.answer.decision;
    if (expect_.verdict) same("verdict", wire::enum_name(*expect_.verdict), wire::enum_name(d.verdict));
    if (expect_.fit_count) same("fit_count", std::to_string(*expect_.fit_count), std::to_string(d.fit_count));
    if (expect_.exit_code) same("exit_code", std::to_string(*expect_.exit_code), std::to_string(exit_code(d)));
    if (expect_.plans) plans(*expect_.plans, d.plans);
    for (const auto& line : expect_.lines) this->line(line, d.report);
    if (expect_.fixes) fixes(*expect_.fixes);
    for (const auto& piece : expect_.contains)
      check(text.find(piece) != std::string::npos, fmt::format("the text does not contain \"{}\"", piece));
  }

 private:
  void check(bool ok, std::string difference) {
    ++result_.compared;
    if (!ok) result_.differences.push_back(std::move(difference));
  }
  void same(std::string_view what, const std::string& wanted, const std::string& got) {
    check(wanted == got, fmt::format("{}: expected {}, got {}", what, wanted, got));
  }

  static std::vector<std::string> devices_of(const fleet::Plan& plan) {
    std::vector<std::string> out;
    for (const auto& part : plan.workers)
      for (const auto& device : part.devices)
        out.push_back(plan.workers.size() > 1 ? part.worker_name + "/" + device : device);
    return out;
  }

  void plans(const std::vector<wire::ExpectPlan>& wanted, const std::vector<fleet::Plan>& got) {
    same("plans", std::to_string(wanted.size()), std::to_string(got.size()));
    for (std::size_t i = 0; i < std::min(wanted.size(), got.size()); ++i) {
      const auto& w = wanted[i];
      const auto& p = got[i];
      const auto at = fmt::format("plans[{}]", i);
      if (!w.worker.empty()) same(at + ".worker", w.worker, p.workers.empty() ? "none" : p.workers.front().worker_name);
      if (!w.engine.empty()) same(at + ".engine", w.engine, p.engine);
      if (!w.layout.empty()) same(at + ".layout", w.layout, p.layout);
      if (w.devices) same(at + ".devices", listed(*w.devices), listed(devices_of(p)));
      if (w.tensor_parallel)
        same(at + ".tensor_parallel", std::to_string(*w.tensor_parallel), std::to_string(p.tensor_parallel));
      if (w.pipeline_parallel)
        same(at + ".pipeline_parallel", std::to_string(*w.pipeline_parallel), std::to_string(p.pipeline_parallel));
      if (w.offload_layers)
        same(at + ".offload_layers",
             std::to_string(*w.offload_layers),
             p.offload_layers ? std::to_string(*p.offload_layers) : "absent");
    }
  }

  void line(const wire::ExpectLine& wanted, const fleet::Report& report) {
    const auto at = fmt::format("line of {}{}", wanted.worker, wanted.engine.empty() ? "" : " with " + wanted.engine);
    const auto found = std::find_if(report.lines.begin(), report.lines.end(), [&](const fleet::WorkerLine& l) {
      const bool named = std::find(l.examples.begin(), l.examples.end(), wanted.worker) != l.examples.end();
      return named && (wanted.engine.empty() || l.engine == wanted.engine);
    });
    check(found != report.lines.end(), fmt::format("{}: the report has none", at));
    if (found == report.lines.end()) return;
    std::vector<std::string> rejects, reasons, skipped, passes;
    for (const auto& r : found->results) {
      if (r.outcome == Outcome::kReject) rejects.push_back(r.rule);
      if (r.outcome == Outcome::kPass) passes.push_back(r.rule);
      if (r.outcome == Outcome::kNotEvaluated) skipped.push_back(r.rule);
      if (!r.reason.empty()) reasons.push_back(r.reason);
    }
    if (wanted.rejects) {
      auto sorted = *wanted.rejects;
      std::sort(sorted.begin(), sorted.end());
      auto got = rejects;
      std::sort(got.begin(), got.end());
      same(at + ", rejects", listed(sorted), listed(got));
    }
    holds(at + ", reasons", wanted.reasons, reasons);
    holds(at + ", not evaluated", wanted.not_evaluated, skipped);
    holds(at + ", passes", wanted.passes, passes);
    if (wanted.would_fit)
      same(at + ", would_fit", *wanted.would_fit ? "true" : "false", found->would_fit ? "true" : "false");
  }

  void holds(const std::string& what, const std::vector<std::string>& wanted, const std::vector<std::string>& got) {
    for (const auto& item : wanted)
      check(std::find(got.begin(), got.end(), item) != got.end(),
            fmt::format("{}: {} is missing, got {}", what, item, listed(got)));
  }

  void fixes(const std::vector<std::vector<std::string>>& wanted) {
    const auto kinds = [](const std::vector<std::vector<std::string>>& list) {
      std::vector<std::string> out;
      for (const auto& one : list) out.push_back(listed(one));
      return listed(out);
    };
    std::vector<std::vector<std::string>> got;
    for (const auto& fix : result_.answer.answer.fixes) {
      got.emplace_back();
      for (const auto& change : fix.changes) got.back().push_back(change.kind);
    }
    same("fixes", kinds(wanted), kinds(got));
  }

  const wire::Expect& expect_;
  ScenarioResult& result_;
};

}  // namespace

ScenarioResult compare(const wire::Expect& expect, Answer answer, const std::string& text) {
  ScenarioResult result{.answer = std::move(answer), .compared = 0, .differences = {}};
  Comparison(expect, result).run(text);
  return result;
}

Result<ScenarioResult> run_scenario_file(const std::string& path) {
  TRY(const auto text, read_text_file(path));
  auto file = wire::read_scenario_file(text);
  if (!file) return in(path, std::move(file).error());
  auto snapshot = wire::to_snapshot(file->fleet);
  if (!snapshot) return in(path, std::move(snapshot).error());
  const FactsOptions options{.base = std::filesystem::path(path).parent_path(), .metadata_only = true};
  auto request = request_from(file->request, options);
  if (!request) return in(path, std::move(request).error());
  auto answer = decide_offline(*snapshot, *request, file->policy.value_or(fleet::Policy()));
  if (!answer) return in(path, std::move(answer).error());
  constexpr std::size_t kUnbroken = 100'000;  // so that expected texts need not know where lines break
  const std::string rendered =
      render(Terminal(false, true),
             answer->answer.decision,
             answer->answer.fixes,
             answer->figures,
             {.verbose = false, .language = placement::Language::kEnglish, .width = kUnbroken});
  return compare(file->expect, std::move(*answer), rendered);
}

}  // namespace berth::cli
