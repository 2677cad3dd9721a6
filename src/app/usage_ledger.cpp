#include "app/usage_ledger.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace berth::app {
namespace {

constexpr std::string_view kSetting = "setting";
constexpr std::string_view kLedger = "usage_ledger";  // its spec is the mark of the last batch
constexpr std::size_t kEnds = 2;                      // operations of a batch beside its counts

Result<std::uint64_t> revision_of(Result<store::Object> object) {
  if (object) return object->revision;
  if (object.error().code == Code::kNotFound) return std::uint64_t{0};
  return object.error();
}

}  // namespace

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
  while (open_ || !waiting_.empty()) {
    if (!written_) {
      TRY(written_, revision_of(store.get(kSetting, kLedger)));
    }
    if (!open_) take_open(now);
    TRY_VOID(write_open(store));
  }
  return {};
}

/// Moves a batch's worth of what waits into `open_`. Between its two ends, what the store must have before and what it
/// has after, it can be written only once.
void UsageLedger::take_open(Time now) {
  open_ = store::Batch{.at = now, .epoch = 0, .operations = {}};
  auto end = waiting_.begin();
  for (; end != waiting_.end() && open_->operations.size() + kEnds < store::kOperationsMax; ++end)
    open_->add(store::AddUsage{.key_id = end->first.first,
                               .model = end->first.second,
                               .prompt_tokens = end->second.prompt_tokens,
                               .completion_tokens = end->second.completion_tokens,
                               .requests = end->second.requests});
  waiting_.erase(waiting_.begin(), end);
  mark_ = fmt::format(R"({{"writer":"{}","after":{},"at":"{}"}})", writer_, written_.value_or(0), to_rfc3339(now));
}

Result<void> UsageLedger::write_open(store::Store& store) {
  store::Batch batch = open_.value_or(store::Batch());
  batch.add(store::Expect{.kind = std::string(kSetting), .id = std::string(kLedger), .revision = written_.value_or(0)});
  batch.add(store::Put{
      .kind = std::string(kSetting), .id = std::string(kLedger), .name = std::string(kLedger), .spec = mark_});
  auto done = store.commit(std::move(batch));
  if (done) {
    written_ = done->revisions.back();
    open_.reset();
    return {};
  }
  if (done.error().code != Code::kConflict) return done.error();
  // Another batch is in the store than the one expected: this very one, unconfirmed, or another server's.
  auto found = store.get(kSetting, kLedger);
  if (found && found->spec == mark_) open_.reset();
  TRY(written_, revision_of(std::move(found)));
  return {};
}

}  // namespace berth::app
