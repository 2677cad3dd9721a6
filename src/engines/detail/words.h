#pragma once
// From entries of settings.flags to words, by the rules at the head of engines/flags.h.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::engines::detail {

struct Word {
  std::string text;
  bool whole = false;   // an entry of its own that is no flag: a value, whatever it holds
  bool quoted = false;  // began with a quote, so it is no flag
};

/// Errors: kInvalid for a quote that is not closed, a control character or bad UTF-8; kTooLarge beyond the limits.
Result<std::vector<Word>> words_of(const std::vector<std::string>& entries);

/// True for "-1", "-0.5", "-1e3": values, although they begin with '-'.
bool is_number(std::string_view text);
/// True when the text must not reach an argument or variable: control characters but tab, or not UTF-8.
bool is_unprintable(std::string_view text);
/// Wraps `value` in quotes where words_of would split it.
std::string quoted(std::string_view value);

}  // namespace berth::engines::detail
