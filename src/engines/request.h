#pragma once
// The one door for requests. Whoever wants an answer — berth check, scenarios, the API's decisions and evaluations, a
// new deployment, the recorded cases — passes it first, so that one request is one question everywhere.

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::engines {

/// fleet::canonical and what only the catalog can say: flags that mean settings become settings, the others are typed
/// and sorted; flags and variables are those that the engine admits; the KV type is one that some engine has.
/// Idempotent. Errors: kInvalid and kForbidden naming field, value and what is allowed.
Result<fleet::Request> canonical(const EngineCatalog& catalog, fleet::Request request);

}  // namespace berth::engines
