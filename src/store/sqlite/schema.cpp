#include "store/sqlite/schema.h"

#include <array>
#include <cstdint>
#include <fmt/format.h>

namespace berth::store::sqlite {
namespace {

/// "brth": tells our files from other SQLite databases.
constexpr std::uint64_t kApplicationId = 0x62727468;

constexpr const char* kStep1 = R"(
CREATE TABLE counters (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  revision INTEGER NOT NULL,
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES (1, 0, 0);

CREATE TABLE objects (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  spec TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleting_at INTEGER,
  PRIMARY KEY (kind, id)
) STRICT;
CREATE UNIQUE INDEX objects_live_name ON objects (kind, name) WHERE deleting_at IS NULL;
CREATE INDEX objects_name ON objects (kind, name);

CREATE TABLE changes (
  revision INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  removed INTEGER NOT NULL
) STRICT;

CREATE TABLE claims (
  instance TEXT NOT NULL,
  worker TEXT NOT NULL,
  device TEXT NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes >= 0),
  generation INTEGER NOT NULL,
  PRIMARY KEY (instance, worker, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_device ON claims (worker, device);

CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  object_kind TEXT NOT NULL,
  object_id TEXT NOT NULL,
  type TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  count INTEGER NOT NULL
) STRICT;
CREATE INDEX events_object ON events (object_id, last_at, id);
CREATE INDEX events_last_at ON events (last_at, id);

CREATE TABLE decisions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  deployment TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  snapshot_hash TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  policy_hash TEXT NOT NULL,
  catalog_hash TEXT NOT NULL,
  verdict TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_deployment ON decisions (deployment, sequence);

CREATE TABLE usage (
  key_id TEXT NOT NULL,
  model TEXT NOT NULL,
  hour INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  PRIMARY KEY (key_id, model, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_hour ON usage (hour);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
)";

constexpr std::array kSteps{kStep1};

Result<std::uint64_t> single(Db& db, std::string_view sql) {
  Query q = db.query(sql);
  const std::uint64_t value = q.step() ? q.number(0) : 0;
  TRY_VOID(q.done());
  return value;
}

/// Marks a new file as ours; refuses one of another program.
Result<void> claim_file(Db& db) {
  TRY(const std::uint64_t id, single(db, "PRAGMA application_id"));
  if (id == kApplicationId) return {};
  TRY(const std::uint64_t tables, single(db, "SELECT count(*) FROM sqlite_schema"));
  if (id != 0 || tables != 0) {
    return fail(Code::kInternal,
                fmt::format("{} is a database of another program: give berth a path of its own", db.path()));
  }
  TRY_VOID(db.exec("BEGIN IMMEDIATE"));
  TRY_VOID(db.exec("PRAGMA application_id = 1651668072"));
  static_assert(kApplicationId == 1651668072);
  TRY_VOID(
      db.exec("CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;"
              "INSERT INTO schema_version VALUES (0)"));
  return db.exec("COMMIT");
}

Result<void> apply_step(Db& db, const char* step, std::uint64_t version) {
  TRY_VOID(db.exec("BEGIN IMMEDIATE"));
  TRY_VOID(db.exec(step));
  TRY_VOID(db.run("UPDATE schema_version SET version = ?1", version));
  return db.exec("COMMIT");
}

}  // namespace

std::span<const char* const> schema_steps() { return kSteps; }

Result<void> migrate(Db& db, std::span<const char* const> steps) {
  TRY_VOID(claim_file(db));
  TRY(const std::uint64_t version, single(db, "SELECT version FROM schema_version"));
  if (version > steps.size()) {
    return fail(Code::kNotSupported,
                fmt::format("{} has schema version {}, this berth knows up to {}: run the newer berth, or "
                            "restore a backup made before its upgrade",
                            db.path(),
                            version,
                            steps.size()));
  }
  for (std::uint64_t next = version; next < steps.size(); ++next) {
    if (auto done = apply_step(db, steps[next], next + 1); !done) {
      if (!db.idle()) (void)db.exec("ROLLBACK");
      return in(fmt::format("schema step {}", next + 1), std::move(done).error());
    }
  }
  return {};
}

}  // namespace berth::store::sqlite
