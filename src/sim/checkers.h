#pragma once
// What must hold at every moment of a simulated run. Each checker keeps what it has seen and answers with the first
// sentence that says what is wrong, or with nothing.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "reconcile/reconciler.h"
#include "sim/fake_worker.h"
#include "sim/lifecycle.h"

namespace berth::sim {

/// Σ claims ≤ total − reserved on every device and on host RAM, in every committed state.
class CapacityChecker {
 public:
  Violation check(store::Store& store, const std::vector<FakeWorker>& workers);
};

/// An instance runs on the worker of its plan and nowhere else, its claims are there, its deployment exists, and no
/// other instance is the same replica.
class OnePlaceChecker {
 public:
  Violation check(store::Store& store, const reconcile::View& view, const std::vector<FakeWorker>& workers);
};

/// No instance is written for a worker that the server cannot know to be alive.
class ReadinessChecker {
 public:
  Violation check(const store::Batch& batch, const std::map<std::string, Heard>& heard, Time now);
};

/// After healing: deployments ready or explained, nothing left of what was deleted, and nothing else runs.
class ConvergenceChecker {
 public:
  Violation check(store::Store& store, const reconcile::View& view, const std::vector<FakeWorker>& workers);
};

}  // namespace berth::sim
