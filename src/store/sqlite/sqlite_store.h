#pragma once
// The store in one SQLite file: WAL, synchronous=FULL, group commit by one writer thread, several readers.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace berth::store {

struct SqliteOptions {
  std::string path;                        // of the database file; its folder must exist
  std::optional<std::uint32_t> pages_max;  // of 4 KiB: the size at which the file counts as full; absent: the disk's
};

/// Opens or creates the database and brings its schema up to date. Errors: kConflict when another server has it open,
/// kNotSupported when a newer berth wrote it, kInternal when the file is no database or damaged, kUnavailable when the
/// disk is full or the folder cannot be written; each says what to do.
Result<std::unique_ptr<Store>> open_sqlite(const SqliteOptions& options);

}  // namespace berth::store
