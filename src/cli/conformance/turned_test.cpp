// Each case with one fact turned must give the turned lines and verdict. What is expected comes from the facts of the
// turned case alone: a table of facts, each with the reasons that a worker without it must show.
#include <algorithm>
#include <array>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <functional>

#include "base/text.h"
#include "cli/conformance/judge.h"
#include "cli/inputs.h"
#include "placement/decide.h"
#include "wire/json.h"

namespace berth::cli::conformance {
namespace {

struct Turned {
  std::string what;
  Case c;
};

const Judge& turned_judge() {
  static const Judge kJudge = *Judge::embedded();
  return kJudge;
}

std::vector<Case> cases(std::string_view pattern) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/conformance/cases"))
    if (glob_match(pattern, entry.path().stem().string())) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  std::vector<Case> out;
  for (const auto& file : files) out.push_back(*read_case(*read_text_file(file)));
  return out;
}

// ---- facts ----

bool lists(const std::vector<std::string>& list, const std::string& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

std::vector<std::string> chosen_on(const Case& c, const CaseWorker& w) {
  std::vector<std::string> out;
  if (!c.model->gpu_selector) return out;
  for (const auto& id : c.model->gpu_selector->gpu_ids)
    if (id.starts_with(w.name + ":")) out.push_back(id);
  return out;
}

bool is_ready(const Case&, const CaseWorker& w, const engines::Engine&) {
  return w.state == "ready" || w.state == "Running";
}
bool is_labelled(const Case& c, const CaseWorker& w, const engines::Engine&) {
  return std::all_of(c.model->worker_selector.begin(), c.model->worker_selector.end(), [&](const auto& wanted) {
    const auto has = w.labels.find(wanted.first);
    return has != w.labels.end() && has->second == wanted.second;
  });
}
bool is_selected(const Case& c, const CaseWorker& w, const engines::Engine&) {
  return !c.model->gpu_selector || !chosen_on(c, w).empty();
}
bool has_system(const Case&, const CaseWorker& w, const engines::Engine& engine) {
  return std::any_of(engine.rows.begin(), engine.rows.end(), [&](const auto& row) { return lists(row.os, *w.os); });
}
bool has_build(const Case& c, const CaseWorker& w, const engines::Engine& engine) {
  if (!has_system(c, w, engine)) return true;  // nothing is said of the vendor then
  return std::any_of(engine.rows.begin(), engine.rows.end(), [&](const auto& row) {
    if (!lists(row.os, *w.os)) return false;
    if (row.vendor == "cpu") return !c.model->gpu_selector;
    return std::any_of(w.gpus.begin(), w.gpus.end(), [&](const CaseGpu& gpu) { return gpu.vendor == row.vendor; });
  });
}

struct Fact {
  std::string_view name;
  bool (*holds)(const Case&, const CaseWorker&, const engines::Engine&);
  std::vector<std::string> reasons;
  std::string code;  // in the words of the cases
};

const std::vector<Fact>& facts() {
  static const std::vector<Fact> kFacts = {
      {"state", is_ready, {"worker_not_ready"}, "worker_not_ready"},
      {"labels", is_labelled, {"label_mismatch"}, "label_mismatch"},
      {"selection", is_selected, {"not_selected"}, ""},
      {"system", has_system, {"engine_os"}, "backend_unsupported_on_worker"},
      {"vendor", has_build, {"engine_vendor", "needs_device", "device_selected"}, "backend_unsupported_on_worker"},
  };
  return kFacts;
}

/// Enough devices of it may be used for one replica. The models of these cases are small beside their devices.
bool has_devices(const Case& c, const CaseWorker& w) {
  const auto& selector = c.model->gpu_selector;
  if (!selector) return !w.gpus.empty();
  std::size_t usable = 0;
  for (const auto& id : chosen_on(c, w))
    for (const auto& gpu : w.gpus) usable += id == fmt::format("{}:{}:{}", w.name, gpu.runtime, gpu.index) ? 1 : 0;
  return usable >= selector->gpus_per_replica.value_or(1) && usable > 0;
}

const engines::Engine* engine_of(const Case& c) {
  const auto& model = *c.model;
  return turned_judge().catalog.find(engine_id(model.backend_requested.value_or(model.backend_resolved.value_or(""))));
}

bool some_worker_has_all(const Case& c) {
  const auto* engine = engine_of(c);
  return engine != nullptr && std::any_of(c.fleet.workers.begin(), c.fleet.workers.end(), [&](const CaseWorker& w) {
           return has_devices(c, w) && std::all_of(facts().begin(), facts().end(), [&](const Fact& fact) {
                    return fact.holds(c, w, *engine);
                  });
         });
}

// ---- turning one fact ----

/// Gives the worker the devices of another maker; a selection of its devices follows them.
void set_devices(Case& c, CaseWorker& w, std::string_view vendor, std::string_view runtime) {
  for (auto& gpu : w.gpus) {
    if (c.model->gpu_selector)
      for (auto& id : c.model->gpu_selector->gpu_ids)
        if (id == fmt::format("{}:{}:{}", w.name, gpu.runtime, gpu.index))
          id = fmt::format("{}:{}:{}", w.name, runtime, gpu.index);
    const bool nvidia = vendor == "nvidia";
    gpu.vendor = vendor;
    gpu.runtime = runtime;
    gpu.name = vendor == "ascend" ? "910B3" : fmt::format("{} device", vendor);
    gpu.compute_capability = nvidia ? std::optional<std::string>("8.9") : std::nullopt;
    gpu.driver_version = nvidia ? std::optional<std::string>("550.54") : std::nullopt;
    gpu.runtime_version = nvidia ? std::optional<std::string>("12.9") : std::nullopt;
    gpu.memory.unified = vendor == "apple";
  }
  w.memory.unified = vendor == "apple";
}

void turn_system(Case& c, CaseWorker& w) {
  const bool to_linux = w.os == "darwin";
  w.os = to_linux ? "linux" : "darwin";
  w.arch = to_linux ? "amd64" : "arm64";
  set_devices(c, w, to_linux ? "nvidia" : "apple", to_linux ? "cuda" : "mps");
}

void turn_vendor(Case& c, CaseWorker& w) {
  if (w.gpus.empty()) {
    w.gpus.push_back({.vendor = "", .runtime = "", .index = 0, .name = "", .memory = {24 * kGiB, false}});
    return set_devices(c, w, "nvidia", "cuda");
  }
  const bool nvidia = w.gpus.front().vendor == "nvidia";
  if (!nvidia) return set_devices(c, w, "nvidia", "cuda");
  const bool for_ascend = engine_id(c.model->backend_requested.value_or("")) == "mindie";
  set_devices(c, w, for_ascend ? "ascend" : "amd", for_ascend ? "cann" : "rocm");
}

void select_only(Case& c, const CaseWorker& w) {
  const auto wanted = c.model->gpu_selector ? c.model->gpu_selector->gpus_per_replica.value_or(1) : 1;
  CaseGpuSelector selector{.gpu_ids = {}, .gpus_per_replica = wanted};
  for (const auto& gpu : w.gpus)
    if (selector.gpu_ids.size() < wanted)
      selector.gpu_ids.push_back(fmt::format("{}:{}:{}", w.name, gpu.runtime, gpu.index));
  c.model->gpu_selector = std::move(selector);
}

void turn_label(CaseWorker& w, const std::string& key, const std::string& wanted) {
  auto& value = w.labels[key];
  value = value == wanted ? wanted + "-not" : wanted;
}

std::vector<Turned> all_turned(const Case& c) {
  std::vector<Turned> out;
  const auto turn = [&](std::string what, const std::function<void(Case&)>& change) {
    out.push_back({c.id + ", " + std::move(what), c});
    change(out.back().c);
  };
  for (std::size_t i = 0; i < c.fleet.workers.size(); ++i) {
    const auto& w = c.fleet.workers[i];
    turn("state of " + w.name, [&](Case& t) {
      auto& state = t.fleet.workers[i].state;
      state = state == "ready" || state == "Running" ? "not_ready" : "ready";
    });
    turn("system of " + w.name, [&](Case& t) { turn_system(t, t.fleet.workers[i]); });
    turn("vendor of " + w.name, [&](Case& t) { turn_vendor(t, t.fleet.workers[i]); });
    for (const auto& [key, wanted] : c.model->worker_selector)
      turn("label of " + w.name, [&](Case& t) { turn_label(t.fleet.workers[i], key, wanted); });
    if (!w.gpus.empty()) turn("selection to " + w.name, [&](Case& t) { select_only(t, w); });
  }
  if (c.model->gpu_selector) turn("no selection", [](Case& t) { t.model->gpu_selector.reset(); });
  turn("the other engine", [](Case& t) {
    t.model->backend_requested = engine_of(t) == nullptr ? "vLLM" : "MindIE";
    t.model->backend_resolved = t.model->backend_requested;
    t.backend_catalog.clear();
  });
  return out;
}

// ---- what must come of it ----

void check_lines(const Case& c) {
  const auto world = to_world(c, turned_judge().catalog);
  REQUIRE_MESSAGE(world, (world ? "" : world.error().message));
  const auto decision = placement::decide(world->snapshot, world->request, {}, world->catalog);
  const auto lines = lines_of(*world, decision);
  if (world->request.restriction.engine && world->catalog.find(*world->request.restriction.engine) == nullptr) {
    CHECK(lines.empty());
    REQUIRE(!decision.report.request.empty());
    CHECK(decision.report.request.front().reason == "unknown_engine");
    return;
  }
  CHECK(lines.size() >= c.fleet.workers.size());
  for (const auto& line : lines) {
    CAPTURE(line.worker);
    CAPTURE(line.engine);
    const auto w = std::find_if(
        c.fleet.workers.begin(), c.fleet.workers.end(), [&](const CaseWorker& x) { return x.name == line.worker; });
    REQUIRE(w != c.fleet.workers.end());
    for (const auto& fact : facts()) {
      const bool rejected = std::any_of(line.results.begin(), line.results.end(), [&](const fleet::RuleResult& r) {
        return r.outcome == fleet::Outcome::kReject && lists(fact.reasons, r.reason);
      });
      CAPTURE(fact.name);
      CHECK(rejected == !fact.holds(c, *w, *world->catalog.find(line.engine)));
    }
  }
}

void expect_schedule(Case& c) {
  c.expected = {};
  c.expected.feasible = some_worker_has_all(c);
  c.expected.reasons_any_of_per_entry.emplace();
  const auto* engine = engine_of(c);
  if (engine == nullptr) return c.expected.reasons_any_of_per_entry->push_back({"backend_unsupported_on_worker"});
  for (const auto& w : c.fleet.workers)
    for (const auto& fact : facts())
      if (!fact.code.empty() && !fact.holds(c, w, *engine)) c.expected.reasons_any_of_per_entry->push_back({fact.code});
}

void expect_filter(Case& c) {
  static const std::map<std::string, std::string_view> kStages = {
      {"ready", "state"}, {"labels", "labels"}, {"gpu_selector", "selection"}};
  const auto stage = kStages.at(c.filter);
  const auto fact = std::find_if(facts().begin(), facts().end(), [&](const Fact& f) { return f.name == stage; });
  c.expected = {};
  c.expected.passed.emplace();
  c.expected.rejected.emplace();
  for (const auto& w : c.fleet.workers)
    (fact->holds(c, w, turned_judge().catalog.engines().front()) ? c.expected.passed : c.expected.rejected)
        ->push_back(w.name);
  if (fact->code.empty() || c.expected.rejected->empty()) return;
  c.expected.reasons = wire::RawJson{fmt::format(
      R"([{{"code":"{}","matched":{},"of":{}}}])", fact->code, c.expected.passed->size(), c.fleet.workers.size())};
}

void check_judged(const Case& c) {
  const auto result = turned_judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
}

struct Tally {
  int turned = 0;
  int verdicts = 0;
  int sets = 0;
};

void check_case(const Case& original, Tally& tally) {
  const bool schedule = original.kind == kKindSchedule;
  for (auto& [what, c] : all_turned(original)) {
    CAPTURE(what);
    ++tally.turned;
    const bool asked = c.model->backend_requested.has_value();
    if (!schedule && asked && engine_of(c) == nullptr) continue;  // no line says anything of stages then
    check_lines(c);
    const auto before = c.expected;
    schedule ? expect_schedule(c) : expect_filter(c);
    check_judged(c);
    const bool flipped = schedule && before.feasible != c.expected.feasible;
    const bool moved = !schedule && before.passed != c.expected.passed;
    tally.verdicts += flipped ? 1 : 0;
    tally.sets += moved ? 1 : 0;
    if (!flipped && !moved) continue;
    c.expected = before;  // the old answer is wrong now, and the judge must see it
    CHECK_FALSE(turned_judge().run(c).passed);
  }
}

}  // namespace

TEST_CASE("each scheduling case with one fact turned gives the turned lines and verdict") {
  int turned = 0;
  for (const auto* pattern : {"issue-1933*", "issue-1778*", "issue-1548*", "issue-3701*"})
    for (const auto& c : cases(pattern)) {
      CAPTURE(c.id);
      Tally one;
      check_lines(c);
      check_case(c, one);
      CHECK(one.turned >= 5);
      CHECK(one.verdicts > 0);
      turned += one.turned;
    }
  CHECK(turned >= 50);
}

TEST_CASE("each filter and label case with one fact turned passes and rejects the turned workers") {
  for (const auto* pattern : {"filter-state-*", "filter-gpu-selector-*", "label-*"})
    for (const auto& c : cases(pattern)) {
      CAPTURE(c.id);
      Tally one;
      check_lines(c);
      check_case(c, one);
      CHECK(one.turned >= 8);
      CHECK(one.sets > 0);
    }
}

}  // namespace berth::cli::conformance
