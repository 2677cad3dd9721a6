#pragma once
// Bounds of what may enter a batch, and the errors that every kind of store words alike.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/batch.h"

namespace berth::store::detail {

/// Lengths, required keys, numbers that fit a signed 64-bit column. Errors: kInvalid naming operation and field.
Result<void> check(const Batch& batch);

/// At most kTextMax bytes of `text`, cut at a character.
std::string clip(std::string_view text);

Error not_found(std::string_view kind, std::string_view id);
Error shortfall_error(const Shortfall& shortfall);
Error too_many_objects();

/// True when a watch cannot continue from `revision`: changes after it may be trimmed, or it was never reached (the
/// client saw another database).
bool too_old(std::uint64_t revision, std::uint64_t current);

}  // namespace berth::store::detail
