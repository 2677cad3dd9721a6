#pragma once
// Reading single objects off the server, shared by commands.

#include <string>

#include "base/result.h"
#include "cli/server.h"
#include "cli/views.h"

namespace berth::cli {

/// The decision in a stored decision or a deployment's decision. Errors: kInvalid when it is neither.
Result<fleet::Decision> read_decision(const std::string& json);

/// Creates the deployment, or updates the one of that name. `created`: which it was.
struct Applied {
  bool created = false;
};
Result<Applied> apply_deployment(const Server& server, const NewDeployment& wanted);

}  // namespace berth::cli
