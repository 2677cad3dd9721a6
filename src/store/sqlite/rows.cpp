#include "store/sqlite/rows.h"

#include "base/result.h"

namespace berth::store::sqlite {

Object row_object(const Query& q) {
  return {.kind = q.text(0),
          .id = q.text(1),
          .name = q.text(2),
          .revision = q.number(3),
          .generation = q.number(4),
          .epoch = q.number(5),
          .spec = q.text(6),
          .status = q.text(7),
          .created_at = q.time(8),
          .updated_at = q.time(9),
          .deleting_at = q.optional_time(10)};
}

ClaimRow row_claim(const Query& q) {
  return {.instance = q.text(0),
          .worker = q.text(1),
          .device = q.text(2),
          .bytes = Bytes(q.number(3)),
          .generation = q.number(4)};
}

Event row_event(const Query& q) {
  return {.id = q.number(0),
          .object_kind = q.text(1),
          .object_id = q.text(2),
          .type = q.text(3),
          .reason = q.text(4),
          .message = q.text(5),
          .first_at = q.time(6),
          .last_at = q.time(7),
          .count = q.number(8)};
}

DecisionRow row_decision(const Query& q) {
  return {.id = q.text(0),
          .deployment = q.text(1),
          .created_at = q.time(2),
          .snapshot_hash = q.text(3),
          .request_hash = q.text(4),
          .policy_hash = q.text(5),
          .catalog_hash = q.text(6),
          .verdict = q.text(7),
          .body = q.text(8)};
}

AuditRow row_audit(const Query& q) {
  return {.id = q.number(0),
          .at = q.time(1),
          .actor = q.text(2),
          .action = q.text(3),
          .object = q.text(4),
          .detail = q.text(5)};
}

Result<detail::Counters> read_counters(Db& db) {
  Query q = db.query("SELECT revision, epoch FROM counters");
  detail::Counters counters;
  if (q.step()) counters = {.revision = q.number(0), .epoch = q.number(1)};
  TRY_VOID(q.done());
  return counters;
}

Result<std::optional<Object>> read_object(Db& db, std::string_view kind, std::string_view id) {
  Query q = db.query("SELECT " BERTH_OBJECT_COLUMNS " FROM objects WHERE kind = ?1 AND id = ?2", kind, id);
  return first(q, &row_object);
}

}  // namespace berth::store::sqlite
