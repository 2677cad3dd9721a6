#include "store/sqlite/writer.h"

#include <algorithm>
#include <exception>
#include <fmt/format.h>
#include <utility>

#include "base/log.h"
#include "store/detail/apply.h"
#include "store/sqlite/sqlite_tables.h"

namespace berth::store::sqlite {
namespace {

void answer_all(Group group, const Error& error) {
  for (const auto& pending : group) pending->result = error;
}

}  // namespace

void Writer::run(Group group) {
  if (broken_) return answer_all(group, *broken_);
  auto done = together(group);
  if (done) return;
  const bool full = (db_.last_code() & 0xFF) == SQLITE_FULL;
  if (!db_.idle()) (void)db_.exec("ROLLBACK");
  if (broken_ || !full || group.size() == 1) return answer_all(group, done.error());
  for (std::size_t i = 0; i < group.size(); ++i) run(group.subspan(i, 1));
}

Result<void> Writer::together(Group group) {
  TRY_VOID(db_.exec("BEGIN IMMEDIATE"));
  std::vector<Result<Committed>> results;
  results.reserve(group.size());
  bool wrote = false;
  std::uint64_t revision = 0;
  for (const auto& pending : group) {
    TRY(Result<Committed> result, guarded(*pending));
    wrote = wrote || result.has_value();
    if (result && !pending->raise_epoch) revision = result->revision;
    results.push_back(std::move(result));
  }
  if (!wrote) {
    TRY_VOID(db_.exec("ROLLBACK"));
  } else if (auto committed = db_.exec("COMMIT"); !committed) {
    // After a failed fsync the kernel may have dropped the pages: trying again could report success for lost data.
    if ((db_.last_code() & 0xFF) == SQLITE_IOERR) {
      broken_ = committed.error();
      log::error("the database's disk fails: no more changes are accepted", {log::kv("error", broken_->message)});
    }
    return committed;
  }
  account(group, results, wrote ? revision : 0);
  for (std::size_t i = 0; i < group.size(); ++i) group[i]->result = std::move(results[i]);
  return {};
}

Result<Result<Committed>> Writer::guarded(Pending& pending) {
  TRY_VOID(db_.exec("SAVEPOINT batch"));
  Result<Committed> result = one(pending);
  if (!result) {
    if (db_.idle()) return std::move(result).error();
    TRY_VOID(db_.exec("ROLLBACK TO batch"));
  }
  TRY_VOID(db_.exec("RELEASE batch"));
  return Result<Result<Committed>>(std::move(result));
}

Result<Committed> Writer::one(Pending& pending) {
  // A bug in one batch must not end the thread that all others wait for.
  try {
    SqliteTables tables(db_);
    if (!pending.raise_epoch) return detail::apply(tables, pending.batch, pending.shortfall);
    TRY(const std::uint64_t epoch, detail::raise_epoch(tables));
    return Committed{.revision = epoch, .revisions = {}};
  } catch (const std::exception& bug) {
    return fail(Code::kInternal, fmt::format("the store failed on this batch: {}", bug.what()));
  }
}

void Writer::account(Group group, const std::vector<Result<Committed>>& results, std::uint64_t revision) {
  Store::Listener listener;
  {
    const std::lock_guard lock(mutex_);
    const auto committed = static_cast<std::uint64_t>(
        std::count_if(results.begin(), results.end(), [](const auto& result) { return result.has_value(); }));
    stats_.batches += committed;
    stats_.refused += group.size() - committed;
    stats_.transactions += committed > 0 ? 1 : 0;
    stats_.group_max = std::max(stats_.group_max, committed);
    if (revision <= announced_) return;
    announced_ = revision;
    listener = listener_;
  }
  if (listener) listener(revision);
}

Stats Writer::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Writer::set_listener(Store::Listener listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

}  // namespace berth::store::sqlite
