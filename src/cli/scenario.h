#pragma once
// Scenarios: a fleet and a request in one file, with what the answer must be.

#include <string>
#include <vector>

#include "cli/check.h"
#include "wire/files.h"

namespace berth::cli {

struct ScenarioResult {
  Answer answer;
  std::size_t compared = 0;  // expectations looked at; 0 means that the file demands nothing
  std::vector<std::string> differences;
};

/// Decides and compares. Errors: what is wrong with the file; differences are no error.
Result<ScenarioResult> run_scenario_file(const std::string& path);

/// Compares one answer; also used by tests of the comparison itself. `text`: the rendered answer.
ScenarioResult compare(const wire::Expect& expect, Answer answer, const std::string& text);

}  // namespace berth::cli
