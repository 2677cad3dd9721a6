#pragma once
// One pure step: what should be done next, given everything that is known (STYLE §3). Events only mark things dirty;
// the loop in reconcile takes a picture, calls step, executes the actions, records results.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "fleet/objects.h"
#include "fleet/snapshot.h"
#include "placement/decide.h"

namespace berth::controllers {

struct DeploymentView {
  std::string id;
  std::string name;
  std::uint64_t generation = 0;
  bool deleting = false;
  Time created_at{};
  fleet::DeploymentSpec spec;
  fleet::DeploymentStatus status;
};

struct InstanceView {
  std::string id;
  std::string name;
  fleet::InstanceSpec spec;
  fleet::InstanceStatus status;
  bool worker_gone = false;  // its worker was removed by a person
  bool gone = false;         // the worker reported that the process ended and its memory is back
};

/// Everything a step looks at.
struct ControlState {
  std::vector<DeploymentView> deployments;  // by id
  std::vector<InstanceView> instances;      // by id
  std::shared_ptr<const fleet::FleetSnapshot> snapshot;
  const fleet::Policy* policy = nullptr;
  const engines::EngineCatalog* catalog = nullptr;
};

/// Commit these plans as instances of the deployment; the applier verifies each again.
struct Place {
  std::string deployment;
  std::uint64_t generation = 0;
  fleet::Decision decision;
  std::vector<std::uint32_t> replicas;  // ordinals, parallel to decision.plans
};
/// Record a decision that places nothing, so that people see why.
struct Pend {
  std::string deployment;
  std::uint64_t generation = 0;
  fleet::Decision decision;
};
struct StopInstance {
  std::string instance;
  std::string why;
};
/// Claims are released and the object goes.
struct RemoveInstance {
  std::string instance;
};
struct RemoveDeployment {
  std::string deployment;
};
struct SetStatus {
  std::string deployment;
  fleet::DeploymentStatus status;
};

using Action = std::variant<Place, Pend, StopInstance, RemoveInstance, RemoveDeployment, SetStatus>;
constexpr std::size_t kActionsMax = 64;

struct Step {
  std::vector<Action> actions;  // at most kActionsMax; at most one Place, for it changes what the next decision sees
  std::optional<Time> wake_at;
};

/// Order of pending deployments in a batch: (priority, −devices, −bytes, created, id).
Step step(const ControlState& state, Time now);

/// Hash of the request without replica count and name: equal means that an instance needs no replacement.
std::string template_hash(const fleet::Request& request);
/// What decide() is asked for a deployment that lacks `missing` replicas.
fleet::Request request_for(const DeploymentView& deployment, std::uint32_t missing);

}  // namespace berth::controllers
