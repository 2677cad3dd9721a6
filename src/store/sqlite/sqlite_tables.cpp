#include "store/sqlite/sqlite_tables.h"

#include <algorithm>

#include "store/sqlite/rows.h"
#include "store/store.h"

namespace berth::store::sqlite {

Result<detail::Counters> SqliteTables::counters() { return read_counters(db_); }

Result<void> SqliteTables::save_counters(const detail::Counters& counters) {
  return db_.run("UPDATE counters SET revision = ?1, epoch = ?2", counters.revision, counters.epoch);
}

Result<std::optional<Object>> SqliteTables::object(const std::string& kind, const std::string& id) {
  return read_object(db_, kind, id);
}

Result<std::optional<std::string>> SqliteTables::live_name(const std::string& kind, const std::string& name) {
  Query q = db_.query("SELECT id FROM objects WHERE kind = ?1 AND name = ?2 AND deleting_at IS NULL", kind, name);
  std::optional<std::string> id;
  if (q.step()) id = q.text(0);
  TRY_VOID(q.done());
  return id;
}

Result<void> SqliteTables::save_object(const Object& o) {
  return db_.run("INSERT INTO objects (" BERTH_OBJECT_COLUMNS
                 ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
                 " ON CONFLICT (kind, id) DO UPDATE SET name = ?3, revision = ?4, generation = ?5, epoch = ?6,"
                 " spec = ?7, status = ?8, updated_at = ?10, deleting_at = ?11",
                 o.kind,
                 o.id,
                 o.name,
                 o.revision,
                 o.generation,
                 o.epoch,
                 o.spec,
                 o.status,
                 o.created_at,
                 o.updated_at,
                 o.deleting_at);
}

Result<void> SqliteTables::erase_object(const std::string& kind, const std::string& id) {
  return db_.run("DELETE FROM objects WHERE kind = ?1 AND id = ?2", kind, id);
}

Result<void> SqliteTables::add_change(const Change& change) {
  TRY_VOID(db_.run("INSERT INTO changes (revision, kind, id, removed) VALUES (?1, ?2, ?3, ?4)",
                   change.revision,
                   change.kind,
                   change.id,
                   std::uint64_t{change.change == ChangeKind::kRemoved ? 1U : 0U}));
  if (change.revision <= kChangesKept) return {};
  return db_.run("DELETE FROM changes WHERE revision <= ?1", change.revision - kChangesKept);
}

Result<std::vector<ClaimRow>> SqliteTables::claims_of(const std::string& instance) {
  Query q = db_.query(
      "SELECT " BERTH_CLAIM_COLUMNS " FROM claims WHERE instance = ?1 ORDER BY instance, worker, device", instance);
  return all(q, &row_claim);
}

Result<std::vector<ClaimRow>> SqliteTables::claims_on(const std::string& worker, const std::string& device) {
  Query q = db_.query(
      "SELECT " BERTH_CLAIM_COLUMNS " FROM claims WHERE worker = ?1 AND device = ?2 ORDER BY instance", worker, device);
  return all(q, &row_claim);
}

Result<void> SqliteTables::save_claims(const std::string& instance, const std::vector<ClaimRow>& claims) {
  TRY_VOID(db_.run("DELETE FROM claims WHERE instance = ?1", instance));
  for (const ClaimRow& claim : claims) {
    TRY_VOID(db_.run("INSERT INTO claims (" BERTH_CLAIM_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5)",
                     instance,
                     claim.worker,
                     claim.device,
                     claim.bytes.value,
                     claim.generation));
  }
  return {};
}

Result<std::uint64_t> SqliteTables::trim_below(std::size_t kept) {
  Query q = db_.query("SELECT max(last_insert_rowid() - ?1, 0)", std::uint64_t{kept});
  const std::uint64_t bound = q.step() ? q.number(0) : 0;
  TRY_VOID(q.done());
  return bound;
}

Result<void> SqliteTables::add_event(const Event& e) {
  Query counted = db_.query(
      "UPDATE events SET count = count + 1, last_at = max(last_at, ?6) WHERE object_id = ?1 AND object_kind = ?2"
      " AND type = ?3 AND reason = ?4 AND message = ?5 RETURNING id",
      e.object_id,
      e.object_kind,
      e.type,
      e.reason,
      e.message,
      e.last_at);
  bool known = false;
  while (counted.step()) known = true;
  TRY_VOID(counted.done());
  if (known) return {};
  TRY_VOID(
      db_.run("INSERT INTO events (object_kind, object_id, type, reason, message, first_at, last_at, count)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)",
              e.object_kind,
              e.object_id,
              e.type,
              e.reason,
              e.message,
              e.first_at,
              e.last_at));
  TRY(const std::uint64_t bound, trim_below(kEventsKept));
  TRY_VOID(db_.run("DELETE FROM events WHERE id <= ?1", bound));
  return db_.run(
      "DELETE FROM events WHERE id IN"
      " (SELECT id FROM events WHERE object_id = ?1 ORDER BY last_at DESC, id DESC LIMIT -1 OFFSET ?2)",
      e.object_id,
      std::uint64_t{kEventsPerObject});
}

Result<bool> SqliteTables::add_decision(const DecisionRow& d) {
  Query inserted = db_.query("INSERT INTO decisions (" BERTH_DECISION_COLUMNS
                             ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                             " ON CONFLICT (id) DO NOTHING RETURNING sequence",
                             d.id,
                             d.deployment,
                             d.created_at,
                             d.snapshot_hash,
                             d.request_hash,
                             d.policy_hash,
                             d.catalog_hash,
                             d.verdict,
                             d.body);
  bool added = false;
  while (inserted.step()) added = true;
  TRY_VOID(inserted.done());
  if (!added) return false;
  TRY(const std::uint64_t bound, trim_below(kDecisionsKept));
  TRY_VOID(db_.run("DELETE FROM decisions WHERE sequence <= ?1", bound));
  TRY_VOID(
      db_.run("DELETE FROM decisions WHERE sequence IN"
              " (SELECT sequence FROM decisions WHERE deployment = ?1 ORDER BY sequence DESC LIMIT -1 OFFSET ?2)",
              d.deployment,
              std::uint64_t{d.deployment.empty() ? kDecisionsUnowned : kDecisionsPerDeployment}));
  return true;
}

Result<void> SqliteTables::add_usage(const detail::UsageAdd& u) {
  const auto capped = [](std::uint64_t n) { return std::min(n, detail::kUsageCounterMax); };
  TRY_VOID(
      db_.run("INSERT INTO usage (key_id, model, hour, prompt_tokens, completion_tokens, requests)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key_id, model, hour) DO UPDATE SET"
              " prompt_tokens = min(prompt_tokens + ?4, ?7),"
              " completion_tokens = min(completion_tokens + ?5, ?7),"
              " requests = min(requests + ?6, ?7)",
              u.key_id,
              u.model,
              u.hour,
              capped(u.prompt_tokens),
              capped(u.completion_tokens),
              capped(u.requests),
              detail::kUsageCounterMax));
  return db_.run("DELETE FROM usage WHERE hour < ?1", Time{u.hour - kUsageKept});
}

Result<void> SqliteTables::add_audit(const AuditRow& a) {
  TRY_VOID(db_.run("INSERT INTO audit (at, actor, action, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
                   a.at,
                   a.actor,
                   a.action,
                   a.object,
                   a.detail));
  TRY(const std::uint64_t bound, trim_below(kAuditKept));
  return db_.run("DELETE FROM audit WHERE id <= ?1", bound);
}

}  // namespace berth::store::sqlite
