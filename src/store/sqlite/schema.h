#pragma once
// The schema as a list of steps that only grows: a step that was released is never edited.

#include <span>

#include "base/result.h"
#include "store/sqlite/db.h"

namespace berth::store::sqlite {

/// Step i brings version i to i + 1.
std::span<const char* const> schema_steps();

/// Applies what is missing, each step in a transaction of its own. Errors: kNotSupported when the file's version is
/// newer than the last step, kInternal when the file is a database of another program.
Result<void> migrate(Db& db, std::span<const char* const> steps);

}  // namespace berth::store::sqlite
