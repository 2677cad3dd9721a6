#pragma once
// Inside of Reconciler: records, and the functions that change them. Everything here runs under State::mutex.

#include <mutex>

#include "reconcile/reconciler.h"

namespace berth::reconcile {

/// Events that wait for the next commit; with more, the oldest go.
constexpr std::size_t kEventsWaitingMax = 200;

struct HeldUse {
  Bytes value;
  Bytes highest;  // seen since it fell below `value`
  std::optional<Time> lower_since;
};

struct WorkerRecord {
  WorkerObject object;
  controllers::WorkerSigns signs;
  std::map<std::string, HeldUse> foreign;               // by device id; "" is host RAM
  std::map<std::string, wire::InstanceReport> orphans;  // reported, unknown to us
  bool dirty = true;                                    // the snapshot entry must be rebuilt
};

struct InstanceRecord {
  InstanceObject object;
  bool gone = false;
  bool flush = false;  // status differs from what is stored
  std::string secret;
};

struct DeploymentRecord {
  DeploymentObject object;
};

struct Reconciler::State {
  explicit State(store::Store& s, Options o) : store(s), options(std::move(o)) {}

  store::Store& store;
  Options options;
  mutable std::mutex mutex;
  std::map<std::string, WorkerRecord> workers;  // by id
  std::map<std::string, DeploymentRecord> deployments;
  std::map<std::string, InstanceRecord> instances;
  std::shared_ptr<const fleet::FleetSnapshot> snapshot = std::make_shared<const fleet::FleetSnapshot>();
  std::shared_ptr<const View> view = std::make_shared<const View>();
  std::set<std::string> changed_workers;
  std::vector<store::AddEvent> events;  // written with the next flush

  // snapshot.cpp
  void judge_workers(Time now, TickResult& result);
  void rebuild(const std::string& worker_id, Time now);
  std::vector<fleet::Occupant> occupants_of(const WorkerRecord& worker) const;
  void publish();

  // apply.cpp
  bool execute(const controllers::Action& action, Time now);
  bool apply(const controllers::Place& place, Time now);
  bool apply(const controllers::Pend& pend, Time now);
  bool apply(const controllers::StopInstance& stop, Time now);
  bool apply(const controllers::RemoveInstance& remove, Time now);
  bool apply(const controllers::RemoveDeployment& remove, Time now);
  bool apply(const controllers::SetStatus& set, Time now);
  controllers::ControlState control_state() const;
  void flush(Time now);
  void happened(std::string_view kind,
                const std::string& object,
                bool warning,
                std::string_view reason,
                const std::string& message);

  // checks.cpp
  Result<fleet::Request> canonical(fleet::Request request) const;
  Result<void> check_names(const fleet::Request& request) const;
  /// The spec as it is stored. `own`: id of the deployment that it is for, empty for a new one.
  Result<fleet::DeploymentSpec> check_spec(const std::string& name,
                                           const std::string& own,
                                           fleet::DeploymentSpec spec) const;
  Result<fleet::DeploymentSpec> check_new(const std::string& name, fleet::DeploymentSpec spec) const;
  Result<fleet::DeploymentSpec> check_edit(const DeploymentRecord* known,
                                           const std::string& name,
                                           fleet::DeploymentSpec spec) const;

  // objects.cpp
  /// Revision and generation as the store has them after a commit.
  void reread(std::string_view kind, Envelope& meta);
  const DeploymentRecord* find_deployment(const std::string& name_or_id) const;
  DeploymentRecord* find_deployment(const std::string& name_or_id);
  InstanceRecord* find_instance(const std::string& name_or_id);
  WorkerRecord* find_worker(const std::string& name_or_id);
  void tell(const InstanceObject& object, const fleet::InstanceStatus& now);
  void take_report(WorkerRecord& worker, const wire::InstanceReport& report, Time now);
};

/// The worker that holds the first part of the instance's plan; empty when the plan names none.
const std::string& worker_of(const InstanceRecord& instance);

}  // namespace berth::reconcile
