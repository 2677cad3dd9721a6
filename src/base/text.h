#pragma once
// Small text helpers that the standard library lacks.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
/// ASCII only; other bytes stay.
std::string to_lower(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);
/// Whole text as a decimal; absent when it is anything else or out of range.
std::optional<std::uint64_t> parse_u64(std::string_view text);
/// True when `text` is well-formed UTF-8 without surrogates or overlong forms.
bool is_utf8(std::string_view text);
/// Control characters (C0, DEL, C1) replaced by \xNN, so that a name can be printed on a terminal or in a log.
std::string printable(std::string_view text);
/// Shell-style glob with * and ?; no character classes.
bool glob_match(std::string_view pattern, std::string_view text);
/// The candidate with the smallest edit distance ≤ 3, for "did you mean".
std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& candidates);
/// Names of workers, deployments, labels: 1–63 of a–z, 0–9, '-', '.', '_', starting with a letter or digit.
bool is_name(std::string_view text);

}  // namespace berth
