#pragma once
// The cases whose verdict is known to differ from the recorded one, with what shows the recorded one wrong:
// tests/conformance/differences.json, compiled in. Under berth's own policy only.

#include <string>
#include <string_view>
#include <vector>

#include "base/describe.h"
#include "base/result.h"
#include "cli/conformance/conformance.h"

namespace berth::cli::conformance {

struct ListedDifference {
  std::string id;
  std::vector<std::string> says;  // how each difference of the case begins: it is listed for these and for no other
  std::string numbers;            // what shows the recorded answer wrong, with its sum
  std::string field_case;         // or the row of the field's cases that states the right answer: "T22"
};
DESCRIBE(ListedDifference, id, says, numbers, field_case);

struct Differences {
  std::vector<ListedDifference> cases;  // by id
};
DESCRIBE(Differences, cases);

/// At most one in this many of the cases that ran may be listed, those of the field's own issues left out.
constexpr std::uint64_t kListedShare = 10;

/// The file as compiled in.
std::string_view embedded_differences();
/// Errors: kInvalid for an entry without id, `says` or a proof, one that is there twice, and one about an issue-* case,
/// whose answer is the field's own.
Result<Differences> read_differences(std::string_view json);
/// `file`, or for an empty one differences.json beside the folder, or else what is compiled in; "none" for none.
Result<Differences> differences_for(const std::string& file, const std::string& folder);

/// Holds the cases that ran against the list: a listed one that differs as it says passes, marked as listed; one that
/// no longer differs, or differs otherwise, is failed. `whole`: no case was left out, so that the share counts too.
void apply(const Differences& differences, bool whole, Summary& summary);

}  // namespace berth::cli::conformance
