#pragma once
// Columns ↔ records, and the single-row reads that both readers and the writer use.

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/detail/tables.h"
#include "store/records.h"
#include "store/sqlite/db.h"

namespace berth::store::sqlite {

/// Column lists in the order that the row_ functions read.
#define BERTH_OBJECT_COLUMNS \
  "kind, id, name, revision, generation, epoch, spec, status, created_at, updated_at, deleting_at"
#define BERTH_CLAIM_COLUMNS "instance, worker, device, bytes, generation"
#define BERTH_EVENT_COLUMNS "id, object_kind, object_id, type, reason, message, first_at, last_at, count"
#define BERTH_DECISION_COLUMNS \
  "id, deployment, created_at, snapshot_hash, request_hash, policy_hash, catalog_hash, verdict, body"
#define BERTH_AUDIT_COLUMNS "id, at, actor, action, object, detail"

Object row_object(const Query& q);
ClaimRow row_claim(const Query& q);
Event row_event(const Query& q);
DecisionRow row_decision(const Query& q);
AuditRow row_audit(const Query& q);

/// All rows of `q` through one of the functions above.
template <class Row>
Result<std::vector<Row>> all(Query& q, Row (*read)(const Query&)) {
  std::vector<Row> rows;
  while (q.step()) rows.push_back(read(q));
  TRY_VOID(q.done());
  return rows;
}

/// The first row of `q`, absent when there is none.
template <class Row>
Result<std::optional<Row>> first(Query& q, Row (*read)(const Query&)) {
  std::optional<Row> row;
  if (q.step()) row = read(q);
  TRY_VOID(q.done());
  return row;
}

Result<detail::Counters> read_counters(Db& db);
Result<std::optional<Object>> read_object(Db& db, std::string_view kind, std::string_view id);

}  // namespace berth::store::sqlite
