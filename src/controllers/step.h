#pragma once
// One pure step: what should be done next, given everything that is known (STYLE §3). Events only mark things dirty;
// the loop in reconcile takes a picture, calls step, executes the actions, records results.

#include <cstdint>
#include <map>
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
  /// When the instruction to run or stop was last sent to a connected worker that has not taken it yet.
  std::optional<Time> untaken_since;
  std::optional<Time> refused_at;  // when its worker said that it could not start it; absent: it did not
  /// The snapshot on which no other place was found for it then.
  std::optional<std::uint64_t> no_place_at;
};

/// Everything a step looks at.
struct ControlState {
  std::vector<DeploymentView> deployments;  // by id
  std::vector<InstanceView> instances;      // by id
  /// Objects of which an action failed, and until when they are left alone, so that the others come first.
  std::map<std::string, Time> held;
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
  std::uint32_t refusals = 0;           // of workers that could not start the replica that this one replaces
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
/// The worker did not take its instruction in time: it is told again.
struct SendAgain {
  std::string instance;
};
/// Its worker refused to start it, and this snapshot has no other place for it.
struct NoOtherPlace {
  std::string instance;
  std::uint64_t revision = 0;
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

using Action =
    std::variant<Place, Pend, StopInstance, SendAgain, NoOtherPlace, RemoveInstance, RemoveDeployment, SetStatus>;
/// Id of the deployment or instance that the action is about.
const std::string& object_of(const Action& action);
constexpr std::size_t kActionsMax = 64;

struct Step {
  std::vector<Action> actions;  // at most kActionsMax; at most one Place, for it changes what the next decision sees
  std::optional<Time> wake_at;  // when a step finds something to do though nothing was reported
};

/// When an instruction that was sent at that time and not taken is sent again.
Time send_again_at(Time untaken_since);

/// How long an object is left alone after its n-th failed action in a row, n from 1: doubling, bounded.
constexpr Duration kHoldFirst{1'000};
constexpr Duration kHoldMax{60'000};
Duration hold_after(std::uint32_t failures);

/// Instances of one deployment that their workers could not start and that are kept, with their claims, until another
/// has started: so that the next place looked for is none of theirs.
constexpr std::size_t kRefusedKeptMax = 8;

/// Order of pending deployments in a batch: (priority, −devices, −bytes, created, id).
Step step(const ControlState& state, Time now);

/// Hash of the request without replica count and name: equal means that an instance needs no replacement.
std::string template_hash(const fleet::Request& request);
/// What decide() is asked for a deployment that lacks `missing` replicas.
fleet::Request request_for(const DeploymentView& deployment, std::uint32_t missing);

}  // namespace berth::controllers
