#pragma once
// Token counts between the gateway and the store: kept until they are written, and written once, even where the store
// does not confirm what it wrote: each batch bears a mark that the store keeps. One thread at a time.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "gateway/ports.h"
#include "store/store.h"

namespace berth::app {

/// Pairs of key and model that may wait. Counts of further pairs are added to kOtherModels of their key, as often
/// again, and beyond that to kOtherKeys: no token is lost.
constexpr std::size_t kUsageWaitingMax = 10'000;
constexpr std::string_view kOtherModels = "(others)";
constexpr std::string_view kOtherKeys = "(others)";

class UsageLedger {
 public:
  /// `writer`: another one for each ledger that ever writes to the same store.
  explicit UsageLedger(std::string writer) : writer_(std::move(writer)) {}
  void add(const std::vector<gateway::UsageTotals::Row>& rows);
  /// Writes all that waits, in batches; what is written waits no longer. Errors: of the store; the rest still waits.
  Result<void> write(store::Store& store, Time now);
  [[nodiscard]] bool empty() const { return waiting_.empty() && !open_; }
  /// Counts that are not known to be written.
  [[nodiscard]] std::size_t size() const { return waiting_.size() + (open_ ? open_->operations.size() : 0); }

 private:
  using Key = std::pair<std::string, std::string>;  // key id, model
  struct Counts {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    std::uint64_t requests = 0;
  };
  [[nodiscard]] Key place_for(const gateway::UsageTotals::Row& row) const;
  /// Writes `open_`, unless the store has it already.
  Result<void> write_open(store::Store& store);
  void take_open(Time now);

  std::string writer_;
  std::map<Key, Counts> waiting_;
  std::optional<store::Batch> open_;      // tried, not confirmed: written again as it is, never twice
  std::string mark_;                      // what the store keeps of it
  std::optional<std::uint64_t> written_;  // revision of the mark in the store, 0 without one; absent: not read yet
};

}  // namespace berth::app
