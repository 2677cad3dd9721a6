#pragma once
// The rules of a batch, once for every kind of store.

#include "base/result.h"
#include "store/batch.h"
#include "store/detail/tables.h"

namespace berth::store::detail {

/// Runs a checked batch (check.h) on the rows of an open transaction. On an error the caller undoes what was written.
/// `shortfall` is filled when a capacity check fails.
Result<Committed> apply(Tables& tables, const Batch& batch, Shortfall& shortfall);

/// Raises the epoch by one and returns it.
Result<std::uint64_t> raise_epoch(Tables& tables);

}  // namespace berth::store::detail
