#pragma once
// JSON as a stream of events: no tree is built, so memory does not grow with the input.

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace berth::metadata::detail {

/// Receives one document. The first error stops the reading and is handed on. Views live until the call returns.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual Result<void> begin(bool object) = 0;  // an object or an array
  virtual Result<void> end() = 0;
  virtual Result<void> key(std::string_view name) = 0;
  virtual Result<void> text(std::string_view value) = 0;
  virtual Result<void> unsigned_integer(std::uint64_t value) = 0;
  /// A negative integer, a float, true, false, null: as it would be spelt.
  virtual Result<void> other(std::string_view value) = 0;
};

constexpr std::uint32_t kJsonDepthMax = 64;

/// Errors: kInvalid for what is no JSON, invalid UTF-8, or deeper than kJsonDepthMax; kTooLarge above `max_bytes`.
Result<void> read_json(std::string_view json, std::uint64_t max_bytes, JsonEvents& events);

}  // namespace berth::metadata::detail
