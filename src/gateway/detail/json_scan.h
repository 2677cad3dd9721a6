#pragma once
// A strict reader of JSON text that keeps nothing: it checks the whole grammar and shows the members of one object as
// slices of the text. Pure. Source: RFC 8259.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::gateway {

constexpr std::size_t kJsonDepthMax = 64;

enum class JsonKind { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull };

/// One member of an object. Views point into the scanned text, but for `key`, which is decoded.
struct JsonMember {
  std::string_view key;    // without quotes, escapes resolved; valid during the call
  JsonKind kind{};         // of the value
  std::string_view value;  // as it stands, with quotes or brackets
};

/// Called for every member in order; an error ends the scan.
using OnMember = std::function<Result<void>(const JsonMember&)>;

/// Checks that `text` is one JSON object and nothing else, nested at most kJsonDepthMax deep, and shows its members.
/// UTF-8 is not looked at. Errors: kInvalid with the byte offset; what `on_member` returned.
Result<void> scan_object(std::string_view text, const OnMember& on_member);

/// The text of a string value (with its quotes), escapes resolved. Absent when it is no JSON string or holds half of a
/// surrogate pair.
std::optional<std::string> decode_string(std::string_view quoted);
/// Appends `text` as a JSON string with quotes.
void append_json_string(std::string& out, std::string_view text);
/// The value as a count. Absent when negative, fractional or above 2^53.
std::optional<std::uint64_t> json_count(std::string_view number);

}  // namespace berth::gateway
