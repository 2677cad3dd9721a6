#pragma once
// The store in memory, for tests and the simulation. Nothing outlives it.

#include <memory>

#include "store/store.h"

namespace berth::store {

std::unique_ptr<Store> make_memory_store();

}  // namespace berth::store
