#pragma once
// Token counts between the gateway and the store: kept until they are written. One thread at a time.

#include <cstddef>
#include <map>
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
  void add(const std::vector<gateway::UsageTotals::Row>& rows);
  /// Writes all that waits, in batches; what is written waits no longer. Errors: of the store; the rest still waits.
  Result<void> write(store::Store& store, Time now);
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] std::size_t size() const { return waiting_.size(); }

 private:
  using Key = std::pair<std::string, std::string>;  // key id, model
  struct Counts {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    std::uint64_t requests = 0;
  };
  [[nodiscard]] Key place_for(const gateway::UsageTotals::Row& row) const;

  std::map<Key, Counts> waiting_;
};

}  // namespace berth::app
