#pragma once
// Parts of validate() (catalog.h) with a file of their own.

#include "engines/catalog.h"

namespace berth::engines {

/// Checks what is said of the architectures. Errors: kInvalid with the path.
Result<void> check_architectures(const Engine& engine);

}  // namespace berth::engines
