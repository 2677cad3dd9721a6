// Cases under --policy gpustack: those that are answered alike, and those that are said not to be.
#include <algorithm>
#include <doctest/doctest.h>

#include "base/text.h"
#include "cli/conformance/conformance.h"
#include "cli/conformance/judge.h"
#include "cli/inputs.h"

namespace berth::cli::conformance {
namespace {

constexpr const char* kAlike = "tests/conformance/gpustack";
constexpr const char* kDiffers = "tests/conformance/gpustack-differs";
constexpr const char* kPage = "docs/gpustack-differences.md";

std::string differences_of(const Case& c) {
  static const Judge kJudge = *Judge::embedded(fleet::gpustack_policy());
  return join(kJudge.run(c).differences, "|");
}

Case case_named(const std::string& name) {
  return *read_case(*read_text_file(std::string(kAlike) + "/" + name + ".json"));
}

bool holds_text(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("estimate, candidates, choice and scores are those that GPUStack gave") {
  const auto summary = run_conformance({.folder = kAlike, .only = "", .policy = "gpustack"});
  REQUIRE(summary);
  for (const auto& line : summary->cases) {
    CAPTURE(line.id);
    CAPTURE(join(line.differences, "; "));
    CHECK(line.passed);
    CHECK(line.compared > 0);
  }
}

TEST_CASE("what is answered otherwise is listed with its reason, and nothing else is") {
  const auto summary = run_conformance({.folder = kDiffers, .only = "", .policy = "gpustack"});
  REQUIRE(summary);
  const auto page = *read_text_file(kPage);
  for (const auto& line : summary->cases) {
    CAPTURE(line.id);
    CHECK_FALSE(line.passed);
    CHECK(holds_text(page, "`" + line.id + "`"));
  }
}

TEST_CASE("the order of the candidates is compared on demand") {
  auto judge = *Judge::embedded(fleet::gpustack_policy());
  auto c = case_named("ascend-semi-automatic-single-worker-selection");
  REQUIRE(c.expected.candidates);
  std::reverse(c.expected.candidates->begin(), c.expected.candidates->end());
  CHECK(judge.run(c).passed);
  judge.strict = true;
  CHECK(holds_text(join(judge.run(c).differences, "|"), "the order of the list is another"));
}

TEST_CASE("each of them is compared: turned, the case fails") {
  const auto share = case_named("vllm-auto-schedule-embedding-model");
  REQUIRE(differences_of(share).empty());
  auto turned = share;
  turned.expected.estimate->vram_bytes = Bytes(1);
  CHECK(holds_text(differences_of(turned), "estimate.vram_bytes: expected 1"));
  turned = share;
  turned.expected.estimate->gpu_fraction = 0.5;
  CHECK(holds_text(differences_of(turned), "estimate.gpu_fraction"));
  turned = share;
  turned.expected.candidates->clear();
  CHECK(holds_text(differences_of(turned), "candidates: expected 0, got 1"));
  turned = share;
  turned.expected.choice.text =
      R"({"worker": "host4090", "gpu_indexes": [0], "claim": {"vram_bytes_by_gpu": {"0": 1588014354}}, "score": 4.1})";
  CHECK(holds_text(differences_of(turned), "choice: expected a score of 4.1"));
  turned.expected.choice.text =
      R"({"worker": "host4090", "gpu_indexes": [0], "claim": {"vram_bytes_by_gpu": {"0": 7}}})";
  CHECK(holds_text(differences_of(turned), "choice: expected claims 0: 7"));
  turned.expected.choice.text = "null";
  CHECK(holds_text(differences_of(turned), "choice: expected none"));
  turned = share;
  turned.expected.feasible = false;
  CHECK(holds_text(differences_of(turned), "feasible: expected false"));
  turned = share;
  turned.expected.overcommit_only = true;
  CHECK(holds_text(differences_of(turned), "overcommit_only"));
  auto spread = case_named("score-spread-other-models-count-less");
  spread.instances.clear();
  CHECK(holds_text(differences_of(spread), "candidate 0: expected a score of"));
}

}  // namespace berth::cli::conformance
