// The recorded cases that must pass, and cases that must not: a judge that cannot fail judges nothing.
#include "cli/conformance/conformance.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>

#include "base/text.h"
#include "cli/conformance/facts.h"
#include "cli/conformance/judge.h"
#include "cli/inputs.h"
#include "cli/testing.h"
#include "placement/rules/rule.h"
#include "wire/json.h"

namespace berth::cli::conformance {
namespace {

const std::string kCases = "tests/conformance/cases";

const Judge& judge() {
  static const Judge kJudge = [] {
    auto judge = Judge::embedded();
    REQUIRE_MESSAGE(judge, (judge ? "" : judge.error().message));
    return std::move(*judge);
  }();
  return kJudge;
}

std::uint64_t case_count() {
  std::uint64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kCases))
    count += entry.path().extension() == ".json" ? 1 : 0;
  return count;
}

Case load(const std::string& id) {
  const auto text = read_text_file(kCases + "/" + id + ".json");
  REQUIRE(text);
  auto c = read_case(*text);
  REQUIRE_MESSAGE(c, (c ? "" : c.error().message));
  return std::move(*c);
}

/// The only difference that the judge names.
std::string difference(const Case& c) {
  const auto result = judge().run(c);
  CHECK_FALSE(result.passed);
  return join(result.differences, " | ");
}

std::string difference(std::string_view json) {
  const auto result = judge().run(json);
  CHECK_FALSE(result.passed);
  return join(result.differences, " | ");
}

CasePlace place_on(const std::string& worker) {
  CasePlace place;
  place.worker = worker;
  return place;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every case on state, labels, selection and these issues passes") {
  for (const auto* pattern : {"issue-1933*",
                              "issue-1778*",
                              "issue-1548*",
                              "issue-3701*",
                              "filter-state-*",
                              "filter-gpu-selector-*",
                              "label-*",
                              "evaluate-*",
                              "vllm-gpu-count-*",
                              "score-*"}) {
    CAPTURE(pattern);
    const auto summary = run_conformance({.folder = kCases, .only = pattern});
    REQUIRE_MESSAGE(summary, (summary ? "" : summary.error().message));
    CHECK(summary->passed > 0);
    CHECK(summary->failed == 0);
    CHECK(summary->passed + summary->failed + summary->skipped == case_count());
    for (const auto& line : summary->cases) CHECK_MESSAGE(line.passed, line.id, ": ", join(line.differences, "; "));
  }
}

TEST_CASE("every reason of berth is in reasons.json exactly once, and what is compiled in is that file") {
  const auto file = read_text_file("tests/conformance/reasons.json");
  REQUIRE(file);
  CHECK(*file == embedded_reasons());
  std::set<std::string> named(judge().reasons.without_counterpart.begin(), judge().reasons.without_counterpart.end());
  for (const auto& [ours, theirs] : judge().reasons.reasons) named.insert(ours);
  std::set<std::string> known;
  for (auto r = placement::Reason::kInvalidRequest; r <= placement::Reason::kInternalError;
       r = static_cast<placement::Reason>(static_cast<int>(r) + 1))
    known.emplace(placement::reason_name(r));
  CHECK(named == known);
  for (const auto& reason : checked_reasons()) CHECK_MESSAGE(known.contains(reason), reason);
  for (const auto& [stage, reasons] : judge().reasons.stages)
    for (const auto& reason : reasons) CHECK_MESSAGE(known.contains(reason), stage, ": ", reason);
}

TEST_CASE("a case that is not run, not understood or compares nothing is failed with the reason") {
  CHECK(has(difference("{"), "cannot be read"));
  CHECK(has(difference(R"({"schema":"sched-case/2","id":"x","kind":"schedule"})"), "schema is \"sched-case/2\""));
  CHECK(has(difference(R"({"schema":"sched-case/1","id":"x","kind":"dance"})"), "kind \"dance\" is not run yet"));
  CHECK(has(difference(R"({"schema":"sched-case/1","id":"x","kind":"filter"})"), "the case has no model"));

  auto c = load("issue-1933-auto");
  c.expected = {};
  CHECK(difference(c) == "nothing in it could be compared");
  c = load("filter-state-pending");
  c.filter = "local_path";
  CHECK(has(difference(c), "the filter \"local_path\" is not run yet"));

  c = load("filter-state-pending");
  c.fleet.workers.front().state = "asleep";
  CHECK(has(difference(c), "\"asleep\", which is not understood"));
  c = load("issue-1933-auto");
  c.model->env["GPUSTACK_MODEL_VRAM_CLAIM"] = "1";
  CHECK(has(difference(c), "model.env"));
  c = load("issue-1933-auto");
  c.fleet.workers.back().gpus.front().runtime = "abacus";
  CHECK(has(difference(c), "runtime \"abacus\" is not understood"));
  c = load("issue-1933-auto");
  c.expected.reasons_any_of_per_entry->push_back({"no_such_reason"});
  CHECK(has(difference(c), "no reason of berth says this"));
}

TEST_CASE("an expectation that does not hold fails the case") {
  auto c = load("issue-1933-auto");
  c.expected.feasible = true;
  CHECK(has(difference(c), "feasible: expected true, got does_not_fit"));
  c = load("issue-1933-auto");
  c.expected.reasons_any_of_per_entry = {{"label_mismatch"}};
  CHECK(has(difference(c), "none of the reasons [label_mismatch] is reported"));
  c = load("label-arch-label");
  c.expected.passed = {"a"};
  CHECK(has(difference(c), "passed: expected [a], got [c]"));
  c = load("filter-state-pending");
  c.expected.reasons = wire::RawJson{R"([{"code":"worker_not_ready","matched":1,"of":3}])"};
  CHECK(has(difference(c), "expected 1 of 3 workers to match, got 2 of 3"));
  c = load("filter-gpu-selector-one-of-two");
  c.expected.reasons = wire::RawJson{R"([{"code":"gpu_selector_workers_missing","missing":"b"}])"};
  CHECK(has(difference(c), "nothing says that b is missing"));
  c = load("issue-3701-selected-worker-not-ready");
  c.expected.choice_must_have = place_on("cce-a30-08");
  CHECK(has(difference(c), "choice_must_have: expected cce-a30-08, got no plan"));
}

TEST_CASE("every expectation of a case is compared, or the case is failed for it") {
  const auto text = read_text_file(kCases + "/issue-1933-auto.json");
  REQUIRE(text);
  const auto expecting = [&](const std::string& expected) {
    const auto at = text->find("\"expected\"");
    const auto end = text->find('}', at);
    return difference(text->substr(0, at) + "\"expected\": " + expected + text->substr(end + 1));
  };
  CHECK(expecting(R"({"feasible": false, "feasable": true})") ==
        "not understood: expected.feasable is not known; did you mean \"feasible\"?");
  CHECK(expecting(R"({"feasible": false, "choice_must_have": {"worker": "x", "never": 3}})")
            .starts_with("not understood: expected.choice_must_have.never is not known"));
  CHECK(has(expecting(R"({"feasible": false, "pipeline": []})"), "expected.pipeline is not compared"));
  CHECK(has(expecting(R"({"feasible": false, "choice_index_by_score": 0})"), "choice_index_by_score is not compared"));
  CHECK(has(expecting(R"({"feasible": false, "passed": []})"), "expected.passed is not compared"));
  CHECK(has(expecting(R"({"feasible": false, "reasons": [{"code": "worker_not_ready", "heads": 3}]})"),
            "expected.reasons is not compared: $.reasons[0].heads is not known"));
}

TEST_CASE("reasons of a scheduling case are compared, each on the worker that it is about") {
  auto c = load("issue-1933-auto");
  c.expected.reasons = wire::RawJson{R"([{"code":"worker_not_ready","worker":"linux-gpu-01","matched":1,"of":2},
                                         {"code":"backend_unsupported_on_worker","worker":"mac-studio-m2-ultra"}])"};
  CHECK(judge().run(c).passed);
  c.expected.reasons = wire::RawJson{R"([{"code":"worker_not_ready","worker":"mac-studio-m2-ultra"}])"};
  CHECK(difference(c) == "worker_not_ready is not reported as a reject on worker mac-studio-m2-ultra");
  c.expected.reasons = wire::RawJson{R"([{"code":"no_layer_split_fits","worker":"mac-studio-m2-ultra"}])"};
  CHECK(difference(c) == "reason no_layer_split_fits: no reason of berth says this yet");
}

TEST_CASE("a selected worker that is gone is missing, a selected device of one that is there is not that") {
  auto c = load("issue-1933-manual-mac-gpu");
  c.expected.reasons_any_of_per_entry = {{"gpu_selector_workers_missing"}};
  c.model->gpu_selector->gpu_ids = {"mac-studio-m2-ultra:mps:7"};
  CHECK(has(difference(c), "none of the reasons [gpu_selector_workers_missing] is reported"));
  c.fleet.workers.erase(c.fleet.workers.begin());
  const auto result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
  c.expected.reasons = wire::RawJson{R"([{"code":"gpu_selector_workers_missing","missing":"mac-studio-m2-ultra"}])"};
  CHECK(judge().run(c).passed);
  c.expected.reasons = wire::RawJson{R"([{"code":"gpu_selector_workers_missing","missing":"linux-gpu-01"}])"};
  CHECK(has(difference(c), "nothing says that linux-gpu-01 is missing"));
}

TEST_CASE("a choice is compared by worker, runtime, devices, claim and further workers, and null means none") {
  auto c = load("issue-1933-auto");
  c.fleet.workers.back().state = "ready";
  c.expected = {};
  c.expected.feasible = true;
  const auto choosing = [&](const std::string& choice) {
    c.expected.choice = wire::RawJson{choice};
    return difference(c);
  };
  CHECK(choosing("null") == "choice: expected none, got linux-gpu-01");
  CHECK(choosing(R"({"worker":"linux-gpu-01","gpu_indexes":[1]})") == "choice.gpu_indexes: expected 1, got 0");
  CHECK(choosing(R"({"worker":"linux-gpu-01","gpu_runtime":"rocm"})") == "choice.gpu_runtime: expected rocm, got cuda");
  CHECK(choosing(R"({"worker":"linux-gpu-01","worker_id":1})") == "choice.worker_id: expected 1, got worker-000002");
  CHECK(has(choosing(R"({"worker":"linux-gpu-01","claim":{"vram_bytes_by_gpu":{"0":1}}})"),
            "choice.claim.vram_bytes_by_gpu: expected {0: 1}, got {0: "));
  CHECK(has(choosing(R"({"worker":"linux-gpu-01","claim":{"ram_bytes":1}})"), "choice.claim.ram_bytes: expected 1"));
  CHECK(has(choosing(R"({"worker":"linux-gpu-01","subordinates":[{"worker":"other"}]})"),
            "choice.subordinates: expected 1, got 0"));
  CHECK(has(choosing(R"({"worker":"linux-gpu-01","score":1})"), "choice.score is not compared"));
  CHECK(has(choosing(R"({"worker":"linux-gpu-01","colour":1})"), "expected.choice is not understood"));
  c.expected.choice = wire::RawJson{R"({"worker":"linux-gpu-01","gpu_runtime":"cuda","gpu_indexes":[0],
                                        "subordinates":[]})"};
  const auto result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
  CHECK(result.compared == 5);
}

TEST_CASE("an estimate is held against the rule that it was made by, and alone makes no case") {
  auto c = load("issue-1933-auto");
  c.expected.estimate = CaseEstimate{};
  c.expected.estimate->vram_bytes = 1;
  CHECK(difference(c) == "estimate.vram_bytes: expected 1, the rule it is made by gives 80776579481");
  c.expected.estimate->vram_bytes = Bytes(80'776'579'481);
  CHECK(judge().run(c).passed);
  c.expected.estimate->gpus_required = 2;
  CHECK(difference(c) == "expected.estimate.gpus_required is not compared yet");
  c.expected = {};
  c.expected.estimate = CaseEstimate{};
  c.expected.estimate->ram_bytes = 0;
  CHECK(difference(c) == "nothing in it could be compared");
}

TEST_CASE("workers that must never be used are workers of the case") {
  auto c = load("issue-1933-auto");
  c.expected = {};
  c.expected.workers_never_used = {"nobody"};
  CHECK(difference(c) ==
        "workers_never_used names nobody, which the case does not have | nothing in it could be compared");
  c.fleet.workers.back().state = "ready";
  c.expected.workers_never_used = {"linux-gpu-01"};
  CHECK(difference(c) == "worker linux-gpu-01 must never be used, but is");
}

TEST_CASE("a backend that nobody knows is one of the case's users, with the builds that the case has of it") {
  auto c = load("issue-1778-nvidia-gpu-mindie");
  CHECK(judge().run(c).passed);
  c.model->backend_requested = c.model->backend_resolved = "my-own";
  CHECK(judge().run(c).passed);  // it has no build
  c.backend_catalog.push_back({.runtime = "cuda", .backend_version = {}, .supported = true});
  CHECK_FALSE(judge().run(c).passed);
  c.expected = {};
  c.expected.feasible = true;
  CHECK(judge().run(c).passed);
}

TEST_CASE("other states, other spellings and an empty fleet are read") {
  for (const auto* state : {"provisioning", "initializing", "maintenance", "deleting", "error", "NOT_READY"}) {
    CAPTURE(state);
    auto c = load("issue-1933-auto");
    c.fleet.workers.back().state = state;
    CHECK(judge().run(c).passed);
  }
  auto c = load("issue-1933-auto");
  c.fleet.workers.front().os = "macOS";
  auto& linux = c.fleet.workers.back();
  linux.state = "READY";
  linux.os = "Linux";
  linux.arch = "x86_64";
  for (auto& gpu : linux.gpus) gpu.vendor = "NVIDIA";
  c.expected = {};
  c.expected.feasible = true;
  auto result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
  linux.os.reset();  // what one worker tells says nothing of another
  result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
  c.fleet.workers.clear();
  c.expected.feasible = false;
  result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
}

TEST_CASE("a reject whose fact does not hold in the case is found out, on whichever worker it is put") {
  const auto c = load("issue-1933-auto");
  const auto world = to_world(c, judge().catalog);
  REQUIRE(world);
  const auto& mac = c.fleet.workers.front();
  const auto& linux = c.fleet.workers.back();
  const auto said = [&](const CaseWorker* worker, const std::string& reason, std::map<std::string, std::string> args) {
    fleet::RuleResult result;
    result.outcome = fleet::Outcome::kReject;
    result.reason = reason;
    result.args = std::move(args);
    return untrue(c, *world, {worker, "vllm", &result});
  };
  CHECK_FALSE(said(&linux, "worker_not_ready", {}));
  CHECK(said(&mac, "worker_not_ready", {}));
  CHECK_FALSE(said(&mac, "engine_os", {}));
  CHECK(said(&linux, "engine_os", {}));
  CHECK(said(&mac, "engine_vendor", {}));
  CHECK(said(&mac, "not_selected", {}));
  CHECK(said(&mac, "label_mismatch", {{"label", "os"}}));
  CHECK(said(&mac, "cordoned", {}));
  CHECK(said(&mac, "needs_device", {}));
  CHECK(said(&linux, "capability_too_low", {{"has", "8.0"}, {"needs", "7.0"}}));
  CHECK_FALSE(said(&linux, "capability_too_low", {{"has", "8.0"}, {"needs", "9.0"}}));
  CHECK(said(&linux, "capability_too_low", {{"has", "7.5"}, {"needs", "9.0"}}));
  CHECK(said(nullptr, "unknown_engine", {}));
  CHECK(said(nullptr, "worker_not_ready", {}));
}

TEST_CASE("builds that a case tells of are added and taken away, and nothing else of the catalog changes") {
  const auto& embedded = judge().catalog;
  const auto rows = [](const engines::EngineCatalog& catalog, std::string_view vendor) {
    const auto& all = catalog.find("vllm")->rows;
    return std::count_if(all.begin(), all.end(), [&](const auto& row) { return row.vendor == vendor; });
  };
  REQUIRE(rows(embedded, "nvidia") > 0);
  const auto without = catalog_of({{.runtime = "cuda", .backend_version = {}, .supported = false}}, "vllm", embedded);
  REQUIRE(without);
  CHECK(rows(*without, "nvidia") == 0);
  const auto with = catalog_of({{.runtime = "rocm", .backend_version = "99.0", .supported = true}}, "vllm", embedded);
  REQUIRE(with);
  CHECK(rows(*with, "amd") == rows(embedded, "amd") + 1);
  CHECK(rows(*with, "nvidia") == rows(embedded, "nvidia"));
  CHECK(with->find("vllm")->versions.back() == "99.0");
  CHECK_FALSE(catalog_of({{.runtime = "abacus", .backend_version = {}, .supported = true}}, "vllm", embedded));
}

TEST_CASE("a fleet whose lines name only some of their workers is still judged worker by worker") {
  auto c = load("filter-state-not-ready");
  const auto original = c.fleet.workers;
  c.fleet.workers.clear();
  c.expected.passed = std::vector<std::string>();
  c.expected.rejected = std::vector<std::string>();
  for (int i = 0; i < 20; ++i) {
    auto worker = original[static_cast<std::size_t>(i) % original.size()];
    worker.id = i + 1;
    worker.name += std::to_string(i);
    (worker.state == "ready" ? c.expected.passed : c.expected.rejected)->push_back(worker.name);
    c.fleet.workers.push_back(std::move(worker));
  }
  c.expected.reasons = wire::RawJson{R"([{"code":"worker_not_ready","matched":13,"of":20}])"};
  const auto result = judge().run(c);
  CHECK_MESSAGE(result.passed, join(result.differences, "; "));
  CHECK(result.compared == 4);
}

TEST_CASE("the command prints a line a case and the three numbers, and fails when a case does") {
  auto got = invoke({"conformance", kCases, "--only", "label-*"});
  CHECK(got.status == 0);
  CHECK(has(got.out, "PASS  label-arch-label\n"));
  CHECK(got.out.ends_with(fmt::format("4 passed, 0 failed, {} skipped\n", case_count() - 4)));

  got = invoke({"conformance", kCases, "--only", "label-arch-label", "-o", "json"});
  CHECK(got.status == 0);
  CHECK(has(got.out, fmt::format("\"skipped\": {}", case_count() - 1)));

  const auto folder = std::filesystem::temp_directory_path() / "berth-conformance-test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "bad.json") << "{}";
  std::filesystem::copy_file(kCases + "/label-arch-label.json", folder / "good.json");
  got = invoke({"conformance", folder.string()});
  CHECK(got.status == 1);
  CHECK(has(got.out, "FAIL  bad: cannot be read: schema is \"\""));
  CHECK(got.out.ends_with("1 passed, 1 failed, 0 skipped\n"));
  got = invoke({"conformance", folder.string(), "--only", "none"});
  CHECK(got.status == 3);
  std::filesystem::remove_all(folder);

  CHECK(invoke({"conformance", "no/such/folder"}).status == 3);
  CHECK(invoke({"conformance"}).status == 2);
}

}  // namespace berth::cli::conformance
