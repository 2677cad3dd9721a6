#include "store/sqlite/reads.h"

#include <algorithm>
#include <set>
#include <utility>

#include "store/detail/check.h"
#include "store/sqlite/rows.h"

namespace berth::store::sqlite {
namespace {

std::uint64_t cut(std::size_t limit) { return std::min(limit, kPageMax); }

/// "Absent selects all" as two bound values: whether to filter, and for what.
std::uint64_t given(bool present) { return present ? 1 : 0; }

Change row_change(const Query& q) {
  return {.revision = q.number(0),
          .kind = q.text(1),
          .id = q.text(2),
          .change = q.number(3) != 0 ? ChangeKind::kRemoved : ChangeKind::kPut};
}

UsageSum row_usage(const Query& q) {
  return {.key_id = q.text(0),
          .model = q.text(1),
          .prompt_tokens = q.number(2),
          .completion_tokens = q.number(3),
          .requests = q.number(4)};
}

}  // namespace

Result<Object> read_by_name(Db& db, std::string_view kind, std::string_view name) {
  Query q = db.query("SELECT " BERTH_OBJECT_COLUMNS
                     " FROM objects WHERE kind = ?1 AND name = ?2"
                     " ORDER BY deleting_at IS NOT NULL, revision DESC LIMIT 1",
                     kind,
                     name);
  TRY(auto found, first(q, &row_object));
  if (!found) return detail::not_found(kind, name);
  return *std::move(found);
}

Result<Page> read_page(Db& db, const ListQuery& query) {
  const std::uint64_t limit = std::max<std::uint64_t>(cut(query.limit), 1);
  Page page;
  TRY(const detail::Counters counters, read_counters(db));
  page.revision = counters.revision;
  Query q = db.query("SELECT " BERTH_OBJECT_COLUMNS " FROM objects WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
                     query.kind,
                     query.after,
                     limit + 1);
  TRY(page.objects, all(q, &row_object));
  if (page.objects.size() > limit) {
    page.objects.pop_back();
    page.next = page.objects.back().id;
  }
  return page;
}

Result<State> read_whole_state(Db& db, const std::vector<std::string>& kinds) {
  State state;
  TRY(const detail::Counters counters, read_counters(db));
  state.revision = counters.revision;
  for (const std::string& kind : std::set(kinds.begin(), kinds.end())) {
    Query q = db.query("SELECT " BERTH_OBJECT_COLUMNS " FROM objects WHERE kind = ?1 ORDER BY id", kind);
    while (q.step()) {
      if (state.objects.size() == kStateObjectsMax) return detail::too_many_objects();
      state.objects.push_back(row_object(q));
    }
    TRY_VOID(q.done());
  }
  TRY(state.claims, read_claims(db, {}));
  return state;
}

Result<std::vector<ClaimRow>> read_claims(Db& db, const ClaimQuery& query) {
  Query q = db.query("SELECT " BERTH_CLAIM_COLUMNS
                     " FROM claims WHERE (?1 = 0 OR worker = ?2) AND (?3 = 0 OR instance = ?4)"
                     " ORDER BY instance, worker, device",
                     given(query.worker.has_value()),
                     query.worker.value_or(""),
                     given(query.instance.has_value()),
                     query.instance.value_or(""));
  return all(q, &row_claim);
}

Result<std::vector<Event>> read_events(Db& db, const EventQuery& query) {
  if (query.object_id.empty()) {
    Query q = db.query("SELECT " BERTH_EVENT_COLUMNS " FROM events ORDER BY last_at DESC, id DESC LIMIT ?1",
                       cut(query.limit));
    return all(q, &row_event);
  }
  Query q = db.query("SELECT " BERTH_EVENT_COLUMNS
                     " FROM events WHERE object_id = ?1 ORDER BY last_at DESC, id DESC LIMIT ?2",
                     query.object_id,
                     cut(query.limit));
  return all(q, &row_event);
}

Result<DecisionRow> read_decision(Db& db, std::string_view id) {
  Query q = db.query("SELECT " BERTH_DECISION_COLUMNS " FROM decisions WHERE id = ?1", id);
  TRY(auto found, first(q, &row_decision));
  if (!found) return detail::not_found("decision", id);
  return *std::move(found);
}

Result<std::vector<DecisionRow>> read_decisions(Db& db, std::string_view deployment, std::size_t limit) {
  Query q =
      db.query("SELECT " BERTH_DECISION_COLUMNS " FROM decisions WHERE deployment = ?1 ORDER BY sequence DESC LIMIT ?2",
               deployment,
               cut(limit));
  return all(q, &row_decision);
}

Result<std::vector<UsageSum>> read_usage(Db& db, const UsageQuery& query) {
  Query q = db.query(
      "SELECT key_id, model, sum(prompt_tokens), sum(completion_tokens), sum(requests) FROM usage"
      " WHERE (?1 = 0 OR key_id = ?2) AND (?3 = 0 OR model = ?4)"
      " AND hour >= ?5 AND hour < ?6 GROUP BY key_id, model ORDER BY key_id, model",
      given(query.key_id.has_value()),
      query.key_id.value_or(""),
      given(query.model.has_value()),
      query.model.value_or(""),
      query.from.value_or(Time::min()),
      query.to.value_or(Time::max()));
  return all(q, &row_usage);
}

Result<std::vector<AuditRow>> read_audit(Db& db, std::size_t limit) {
  Query q = db.query("SELECT " BERTH_AUDIT_COLUMNS " FROM audit ORDER BY id DESC LIMIT ?1", cut(limit));
  return all(q, &row_audit);
}

Result<Changes> read_changes(Db& db, std::uint64_t revision, std::size_t limit) {
  Changes out;
  TRY(const detail::Counters counters, read_counters(db));
  out.revision = counters.revision;
  out.too_old = detail::too_old(revision, out.revision);
  if (out.too_old) return out;
  Query q = db.query("SELECT revision, kind, id, removed FROM changes WHERE revision > ?1 ORDER BY revision LIMIT ?2",
                     revision,
                     cut(limit));
  TRY(out.changes, all(q, &row_change));
  return out;
}

}  // namespace berth::store::sqlite
