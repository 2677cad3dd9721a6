#pragma once
// Reconciler: what the server knows, and the one place that changes it.
//
//   worker connections ──inventory, heartbeat, report──▶ live signs (memory) ─┐
//   people ──create, edit, delete──▶ store ──▶ objects (memory) ──────────────┼─▶ snapshot ─▶ step() ─▶ actions
//                                                                              │                         │
//                                    desired state of each worker ◀────────────┴──── serial applier ◀────┘
//                                                                       verify(plan, snapshot) + one transaction
//
// No thread and no socket of its own: app drives it with real time, sim with virtual time. Every public call is
// thread-safe. Readers (view, decide, fixes, desired, secret_of, worker_by_digest) and what workers say (inventory,
// heartbeat, report, disconnected) never wait for the disk. All others may wait for a commit (≈ 5 ms, on a sick disk
// kCommitTimeout): callers run them on a pool thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "controllers/states.h"
#include "controllers/step.h"
#include "engines/catalog.h"
#include "engines/request.h"
#include "fleet/objects.h"
#include "fleet/snapshot.h"
#include "store/store.h"
#include "wire/messages.h"

namespace berth::reconcile {

/// A fall of foreign use counts only after this long; a rise at once (DESIGN §1).
constexpr Duration kForeignFallAfter{60'000};
/// Messages of one worker that wait to be taken in; its connection is not read further while there is no room.
constexpr std::size_t kInboxPerWorkerMax = 256;
/// Steps of one tick: a bound, so that a tick ends even if two actions undo each other.
constexpr int kStepsPerTickMax = 32;

/// The envelope that people see with every object.
struct Envelope {
  std::string id;
  std::string name;
  std::uint64_t revision = 0;
  std::uint64_t generation = 0;
  Time created_at{};
  bool deleting = false;
};

struct DeploymentObject {
  Envelope meta;
  fleet::DeploymentSpec spec;
  fleet::DeploymentStatus status;
};
struct InstanceObject {
  Envelope meta;
  fleet::InstanceSpec spec;
  fleet::InstanceStatus status;
};
struct WorkerObject {
  Envelope meta;
  fleet::WorkerSpec spec;
  fleet::Worker worker;  // last report with the state judged now
  std::string version;
  bool connected = false;
  std::string state_reason;
};

/// An immutable picture of all objects, swapped after every change.
struct View {
  std::vector<DeploymentObject> deployments;  // by name
  std::vector<InstanceObject> instances;      // by name
  std::vector<WorkerObject> workers;          // by name
  std::shared_ptr<const fleet::FleetSnapshot> snapshot;
};

struct Options {
  fleet::Policy policy;
  engines::EngineCatalog catalog;
  std::function<std::string()> new_id;  // unique, at least 64 random bits; seeded in simulations
};

/// Who may have something new to be told.
struct TickResult {
  std::set<std::string> workers;  // ids whose desired state changed
  std::set<std::string> removed;  // ids that are no workers any more, whose connections must end
  std::optional<Time> wake_at;
  int steps = 0;
};

class Reconciler {
 public:
  Reconciler(store::Store& store, Options options);
  ~Reconciler();
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  /// Reads everything from the store. Workers start as pending: none is ready before its inventory.
  Result<void> load(Time now);

  [[nodiscard]] std::shared_ptr<const View> view() const;
  [[nodiscard]] const fleet::Policy& policy() const;
  [[nodiscard]] const engines::EngineCatalog& catalog() const;

  // --- questions (all through decide) ---
  /// The request as it is decided, stored and hashed. Errors: as engines::canonical, and kInvalid naming a task or a
  /// reason to accept that does not exist.
  [[nodiscard]] Result<fleet::Request> canonical(fleet::Request request, const engines::Caller& caller = {}) const;
  /// Errors: kInvalid naming an engine or a worker that never existed.
  [[nodiscard]] Result<void> check_names(const fleet::Request& request) const;
  /// Of a canonical request.
  [[nodiscard]] fleet::Decision decide(const fleet::Request& request) const;
  [[nodiscard]] std::vector<fleet::Fix> fixes(const fleet::Request& request, const fleet::Decision& decision) const;

  // --- people ---
  // `caller` says what the spec may hold; what only an operator may use is an event and in the audit.
  // While it is open what the store holds, a change first reads everything again (see tick); kTimeout or kUnavailable
  // when the store does not answer.
  /// What create_deployment and update_deployment would decide: all of their checks and errors, no change.
  [[nodiscard]] Result<fleet::Request> check_create(const std::string& name,
                                                    fleet::DeploymentSpec spec,
                                                    const engines::Caller& caller = {}) const;
  [[nodiscard]] Result<fleet::Request> check_update(const std::string& name_or_id,
                                                    fleet::DeploymentSpec spec,
                                                    std::optional<std::uint64_t> expected_revision,
                                                    const engines::Caller& caller = {}) const;
  /// Errors: kConflict when the name or the route is taken, kInvalid naming the field, or an engine or a worker that
  /// does not exist.
  Result<DeploymentObject> create_deployment(const std::string& name,
                                             fleet::DeploymentSpec spec,
                                             Time now,
                                             const engines::Caller& caller = {});
  /// `expected_revision` absent: last writer wins. Errors: kNotFound, kConflict with both revisions.
  Result<DeploymentObject> update_deployment(const std::string& name_or_id,
                                             fleet::DeploymentSpec spec,
                                             std::optional<std::uint64_t> expected_revision,
                                             Time now,
                                             const engines::Caller& caller = {});
  Result<void> delete_deployment(const std::string& name_or_id, Time now);
  /// Stops one instance; its deployment gets a new one.
  Result<void> delete_instance(const std::string& name_or_id, Time now);
  Result<WorkerObject> set_cordon(const std::string& name_or_id, bool cordoned, Time now);
  /// Errors: kConflict while the worker is connected.
  Result<void> delete_worker(const std::string& name_or_id, Time now);

  // --- worker connections ---
  /// Finds or makes the worker. `key_digest` empty: keep the one it has. Errors: kConflict when the name belongs to
  /// another worker that is connected.
  Result<std::string> join(const wire::Hello& hello, const std::string& key_digest, Time now);
  /// A worker that is away, known by an earlier report alone: it is shown and judged as not ready. Errors: as join.
  Result<std::string> introduce(fleet::Worker report, Time now);
  /// The digest of a worker's own key, for authentication; absent when unknown.
  [[nodiscard]] std::optional<std::string> worker_by_digest(const std::string& key_digest) const;
  /// What a worker says is put in a queue, and taken in, in order, before the next change or tick.
  [[nodiscard]] bool has_room(const std::string& worker_id) const;
  void inventory(const std::string& worker_id, wire::Inventory inventory, Time now);
  void heartbeat(const std::string& worker_id, wire::Heartbeat heartbeat, Time now);
  void report(const std::string& worker_id, wire::InstanceReport report, Time now);
  void disconnected(const std::string& worker_id, Time now);
  /// Instructions for one worker as of the last change: only instances that are its own; what is not named is left
  /// alone.
  [[nodiscard]] wire::Desired desired(const std::string& worker_id) const;
  /// Secret of a running instance whose worker is on the gateway's host; empty otherwise. Memory only.
  [[nodiscard]] std::string secret_of(const std::string& instance_id) const;

  /// Takes in what workers said, judges them, rebuilds the snapshot, runs step() until nothing is left to do, flushes
  /// statuses in one commit. An object of which an action fails is left alone for a while (controllers::hold_after),
  /// the others go on; when the store fails, or may have written what it did not confirm, everything is read again.
  TickResult tick(Time now);
  /// After an exception: the next tick reads everything again.
  void distrust();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::reconcile
