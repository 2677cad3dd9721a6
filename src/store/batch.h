#pragma once
// Batch: what one transaction does. Operations run in order, capacity checks last; all of it is written or nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "store/records.h"

namespace berth::store {

/// kConflict when the id exists or a live object of that kind has the name.
struct Create {
  std::string kind;
  std::string id;
  std::string name;
  std::string spec = "{}";
  std::string status = "{}";
};

/// Absent fields stay. kNotFound when there is no such object; kConflict when `expected_revision` is not its revision
/// or the new name is taken. An update that changes nothing writes nothing and takes no revision.
struct Update {
  std::string kind;
  std::string id;
  std::optional<std::uint64_t> expected_revision;
  std::optional<std::string> name;
  std::optional<std::string> spec;  // other text than before: generation + 1
  std::optional<std::string> status;
  bool deleting = false;  // true: deleting_at becomes the batch's time, once and for good
};

/// Creates the object or overwrites its name, spec and status: for objects with a single writer, such as settings.
struct Put {
  std::string kind;
  std::string id;
  std::string name;
  std::string spec = "{}";
  std::string status = "{}";
};

/// Its claims go with it. kNotFound when there is no such object.
struct Remove {
  std::string kind;
  std::string id;
  std::optional<std::uint64_t> expected_revision;
};

/// Precondition on an object that the batch only read: kConflict unless it has this revision (0: does not exist).
struct Expect {
  std::string kind;
  std::string id;
  std::uint64_t revision = 0;
};

struct DeviceBytes {
  std::string worker;
  std::string device;  // empty: RAM of the worker
  Bytes bytes;
};

/// Replaces all claims of the instance, which must exist (kNotFound) as an object of kind "instance". kConflict when
/// it already holds claims of a newer generation.
struct SetClaims {
  std::string instance;
  std::uint64_t generation = 0;
  std::vector<DeviceBytes> claims;
};

struct ReleaseClaims {
  std::string instance;
};

/// After all operations of the batch: the sum of all claims on (worker, device) must be ≤ capacity, else kConflict with
/// a Shortfall. Put one for each device that the batch claims.
struct CheckCapacity {
  std::string worker;
  std::string device;
  Bytes capacity;
};

/// Time is the batch's.
struct AddEvent {
  std::string object_kind;
  std::string object_id;
  std::string type = "normal";
  std::string reason;
  std::string message;
};

/// created_at stays as given. kConflict when the id exists.
struct AddDecision {
  DecisionRow decision;
};

/// Adds to the counters of (key, model, hour of the batch's time).
struct AddUsage {
  std::string key_id;
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 1;
};

struct AddAudit {
  std::string actor;
  std::string action;
  std::string object;
  std::string detail;
};

using Operation = std::variant<Create,
                               Update,
                               Put,
                               Remove,
                               Expect,
                               SetClaims,
                               ReleaseClaims,
                               CheckCapacity,
                               AddEvent,
                               AddDecision,
                               AddUsage,
                               AddAudit>;

/// `at` stamps everything that the batch writes: the store reads no clock for its records. `epoch` fences: 0 is not
/// fenced, else kConflict when a newer epoch was taken by next_epoch().
struct Batch {
  Time at{};
  std::uint64_t epoch = 0;
  std::vector<Operation> operations;

  template <class Op>
  Batch& add(Op op) {
    operations.emplace_back(std::move(op));
    return *this;
  }
};

/// `revisions[i]` belongs to operations[i]: the object's revision after it, 0 for operations on no object (a removal
/// has the revision of its change). `revision` is the store's after the batch.
struct Committed {
  std::uint64_t revision = 0;
  std::vector<std::uint64_t> revisions;
};

/// Why a CheckCapacity failed. `needed`: what this batch claims there; `available`: capacity − all other claims.
struct Shortfall {
  std::string worker;
  std::string device;
  Bytes needed;
  Bytes available;
};

}  // namespace berth::store
