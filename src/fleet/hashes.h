#pragma once
// Hashes of the inputs of a decision, as recorded beside it (DESIGN §1, Commit).

#include "base/hash.h"
#include "fleet/decision.h"
#include "fleet/request.h"

namespace berth::fleet {

/// Of the canonical form: call canonical() before.
Hash hash_of(const Request& canonical_request);
Hash hash_of(const Policy& policy);
/// Of everything in the plan but its id, key and memory table, which follow from the rest.
Hash hash_of(const Plan& plan);

}  // namespace berth::fleet
