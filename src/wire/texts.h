#pragma once
// Texts that reach a terminal. What people write in files holds no control characters; what comes over the network is
// shown with them spelt out.

#include "base/result.h"

namespace berth::wire {

/// Errors: kInvalid with the path of the first text or key that holds a control character.
template <class T>
Result<void> check_printable(const T& value);

/// The value with the control characters of its texts as \xNN (keys stay: they are found by them).
template <class T>
T printable_copy(T value);

}  // namespace berth::wire
