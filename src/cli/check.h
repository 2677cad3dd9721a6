#pragma once
// One question answered without a server.

#include "base/result.h"
#include "cli/render.h"
#include "cli/views.h"

namespace berth::cli {

struct Answer {
  DecisionAnswer answer;
  Figures figures;
  std::vector<std::string> operator_flags{};  // what a server would take from an operator only
};

/// decide() and fixes() with the embedded catalog. Errors: kInvalid when the request cannot be asked.
Result<Answer> decide_offline(const fleet::FleetSnapshot& snapshot,
                              const fleet::Request& request,
                              const fleet::Policy& policy);

}  // namespace berth::cli
