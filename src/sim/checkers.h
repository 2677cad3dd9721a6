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

namespace berth::sim {

using Violation = std::optional<std::string>;

/// Σ claims ≤ total − reserved on every device and on host RAM, in every committed state.
class CapacityChecker {
 public:
  Violation check(store::Store& store, const std::vector<FakeWorker>& workers);
};

/// An instance runs on the worker of its plan and nowhere else, and its claims are there.
class OnePlaceChecker {
 public:
  Violation check(store::Store& store, const reconcile::View& view, const std::vector<FakeWorker>& workers);
};

/// When the server heard of a worker last, by the world's own account.
struct Heard {
  std::optional<Time> at;               // inventory or heartbeat delivered
  std::optional<Time> disconnected_at;  // absent while connected
  bool inventory = false;               // since the connection was opened
};
/// No instance appears on a worker that the server cannot know to be alive.
class ReadinessChecker {
 public:
  Violation check(const reconcile::View& view, const std::map<std::string, Heard>& heard, Time now);

 private:
  std::set<std::string> known_;
};

/// States move along the table, perhaps over several rows between two looks; a stopping instance only disappears.
class TransitionChecker {
 public:
  Violation check(const reconcile::View& view);
  /// A server that starts again may know less than before: reports that were not stored yet come again.
  void forget();

 private:
  std::map<std::string, fleet::InstanceState> last_;
  bool compare_ = true;  // the next look has one before it
};

/// After healing: deployments ready or explained, nothing left of what was deleted.
class ConvergenceChecker {
 public:
  Violation check(store::Store& store,
                  const reconcile::View& view,
                  const std::vector<FakeWorker>& workers,
                  const std::set<std::string>& wanted);
};

}  // namespace berth::sim
