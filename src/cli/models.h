#pragma once
// Models by their name in the embedded catalog.

#include "base/result.h"
#include "fleet/request.h"

namespace berth::cli {

/// True for an argument that can only be a path: it ends in .gguf, or begins as paths do.
bool looks_like_path(const std::string& argument);
/// A request that insists on a model of the catalog. Errors: as fleet::find_model.
Result<fleet::Request> request_for_name(const std::string& name);
/// fleet::complete with the embedded catalog, which is read only for a request that may need it.
Result<void> complete_from_catalog(fleet::Request& request);

}  // namespace berth::cli
