#pragma once
// The order of plans for plans that are already there: what decide() would rank a plan by, whoever made it.

#include <string>
#include <vector>

#include "base/result.h"
#include "placement/decide.h"

namespace berth::placement {

/// The key of `plan` on this snapshot, part by part as the policy names them (DESIGN §1); of two plans for one request
/// the one with the smaller key ranks first. Claims are not checked: that is verify(). Errors: kNotFound naming the
/// engine, worker or device that is not there; kInvalid for a request that fleet::canonical() refuses.
Result<std::vector<fleet::KeyPart>> plan_key(const FleetSnapshot& snapshot,
                                             const Request& request,
                                             const Policy& policy,
                                             const EngineCatalog& catalog,
                                             const Plan& plan);

/// What names this model's file in Worker::model_files.
std::string model_file_of(const fleet::ModelSource& source);

}  // namespace berth::placement
