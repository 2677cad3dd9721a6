#include "app/usage_ledger.h"

#include <algorithm>

namespace berth::app {

UsageLedger::Key UsageLedger::place_for(const gateway::UsageTotals::Row& row) const {
  Key key{row.key_id, row.model.empty() ? "-" : row.model};
  if (waiting_.contains(key) || waiting_.size() < kUsageWaitingMax) return key;
  Key others{row.key_id, std::string(kOtherModels)};
  if (waiting_.contains(others) || waiting_.size() < 2 * kUsageWaitingMax) return others;
  return {std::string(kOtherKeys), std::string(kOtherModels)};
}

void UsageLedger::add(const std::vector<gateway::UsageTotals::Row>& rows) {
  for (const auto& row : rows) {
    auto& counts = waiting_[place_for(row)];
    counts.prompt_tokens += row.prompt_tokens;
    counts.completion_tokens += row.completion_tokens;
    counts.requests += row.requests;
  }
}

Result<void> UsageLedger::write(store::Store& store, Time now) {
  while (!waiting_.empty()) {
    store::Batch batch{.at = now, .epoch = 0, .operations = {}};
    auto end = waiting_.begin();
    for (; end != waiting_.end() && batch.operations.size() < store::kOperationsMax; ++end)
      batch.add(store::AddUsage{.key_id = end->first.first,
                                .model = end->first.second,
                                .prompt_tokens = end->second.prompt_tokens,
                                .completion_tokens = end->second.completion_tokens,
                                .requests = end->second.requests});
    TRY_VOID(store.commit(std::move(batch)));
    waiting_.erase(waiting_.begin(), end);
  }
  return {};
}

}  // namespace berth::app
