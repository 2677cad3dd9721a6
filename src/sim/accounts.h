#pragma once
// Books that must agree: the store, the server's memory, the snapshot that decisions are made on, and what clients were
// told.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "reconcile/reconciler.h"
#include "sim/lifecycle.h"

namespace berth::sim {

/// Claims in the store = claims of the instances in memory = occupants of the snapshot, for each instance and device.
class ClaimsChecker {
 public:
  Violation check(store::Store& store, const reconcile::View& view);
};

/// What the store holds is what people see. Only to be asked while the store works.
class StoreChecker {
 public:
  Violation check(store::Store& store, const Look& look);

 private:
  struct Known {
    std::uint64_t revision = 0;
    fleet::InstanceStatus status;  // of an instance
    bool cordoned = false;         // of a worker
    std::string mark;              // of a deployment
    bool deleting = false;
  };
  Violation read(store::Store& store);

  std::uint64_t revision_ = 0;
  std::map<std::string, Known> stored_;  // by kind/id
};

/// What a deployment asks for, short: each wish of the simulation has a path of its own.
std::string mark_of(const fleet::DeploymentSpec& spec);

/// What clients were promised. An answer is kept, whatever happens to the server; a definite refusal changes nothing;
/// when nobody heard what became of a change, either is right.
class Promises {
 public:
  /// A change begins; `mark` absent: the object will not exist, or not have the property.
  void ask(const std::string& key, std::optional<std::string> mark);
  void done();
  void refused(Code code);
  void stopped(const std::string& instance) { stopped_.insert(instance); }
  [[nodiscard]] bool is_stopped(const std::string& instance) const { return stopped_.contains(instance); }
  /// Deployments that may exist.
  [[nodiscard]] std::vector<std::string> deployments() const;
  [[nodiscard]] Violation check(const reconcile::View& view) const;

 private:
  struct Asked {
    std::string key;
    std::optional<std::string> mark;
  };
  std::map<std::string, std::vector<std::optional<std::string>>> possible_;
  std::set<std::string> stopped_;
  Asked asked_;
};
std::string deployment_key(const std::string& name);
std::string worker_key(const std::string& name);

}  // namespace berth::sim
