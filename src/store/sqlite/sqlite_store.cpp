#include "store/sqlite/sqlite_store.h"

#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <utility>

#include "store/detail/check.h"
#include "store/sqlite/db.h"
#include "store/sqlite/file_lock.h"
#include "store/sqlite/group_commit.h"
#include "store/sqlite/readers.h"
#include "store/sqlite/reads.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/writer.h"

namespace berth::store {
namespace {

using sqlite::Db;

class SqliteStore final : public Store {
 public:
  SqliteStore(sqlite::FileLock lock, std::unique_ptr<Db> db)
      : lock_(std::move(lock)),
        db_(std::move(db)),
        writer_(*db_),
        group_([this](sqlite::Group group) { writer_.run(group); }) {}

  Result<void> open_readers() { return readers_.open(db_->path()); }

  Result<Committed> commit(Batch batch, Duration timeout, Shortfall* shortfall) override {
    TRY_VOID(detail::check(batch));
    auto pending = std::make_shared<sqlite::Pending>();
    pending->batch = std::move(batch);
    auto result = group_.submit(pending, timeout);
    // After a timeout the writer may still be at it: only a finished refusal has a shortfall to read.
    if (shortfall != nullptr && !result && result.error().code == Code::kConflict) *shortfall = pending->shortfall;
    return result;
  }

  Result<std::uint64_t> next_epoch() override {
    auto pending = std::make_shared<sqlite::Pending>();
    pending->raise_epoch = true;
    TRY(const Committed done, group_.submit(pending, kCommitTimeout));
    return done.revision;
  }

  Result<Object> get(std::string_view kind, std::string_view id) override {
    return readers_.with([&](Db& db) -> Result<Object> {
      TRY(auto found, sqlite::read_object(db, kind, id));
      if (!found) return detail::not_found(kind, id);
      return *std::move(found);
    });
  }
  Result<Object> get_by_name(std::string_view kind, std::string_view name) override {
    return readers_.with([&](Db& db) { return sqlite::read_by_name(db, kind, name); });
  }
  Result<Page> list(const ListQuery& query) override {
    return readers_.with([&](Db& db) { return sqlite::read_page(db, query); });
  }
  Result<State> read_state(const std::vector<std::string>& kinds) override {
    return readers_.with([&](Db& db) { return sqlite::read_whole_state(db, kinds); });
  }
  Result<std::vector<ClaimRow>> list_claims(const ClaimQuery& query) override {
    return readers_.with([&](Db& db) { return sqlite::read_claims(db, query); });
  }
  Result<std::vector<Event>> list_events(const EventQuery& query) override {
    return readers_.with([&](Db& db) { return sqlite::read_events(db, query); });
  }
  Result<DecisionRow> get_decision(std::string_view id) override {
    return readers_.with([&](Db& db) { return sqlite::read_decision(db, id); });
  }
  Result<std::vector<DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) override {
    return readers_.with([&](Db& db) { return sqlite::read_decisions(db, deployment, limit); });
  }
  Result<std::vector<UsageSum>> usage(const UsageQuery& query) override {
    return readers_.with([&](Db& db) { return sqlite::read_usage(db, query); });
  }
  Result<std::vector<AuditRow>> list_audit(std::size_t limit) override {
    return readers_.with([&](Db& db) { return sqlite::read_audit(db, limit); });
  }
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return readers_.with([&](Db& db) { return sqlite::read_changes(db, revision, limit); });
  }
  Result<std::uint64_t> revision() override {
    TRY(const auto counters, readers_.with([](Db& db) { return sqlite::read_counters(db); }));
    return counters.revision;
  }
  [[nodiscard]] Stats stats() const override { return writer_.stats(); }
  void set_listener(Listener listener) override { writer_.set_listener(std::move(listener)); }

 private:
  // Reverse order is the shutdown order: the queue drains first, the lock goes last.
  sqlite::FileLock lock_;
  std::unique_ptr<Db> db_;
  sqlite::Readers readers_;
  sqlite::Writer writer_;
  sqlite::GroupCommit group_;
};

Result<std::string> text_of(Db& db, std::string_view sql) {
  sqlite::Query q = db.query(sql);
  std::string text = q.step() ? q.text(0) : "";
  TRY_VOID(q.done());
  return text;
}

Result<void> prepare(Db& db, const SqliteOptions& options) {
  TRY(const std::string damage, text_of(db, "PRAGMA quick_check(1)"));
  if (damage != "ok") return in(damage, db.error(SQLITE_CORRUPT));
  TRY(const std::string mode, text_of(db, "PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return fail(Code::kUnavailable,
                fmt::format("{} lies on a file system without shared memory (journal mode stays {}): use a local disk",
                            options.path,
                            mode));
  }
  TRY_VOID(db.exec("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864"));
  if (options.pages_max) TRY_VOID(db.exec(fmt::format("PRAGMA max_page_count = {}", *options.pages_max).c_str()));
  return sqlite::migrate(db, sqlite::schema_steps());
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite(const SqliteOptions& options) {
  // One file has one lock, however its path is spelled.
  std::error_code error;
  const std::filesystem::path path = std::filesystem::weakly_canonical(options.path, error);
  if (error) return invalid(fmt::format("database path {}: {}", options.path, error.message()));
  TRY(auto lock, sqlite::FileLock::take(path.string()));
  TRY(auto db, Db::open(path.string()));
  TRY_VOID(prepare(*db, options));
  auto store = std::make_unique<SqliteStore>(std::move(lock), std::move(db));
  TRY_VOID(store->open_readers());
  return Result<std::unique_ptr<Store>>(std::move(store));
}

}  // namespace berth::store
