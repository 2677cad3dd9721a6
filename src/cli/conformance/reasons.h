#pragma once
// berth's reason codes in the words of the cases: tests/conformance/reasons.json, compiled in. Many to one, never by
// text.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/describe.h"
#include "base/result.h"

namespace berth::cli::conformance {

struct ReasonMap {
  std::map<std::string, std::string> reasons;              // ours → theirs
  std::map<std::string, std::string> general;              // theirs → theirs, a finer code → the one it is a kind of
  std::map<std::string, std::vector<std::string>> stages;  // worker filter → ours that reject a worker there
  std::vector<std::string> without_counterpart;            // ours

  /// The general code of `theirs`.
  [[nodiscard]] const std::string& general_of(const std::string& theirs) const;
  /// True when a reject with our reason says what their code says.
  [[nodiscard]] bool says(const std::string& ours, const std::string& theirs) const;
  /// True when some reason of ours maps to `theirs`.
  [[nodiscard]] bool knows(const std::string& theirs) const;
};
DESCRIBE(ReasonMap, reasons, general, stages, without_counterpart);

/// The file as compiled in.
std::string_view embedded_reasons();
/// Errors: kInvalid when a reason is named twice or a general code is nobody's.
Result<ReasonMap> read_reason_map(std::string_view json);

}  // namespace berth::cli::conformance
