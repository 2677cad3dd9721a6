#pragma once
// The one door for requests. Whoever wants an answer — berth check, scenarios, the API's decisions and evaluations, a
// new deployment, the recorded cases — passes it first, so that one request is one question everywhere.

#include <string>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::engines {

/// Who asks, as far as that decides what a request may hold.
struct Caller {
  std::string name;             // of the key; empty: not known
  bool operator_right = false;  // may use flags that the catalog does not know, and commands of its own
};

/// fleet::canonical and what only the catalog can say: flags that mean settings become settings, the others are typed
/// and sorted; flags and variables are those that the engine admits; the KV type is one that some engine has.
/// Idempotent. Errors: kInvalid and kForbidden naming field, value and what is allowed; kForbidden for what is an
/// operator's and a caller without that right.
Result<fleet::Request> canonical(const EngineCatalog& catalog, fleet::Request request, const Caller& caller = {});

/// Flags of a canonical request that its engine's catalog does not know, by name.
std::vector<std::string> unknown_flags(const EngineCatalog& catalog, const fleet::Request& request);

/// What of a canonical request only an operator may ask for: those flags, and a command or an image of its own.
std::vector<std::string> operators_only(const EngineCatalog& catalog, const fleet::Request& request);

}  // namespace berth::engines
