#pragma once
// What a comparison came to, whatever kind of case it is about.

#include <string>
#include <utility>
#include <vector>

namespace berth::cli::conformance {

struct CaseResult {
  std::string id;
  bool passed = false;
  std::size_t compared = 0;              // expectations that were looked at
  std::vector<std::string> differences;  // why it failed, in sentences
  std::vector<std::string> left_out;     // parts that are the other scheduler's own
};

/// A case that could not be run.
inline CaseResult failed_case(std::string id, std::string why) {
  return {.id = std::move(id), .passed = false, .compared = 0, .differences = {std::move(why)}, .left_out = {}};
}

struct Findings {
  std::size_t compared = 0;
  std::vector<std::string> differences;

  /// One expectation that was looked at.
  void check(bool ok, std::string difference) {
    ++compared;
    if (!ok) differs(std::move(difference));
  }
  void differs(std::string difference) { differences.push_back(std::move(difference)); }
  /// A case of which nothing was compared is failed.
  CaseResult result(std::string id) && {
    if (compared == 0) differs("nothing in it could be compared");
    const bool passed = differences.empty();
    return {.id = std::move(id),
            .passed = passed,
            .compared = compared,
            .differences = std::move(differences),
            .left_out = {}};
  }
};

}  // namespace berth::cli::conformance
