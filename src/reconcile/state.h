#pragma once
// Inside of Reconciler: records, and the functions that change them. Everything here runs under State::mutex.

#include <mutex>
#include <variant>

#include "reconcile/reconciler.h"

namespace berth::reconcile {

/// Events that wait for the next commit; with more, the oldest go.
constexpr std::size_t kEventsWaitingMax = 200;

/// What a worker said, in the order in which it was said; taken in by whoever next holds State::mutex.
struct Message {
  struct Left {};
  std::string worker;
  std::variant<wire::Inventory, wire::Heartbeat, wire::InstanceReport, Left> what;
  Time at;
};

/// What readers see without State::mutex, which is held while the disk writes.
struct Picture {
  std::shared_ptr<const View> view;
  std::map<std::string, std::string> secrets;            // by instance id
  std::map<std::string, std::string> workers_by_digest;  // worker ids
};

/// An object of which an action failed.
struct Hold {
  std::uint32_t failures = 0;  // in a row
  Time until;
  Time since;
  std::string why;
};

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
  bool proved = false;                                  // an inventory came with the key it has now
  std::string refused;                                  // why its last inventory cannot be used; empty: it can
  bool dirty = true;                                    // the snapshot entry must be rebuilt
};

struct InstanceRecord {
  InstanceObject object;
  bool gone = false;
  bool flush = false;  // status differs from what is stored
  std::string secret;
  std::optional<fleet::InstanceStatus> said;  // by its worker, last, on the connection that is open
  bool taken = false;              // the worker's reports show that it has the instruction, to run or to stop
  std::optional<Time> told_at;     // when the instruction was last on its way
  std::optional<Time> refused_at;  // see controllers::InstanceView
  std::optional<std::uint64_t> no_place_at;
};

struct DeploymentRecord {
  DeploymentObject object;
};

struct Reconciler::State {
  explicit State(store::Store& s, Options o) : store(s), options(std::move(o)) {}

  store::Store& store;
  Options options;
  std::mutex mutex;
  mutable std::mutex inbox_mutex;
  std::vector<Message> inbox;  // at most kInboxPerWorkerMax of a worker, which Reconciler::has_room keeps
  mutable std::mutex picture_mutex;
  std::shared_ptr<const Picture> picture = std::make_shared<const Picture>(Picture{.view = std::make_shared<View>()});
  std::map<std::string, WorkerRecord> workers;  // by id
  std::map<std::string, DeploymentRecord> deployments;
  std::map<std::string, InstanceRecord> instances;
  std::shared_ptr<const fleet::FleetSnapshot> snapshot = std::make_shared<const fleet::FleetSnapshot>();
  std::set<std::string> changed_workers;
  std::set<std::string> removed_workers;  // while they were connected
  std::vector<store::AddEvent> events;    // written with the next flush
  std::map<std::string, Hold> holds;      // by object id
  bool doubt = false;                     // memory may differ from the store: see settle()

  /// Locks `mutex` and takes in what workers said.
  [[nodiscard]] std::unique_lock<std::mutex> enter();
  [[nodiscard]] std::shared_ptr<const Picture> seen() const;
  void put(Message message);

  // settle.cpp
  /// store.commit(); a failure that leaves open what the store holds raises `doubt`.
  Result<store::Committed> write(store::Batch batch);
  /// While in doubt: reads everything again, after a write that lies behind all earlier ones. Errors: of the store.
  Result<void> settle(Time now);
  Result<void> take_object(const store::Object& object, Time now);
  void hold(const std::string& object, const Error& error, Time now);

  // snapshot.cpp
  /// What an instance that is to stop waits for: its process, or its worker.
  [[nodiscard]] fleet::Waiting waits_to_stop(const InstanceRecord& instance, Time now) const;
  /// What an instance waits for that has not taken its instruction, or is gone and not removed; absent: nothing known.
  [[nodiscard]] std::optional<fleet::Waiting> waits_for_us(const InstanceRecord& instance) const;
  /// Its worker is not ready, or was not heard since the server started.
  void lose(InstanceRecord& instance, Time now);
  /// Its worker was silent and is heard again on the same connection, on which it tells only what changes.
  void find_again(InstanceRecord& instance, Time now);
  void judge_workers(Time now, TickResult& result);
  void rebuild(const std::string& worker_id, Time now);
  std::vector<fleet::Occupant> occupants_of(const WorkerRecord& worker) const;
  void publish();

  // apply.cpp
  /// Nothing is changed in memory before the store has it. Errors: of the store; kConflict when a plan does not hold.
  Result<void> execute(const controllers::Action& action, Time now);
  Result<void> apply(const controllers::Place& place, Time now);
  Result<void> apply(const controllers::Pend& pend, Time now);
  Result<void> apply(const controllers::StopInstance& stop, Time now);
  Result<void> apply(const controllers::SendAgain& again, Time now);
  Result<void> apply(const controllers::NoOtherPlace& none, Time now);
  Result<void> apply(const controllers::RemoveInstance& remove, Time now);
  Result<void> apply(const controllers::RemoveDeployment& remove, Time now);
  Result<void> apply(const controllers::SetStatus& set, Time now);
  bool run_actions(std::vector<controllers::Action> actions, Time now);
  controllers::ControlState control_state() const;
  void flush(Time now);
  void happened(std::string_view kind,
                const std::string& object,
                bool warning,
                std::string_view reason,
                const std::string& message);

  // checks.cpp
  /// The spec as it is stored.
  Result<fleet::DeploymentSpec> check_new(const std::string& name,
                                          fleet::DeploymentSpec spec,
                                          const engines::Caller& caller) const;
  Result<fleet::DeploymentSpec> check_edit(const DeploymentRecord* known,
                                           const std::string& name,
                                           fleet::DeploymentSpec spec,
                                           const engines::Caller& caller) const;

  // objects.cpp
  /// Writes down, in the batch that stores the spec, who had what passed on to an engine unchecked.
  void record(store::Batch& batch,
              const Envelope& meta,
              const fleet::DeploymentSpec& spec,
              const engines::Caller& caller) const;
  /// Revision and generation as the store has them after a commit; raises `doubt` when it does not say them.
  void reread(std::string_view kind, Envelope& meta);
  const DeploymentRecord* find_deployment(const std::string& name_or_id) const;
  DeploymentRecord* find_deployment(const std::string& name_or_id);
  InstanceRecord* find_instance(const std::string& name_or_id);
  WorkerRecord* find_worker(const std::string& name_or_id);

  // workers.cpp
  void take(WorkerRecord& worker, wire::Inventory inventory, Time now);
  void take(WorkerRecord& worker, wire::Heartbeat heartbeat, Time now);
  void take(WorkerRecord& worker, const wire::InstanceReport& report, Time now);
  void take(WorkerRecord& worker, Message::Left left, Time now);
  void tell(const InstanceObject& object, const fleet::InstanceStatus& now);
  void take_report(WorkerRecord& worker, const wire::InstanceReport& report, Time now);
};

/// Errors: kConflict with both revisions.
Result<void> check_revision(const Envelope& meta, std::optional<std::uint64_t> expected);

/// The worker that holds the first part of the instance's plan; empty when the plan names none.
const std::string& worker_of(const InstanceObject& instance);
inline const std::string& worker_of(const InstanceRecord& instance) { return worker_of(instance.object); }

}  // namespace berth::reconcile
