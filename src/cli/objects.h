#pragma once
// Reading single objects off the server, shared by commands.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/server.h"
#include "cli/views.h"

namespace berth::cli {

/// The decision in a stored decision or a deployment's decision. Errors: kInvalid when it is neither.
Result<fleet::Decision> read_decision(const std::string& json);

/// What would help the deployment, asked of the server now. Absent when nobody can say for this decision: it fits, part
/// of it is placed already (and holds what a new answer would need), or the fleet has changed and the answer with it.
std::optional<std::vector<fleet::Fix>> fixes_now(const Server& server,
                                                 const fleet::Request& request,
                                                 const fleet::Decision& decision);

/// Creates the deployment, or updates the one of that name. `created`: which it was.
struct Applied {
  bool created = false;
};
Result<Applied> apply_deployment(const Server& server, const NewDeployment& wanted);

}  // namespace berth::cli
