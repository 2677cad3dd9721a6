#pragma once
// Tables: the rows under one open transaction. The rules of a batch are written once (apply.h) against it; a kind of
// store only reads and writes rows, keeps the bounds of store.h and can undo.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/records.h"

namespace berth::store::detail {

struct Counters {
  std::uint64_t revision = 0;
  std::uint64_t epoch = 0;

  friend bool operator==(const Counters&, const Counters&) = default;
};

/// One hour of one key and model. `hour`: its start.
struct UsageAdd {
  std::string key_id;
  std::string model;
  Time hour{};
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 0;
};

/// Largest counter of one hour: more is kept as this, so that sums over all rows stay inside 63 bits.
constexpr std::uint64_t kUsageCounterMax = std::uint64_t{1} << 40;

class Tables {
 public:
  virtual ~Tables() = default;

  virtual Result<Counters> counters() = 0;
  virtual Result<void> save_counters(const Counters& counters) = 0;

  virtual Result<std::optional<Object>> object(const std::string& kind, const std::string& id) = 0;
  /// Id of the object of that name that is not being deleted.
  virtual Result<std::optional<std::string>> live_name(const std::string& kind, const std::string& name) = 0;
  /// Inserts or replaces.
  virtual Result<void> save_object(const Object& object) = 0;
  virtual Result<void> erase_object(const std::string& kind, const std::string& id) = 0;
  virtual Result<void> add_change(const Change& change) = 0;

  virtual Result<std::vector<ClaimRow>> claims_of(const std::string& instance) = 0;
  virtual Result<std::vector<ClaimRow>> claims_on(const std::string& worker, const std::string& device) = 0;
  /// Replaces all claims of the instance.
  virtual Result<void> save_claims(const std::string& instance, const std::vector<ClaimRow>& claims) = 0;

  /// Counts an equal event up or inserts; `event.id` is ignored.
  virtual Result<void> add_event(const Event& event) = 0;
  /// False when the id exists.
  virtual Result<bool> add_decision(const DecisionRow& decision) = 0;
  virtual Result<void> add_usage(const UsageAdd& usage) = 0;
  /// `audit.id` is ignored.
  virtual Result<void> add_audit(const AuditRow& audit) = 0;
};

}  // namespace berth::store::detail
