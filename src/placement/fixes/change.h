#pragma once
// A change is one step of a fix, as data: what it edits and how. Kinds are listed in order of cost (DESIGN §1).

#include <functional>
#include <string>
#include <vector>

#include "placement/decide.h"

namespace berth::placement::fixes_detail {

/// The question being edited.
struct Question {
  FleetSnapshot snapshot;
  Request request;
  std::string variant;  // name of the variant in use; empty: the request's own file
};

struct Edit {
  fleet::Change change;
  std::uint32_t cost = 0;    // position of the kind in the order of cost
  std::uint64_t amount = 0;  // size of the change inside its kind
  std::function<Question(Question)> apply;
};

/// All single edits worth trying for this decision, in (cost, amount, id) order.
std::vector<Edit> propose(const FleetSnapshot& snapshot,
                          const Request& canonical,
                          const Policy& policy,
                          const EngineCatalog& catalog,
                          const Decision& decision);
constexpr std::size_t kWorkersTriedMax = 16;

}  // namespace berth::placement::fixes_detail
