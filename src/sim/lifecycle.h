#pragma once
// What people see of an instance's life, against what its worker truly did.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "reconcile/reconciler.h"
#include "sim/fake_worker.h"

namespace berth::sim {

using Violation = std::optional<std::string>;

/// When the server heard of a worker last, by the world's own account.
struct Heard {
  std::optional<Time> at;               // inventory or heartbeat delivered
  std::optional<Time> disconnected_at;  // absent while connected
  bool inventory = false;               // since the connection was opened
  /// The server can know that the worker is alive.
  [[nodiscard]] bool alive(Time now) const;
};

struct Look {
  const reconcile::View& view;
  const std::vector<FakeWorker>& workers;
  const std::map<std::string, Heard>& heard;  // by worker id
  Time now;
};

/// At each look an instance is
///   - what its worker said last that arrived, and that is a step which the worker took: never ahead, never back;
///   - or unknown, from a moment on at which its worker was not alive, until the worker says something;
///   - or stopping, once it was told to stop, for good: then it only disappears;
/// and nothing is ready on a worker that is not alive or only plays a machine. From one look to the next there is a way
/// in the table. A server that starts again may be behind, for what was not stored comes again, but never takes back
/// a stop.
class TransitionChecker {
 public:
  void delivered(const FakeWorker& worker, const wire::InstanceReport& report);
  void server_restarted();
  Violation check(const Look& look);

 private:
  struct Told {
    std::set<std::size_t> ever;       // steps of the worker's trail that arrived
    std::optional<std::size_t> last;  // since the server started
  };
  struct Seen {
    fleet::InstanceState state;
    bool stop;
  };
  Violation one(const reconcile::InstanceObject& instance, const FakeWorker* worker, const Look& look) const;
  Violation said(const reconcile::InstanceObject& instance, const FakeWorker& worker) const;

  std::map<std::string, Told> told_;
  std::map<std::string, Seen> last_;
  bool fresh_server_ = false;  // since the last look
};

/// Whatever waits says for what and what comes next, and no deadline that it shows is over.
class WaitingChecker {
 public:
  Violation check(const Look& look);
};

}  // namespace berth::sim
