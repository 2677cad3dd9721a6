// Every file under tests/scenarios is decided and compared with what it expects.
#include "cli/scenario.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

namespace {

std::vector<std::string> scenario_files() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests/scenarios"))
    if (entry.path().extension() == ".yaml") out.push_back(entry.path().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("every scenario is answered as its file expects") {
  const auto files = scenario_files();
  REQUIRE(files.size() >= 20);
  for (const auto& path : files) {
    CAPTURE(path);
    const auto result = berth::cli::run_scenario_file(path);
    if (!result) FAIL_CHECK(result.error().message);
    if (!result) continue;
    CHECK_MESSAGE(result->compared > 0, "the file expects nothing");
    for (const auto& difference : result->differences) FAIL_CHECK(difference);
  }
}

TEST_CASE("a scenario that expects something else names each difference") {
  berth::wire::Expect expect;
  expect.verdict = berth::fleet::Verdict::kFits;
  expect.exit_code = 0;
  expect.lines.push_back(
      {.worker = "w", .engine = "", .rejects = {}, .reasons = {}, .not_evaluated = {}, .passes = {}, .would_fit = {}});
  expect.contains = {"no such text"};
  berth::cli::Answer answer;
  answer.answer.decision.verdict = berth::fleet::Verdict::kDoesNotFit;
  const auto result = berth::cli::compare(expect, std::move(answer), "");
  CHECK(result.compared == 4);
  REQUIRE(result.differences.size() == 4);
  CHECK(result.differences[0] == "verdict: expected fits, got does_not_fit");
  CHECK(result.differences[1] == "exit_code: expected 0, got 8");
  CHECK(result.differences[2] == "line of w: the report has none");
}
