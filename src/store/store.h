#pragma once
// Store: objects, claims, events, decisions, usage and audit behind one transactional interface (DESIGN §6).
//
// Synchronous and thread-safe: callers run it on a pool thread. An answer of commit() means durable: it survives
// kill -9 and a power cut. Implementations: memory/memory_store.h and sqlite/sqlite_store.h; contract_test.cpp is the
// suite that both pass.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "store/batch.h"
#include "store/records.h"

namespace berth::store {

constexpr std::size_t kPageMax = 1000;                 // rows of one list answer; larger limits are cut to it
constexpr std::size_t kOperationsMax = 1000;           // of one batch
constexpr std::size_t kIdMax = 128;                    // bytes of kind, id, name and other keys
constexpr std::size_t kTextMax = 4096;                 // bytes of an event's message or an audit detail
constexpr std::size_t kDocumentMax = 8 * 1024 * 1024;  // bytes of spec, status or a decision's body
constexpr std::size_t kStateObjectsMax = 200'000;      // objects of one read_state()
constexpr std::size_t kChangesKept = 10'000;           // older changes are too_old for a watch
constexpr std::size_t kEventsPerObject = 100;          // the newest stay
constexpr std::size_t kEventsKept = 50'000;            // over all objects
constexpr std::size_t kDecisionsPerDeployment = 20;    // the newest stay
constexpr std::size_t kDecisionsUnowned = 200;         // of questions that belong to no deployment
constexpr std::size_t kDecisionsKept = 20'000;         // over all deployments
constexpr std::size_t kAuditKept = 100'000;
constexpr std::chrono::hours kUsageKept{24 * 400};  // a year and a month of hourly counters
constexpr Duration kCommitTimeout{30'000};          // a disk that answers later than this is broken
constexpr std::size_t kPendingMax = 4096;           // commits that may wait for the disk; more get kUnavailable

/// One page in id order. `next` is the `after` of the next query, empty at the end. `revision`: of the store at the
/// time of reading, from which a watch continues without a gap.
struct ListQuery {
  std::string kind;
  std::string after;  // empty: from the start
  std::size_t limit = 100;
};
struct Page {
  std::vector<Object> objects;
  std::string next;
  std::uint64_t revision = 0;
};

/// All objects of some kinds and all claims at one moment: what the snapshot builder reads.
struct State {
  std::uint64_t revision = 0;
  std::vector<Object> objects;   // by kind, then id
  std::vector<ClaimRow> claims;  // by instance, worker, device
};

/// Absent fields select all. Sorted by instance, worker, device.
struct ClaimQuery {
  std::optional<std::string> worker;
  std::optional<std::string> instance;
};

/// Newest first. `object_id` empty: of all objects.
struct EventQuery {
  std::string object_id;
  std::size_t limit = 100;
};

/// Sums per (key, model), sorted by them; absent fields select all; hours in [from, to).
struct UsageQuery {
  std::optional<std::string> key_id;
  std::optional<std::string> model;
  std::optional<Time> from;
  std::optional<Time> to;
};

/// Changes after a revision, contiguous. `too_old`: some of them were trimmed (HTTP 410): list again, then watch from
/// the list's revision. `revision`: the store's; there is more while the last change is below it.
struct Changes {
  bool too_old = false;
  std::uint64_t revision = 0;
  std::vector<Change> changes;
};

/// Counters since opening. `transactions` ≤ `batches`: how well commits shared an fsync.
struct Stats {
  std::uint64_t batches = 0;       // committed
  std::uint64_t refused = 0;       // conflicts, missing objects, invalid batches
  std::uint64_t transactions = 0;  // durable COMMITs
  std::uint64_t group_max = 0;     // most batches in one transaction
};

/// Errors of all calls: kUnavailable when the disk is full or fails (nothing of the batch was written), kInternal when
/// the database is damaged; the message says what to do.
class Store {
 public:
  virtual ~Store() = default;

  /// Applies `batch` whole or not at all and returns once it is durable. Errors: kInvalid (names the field), kNotFound,
  /// kConflict (which object and revisions, or the device; then `*shortfall` is filled when given), kUnavailable,
  /// kTimeout after `timeout` (the message says whether it may have been written).
  virtual Result<Committed> commit(Batch batch, Duration timeout = kCommitTimeout, Shortfall* shortfall = nullptr) = 0;

  /// Raises the leader's epoch, durably; batches with a lower non-zero epoch are refused from then on.
  virtual Result<std::uint64_t> next_epoch() = 0;

  /// kNotFound: `deployment "x" does not exist`.
  virtual Result<Object> get(std::string_view kind, std::string_view id) = 0;
  /// The live object of that name, else the newest of those being deleted.
  virtual Result<Object> get_by_name(std::string_view kind, std::string_view name) = 0;
  virtual Result<Page> list(const ListQuery& query) = 0;
  virtual Result<State> read_state(const std::vector<std::string>& kinds) = 0;
  virtual Result<std::vector<ClaimRow>> list_claims(const ClaimQuery& query) = 0;
  virtual Result<std::vector<Event>> list_events(const EventQuery& query) = 0;

  virtual Result<DecisionRow> get_decision(std::string_view id) = 0;
  /// Newest first; front is the one in force.
  virtual Result<std::vector<DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) = 0;
  virtual Result<std::vector<UsageSum>> usage(const UsageQuery& query) = 0;
  /// Newest first.
  virtual Result<std::vector<AuditRow>> list_audit(std::size_t limit) = 0;

  virtual Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) = 0;
  virtual Result<std::uint64_t> revision() = 0;
  [[nodiscard]] virtual Stats stats() const = 0;

  /// Called with the store's revision after every durable change, on a thread of the store; must be quick and must not
  /// call the store. Set before the first commit; empty to stop.
  using Listener = std::function<void(std::uint64_t revision)>;
  virtual void set_listener(Listener listener) = 0;
};

}  // namespace berth::store
