#pragma once
// What the store keeps. `spec` and `status` are JSON text: the store needs no codec and never looks inside.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"

namespace berth::store {

/// Envelope of every object. `revision` is global: each change of any object takes the next number, so that the list
/// of changes has no gaps. `generation` counts changes of `spec` (1 after create). `epoch` is that of the last writer.
struct Object {
  std::string kind;  // "worker", "deployment", "instance", "api_key", "user", "setting"
  std::string id;
  std::string name;  // unique per kind among objects that are not being deleted
  std::uint64_t revision = 0;
  std::uint64_t generation = 0;
  std::uint64_t epoch = 0;
  std::string spec;
  std::string status;
  Time created_at{};
  Time updated_at{};
  std::optional<Time> deleting_at;  // set once; the object goes when its controller removes it

  friend bool operator==(const Object&, const Object&) = default;
};

/// Memory that an instance holds on one device. `device` empty: RAM of the worker.
struct ClaimRow {
  std::string instance;
  std::string worker;
  std::string device;
  Bytes bytes;
  std::uint64_t generation = 0;  // of the instance's assignment: newest wins

  friend bool operator==(const ClaimRow&, const ClaimRow&) = default;
};

/// One sentence about an object. Equal (object, type, reason, message) are one row whose count rises.
struct Event {
  std::uint64_t id = 0;
  std::string object_kind;
  std::string object_id;
  std::string type;    // "normal", "warning"
  std::string reason;  // snake_case code
  std::string message;
  Time first_at{};
  Time last_at{};
  std::uint64_t count = 1;

  friend bool operator==(const Event&, const Event&) = default;
};

/// A decision with the hashes of all that went in. `deployment` empty: a question that belongs to none.
struct DecisionRow {
  std::string id;
  std::string deployment;
  Time created_at{};
  std::string snapshot_hash;
  std::string request_hash;
  std::string policy_hash;
  std::string catalog_hash;
  std::string verdict;
  std::string body;  // JSON

  friend bool operator==(const DecisionRow&, const DecisionRow&) = default;
};

struct UsageSum {
  std::string key_id;
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 0;

  friend bool operator==(const UsageSum&, const UsageSum&) = default;
};

struct AuditRow {
  std::uint64_t id = 0;
  Time at{};
  std::string actor;
  std::string action;
  std::string object;
  std::string detail;

  friend bool operator==(const AuditRow&, const AuditRow&) = default;
};

enum class ChangeKind { kPut, kRemoved };

struct Change {
  std::uint64_t revision = 0;
  std::string kind;
  std::string id;
  ChangeKind change = ChangeKind::kPut;

  friend bool operator==(const Change&, const Change&) = default;
};

}  // namespace berth::store
