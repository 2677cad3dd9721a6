// The lists of architectures that come with berth: every model that it knows by name runs somewhere, and what does not
// run says who does.
#include <algorithm>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "engines/architectures.h"
#include "engines/request.h"
#include "placement/decide.h"
#include "placement/testing.h"
#include "wire/catalog.h"
#include "wire/model_catalog.h"

namespace berth::cli {
namespace {

using fleet::Policy;
using fleet::Verdict;

engines::EngineCatalog embedded() {
  auto catalog = wire::embedded_catalog();
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  return *std::move(catalog);
}

bool newest_runs(const engines::EngineCatalog& catalog, const fleet::ModelFacts& facts) {
  return std::any_of(catalog.engines().begin(), catalog.engines().end(), [&](const engines::Engine& engine) {
    const auto& formats = engine.formats;
    if (std::find(formats.begin(), formats.end(), facts.format) == formats.end()) return false;
    const auto match = engines::match_architecture(engine, facts);
    if (engine.versions.empty() || engines::runs(match, engine.versions.front()) != engines::Runs::kYes) return false;
    const auto* row = engines::row_for(match, engine.versions.front());
    const auto& tasks = engines::tasks_of(match, *row);
    return std::find(tasks.begin(), tasks.end(), facts.task) != tasks.end();
  });
}

fleet::FleetSnapshot one_gpu(std::vector<fleet::EngineInstall> engines) {
  fleet::Worker w;
  w.id = w.name = "a";
  w.os = "linux";
  w.arch = "amd64";
  w.memory_total_bytes = Bytes(512 * kGiB);
  w.disk_free_bytes = Bytes(4000 * kGiB);
  w.container_runtime = "docker 28";
  w.engines = std::move(engines);
  auto device = placement::testing::cuda_device("g0", Bytes(80 * kGiB));
  device.runtime_version = "12.9";
  device.driver_version = "575.86";
  device.compute_capability = "9.0";
  w.devices = {device};
  return *fleet::FleetSnapshot::build({*fleet::make_entry(std::move(w), {})}, {});
}

fleet::Request asking(const std::string& architecture) {
  auto facts = placement::testing::vllm_facts(4 * kGiB);
  facts.architecture = architecture;
  facts.architectures = {architecture};
  auto r = placement::testing::request_for(std::move(facts));
  r.restriction.engine = "vllm";
  return r;
}

struct Answer {
  fleet::Decision decision;
  std::vector<fleet::Fix> fixes;
};

Answer answer(const fleet::FleetSnapshot& fleet, fleet::Request request, const Policy& policy = {}) {
  const auto catalog = embedded();
  auto canonical = engines::canonical(catalog, std::move(request));
  REQUIRE_MESSAGE(canonical.has_value(), canonical.error().message);
  Answer out;
  out.decision = placement::decide(fleet, *canonical, policy, catalog);
  out.fixes = placement::fixes(fleet, *canonical, policy, catalog, out.decision, {});
  return out;
}

/// What the architecture rule says, of the request or else of the first line.
fleet::RuleResult said_of_architecture(const Answer& a) {
  for (const auto& result : a.decision.report.request)
    if (result.rule == "architecture") return result;
  for (const auto& line : a.decision.report.lines)
    for (const auto& result : line.results)
      if (result.rule == "architecture" && !result.reason.empty()) return result;
  return {};
}

std::string first_text(const Answer& a) { return said_of_architecture(a).text; }

}  // namespace

TEST_CASE("every architecture in the catalog of models is run by the newest version of some engine") {
  const auto catalog = embedded();
  const auto models = wire::embedded_models();
  REQUIRE_MESSAGE(models.has_value(), models.error().message);
  std::size_t seen = 0;
  const auto check = [&](const std::string& id, const fleet::ModelFacts& facts) {
    if (facts.architecture.empty() || facts.format.empty()) return;
    ++seen;
    CHECK_MESSAGE(newest_runs(catalog, facts), fmt::format("{}: {} for {}", id, facts.architecture, facts.task));
  };
  for (const auto& model : models->models) {
    check(model.id, model.facts);
    for (const auto& variant : model.variants) check(model.id + " " + variant.name, variant.facts);
  }
  CHECK(seen > 150);
}

TEST_CASE("an architecture that an engine lacks is refused with the engine that runs it, and that is the fix") {
  // In SGLang's list, and in no version of vLLM's.
  const auto a = answer(one_gpu({}), asking("Qwen3ForRewardModel"));
  CHECK(a.decision.verdict == Verdict::kDoesNotFit);
  CHECK(said_of_architecture(a).reason == "unsupported_architecture");
  CHECK(first_text(a).find("does not run the architecture Qwen3ForRewardModel; SGLang") != std::string::npos);
  auto served = asking("DeepseekV4ForCausalLM");
  served.restriction.engine_version = "0.11.0";
  const auto newer = answer(one_gpu({}), std::move(served));
  CHECK(first_text(newer) ==
        "vLLM 0.11.0 does not run the architecture DeepseekV4ForCausalLM; vLLM from 0.20.0 on "
        "and SGLang from 0.5.12 on do");
  REQUIRE_FALSE(newer.fixes.empty());
  CHECK(newer.fixes.front().changes.front().kind == "engine");
  const auto nobody = answer(one_gpu({}), asking("T5ForConditionalGeneration"));
  CHECK(first_text(nobody).find("; no engine of the catalog does") != std::string::npos);
  auto mine = asking("T5ForConditionalGeneration");
  mine.accept = {"unsupported_architecture"};
  CHECK(answer(one_gpu({}), std::move(mine)).decision.verdict == Verdict::kFits);
}

TEST_CASE("an architecture that an engine dropped is run by the version before, where that has a build") {
  auto r = asking("PersimmonForCausalLM");
  const auto a = answer(one_gpu({}), std::move(r));
  REQUIRE(a.decision.verdict == Verdict::kFits);
  CHECK(engines::compare_versions(a.decision.plans.front().engine_version, "0.27.1") < 0);
}

TEST_CASE("the version that a worker has is the one that is judged") {
  Policy nothing_installed;
  nothing_installed.allow_install = false;
  const auto wanted = asking("Qwen3_5ForConditionalGeneration");
  auto a = answer(one_gpu({{"vllm", "0.9.2"}}), wanted, nothing_installed);
  CHECK(a.decision.verdict == Verdict::kDoesNotFit);
  CHECK(first_text(a).find("vLLM 0.9.2 does not run the architecture Qwen3_5ForConditionalGeneration") == 0);
  a = answer(one_gpu({{"vllm", "0.9.2"}, {"vllm", "0.18.0"}}), wanted, nothing_installed);
  REQUIRE_MESSAGE(a.decision.verdict == Verdict::kFits, a.decision.summary);
  CHECK(a.decision.plans.front().engine_version == "0.18.0");
  // Where another version can be installed beside it, that one is planned, and only then.
  a = answer(one_gpu({{"vllm", "0.9.2"}}), wanted);
  REQUIRE(a.decision.verdict == Verdict::kFits);
  CHECK(engines::compare_versions(a.decision.plans.front().engine_version, "0.17.0") >= 0);
  a = answer(one_gpu({{"vllm", "0.12.7"}}), asking("Qwen3ForCausalLM"));
  REQUIRE(a.decision.verdict == Verdict::kFits);
  CHECK(a.decision.plans.front().engine_version == "0.12.7");
  a = answer(one_gpu({{"vllm", "0.40.0"}}), asking("WhoKnowsForCausalLM"));
  CHECK(a.decision.verdict == Verdict::kUnknown);
}

TEST_CASE("what nobody can tell is unknown and may be accepted") {
  auto r = asking("");
  r.facts->architectures.clear();
  auto a = answer(one_gpu({}), r);
  CHECK(a.decision.verdict == Verdict::kUnknown);
  CHECK(first_text(a).find("this model: nothing tells its architecture") != std::string::npos);
  r.accept = {"unknown_architecture"};
  CHECK(answer(one_gpu({}), r).decision.verdict == Verdict::kFits);
}

TEST_CASE("a model that brings code runs only where that is trusted, and trusting it is a fix") {
  auto r = asking("Phi4MMForCausalLM");
  r.facts->custom_code = true;
  auto a = answer(one_gpu({}), r);
  CHECK(a.decision.verdict == Verdict::kDoesNotFit);
  CHECK(said_of_architecture(a).reason == "custom_code_not_trusted");
  CHECK(std::any_of(a.fixes.begin(), a.fixes.end(), [](const fleet::Fix& fix) {
    return fix.changes.size() == 1 && fix.changes.front().to == "--trust-remote-code";
  }));
  // A natively known one needs no trust, whatever its repository holds beside.
  auto native = asking("DeepseekV3ForCausalLM");
  native.facts->custom_code = true;
  CHECK(answer(one_gpu({}), native).decision.verdict == Verdict::kFits);
}

TEST_CASE("what an architecture is served for is told of the architecture, not of the engine alone") {
  auto r = asking("WhisperForConditionalGeneration");
  const auto a = answer(one_gpu({}), r);
  CHECK(first_text(a) ==
        "vLLM does not serve the task \"generate\" with the architecture WhisperForConditionalGeneration");
}

}  // namespace berth::cli
