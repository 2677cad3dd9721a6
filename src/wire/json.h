#pragma once
// Described structs ↔ JSON text. The header only declares: each type is instantiated once, in a .cpp with
// BERTH_WIRE(T) from wire/codec.h, so that users compile cheaply (STYLE §5).
//
// Wire names are member names; enumerators kCamelCase are snake_case ("kNotReady" ↔ "not_ready"). An absent key keeps
// the member's initialiser; null counts as absent for optionals. Bytes are integers below 2^53; times RFC 3339.

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::wire {

/// kStrict: human input; an unknown key is an error with its path and a suggestion, and sizes may be written "24GiB".
/// kLenient: worker ↔ server messages, stored objects, bundles; unknown keys are passed over.
enum class Strictness { kStrict, kLenient };

constexpr std::size_t kJsonDepthMax = 64;
constexpr std::size_t kJsonBytesMax = 64ULL * 1024 * 1024;

/// JSON that is passed on unread.
struct RawJson {
  std::string text = "null";
};

/// Compact, members in described order; absent optionals are left out, empty lists and maps written. Sizes above 2^53−1
/// are written as that; any other integer above it, and a number that is not finite, is our own bug (ASSERT).
template <class T>
std::string to_json(const T& value);
/// The same with two spaces of indentation, for people.
template <class T>
std::string to_json_pretty(const T& value);
/// Errors: kInvalid with a path: `$.devices[0].memory_total_bytes must be an integer from 0 to …, got "abc"`; duplicate
/// keys, invalid UTF-8, depth and size beyond the limits above.
template <class T>
Result<T> from_json(std::string_view text, Strictness strictness);

/// snake_case name of an enumerator.
template <class E>
std::string enum_name(E value);

/// Re-indents JSON text.
Result<std::string> pretty(std::string_view json);

}  // namespace berth::wire
