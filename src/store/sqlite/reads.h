#pragma once
// The reads of Store as queries on one connection inside a read transaction.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/sqlite/db.h"
#include "store/store.h"

namespace berth::store::sqlite {

Result<Object> read_by_name(Db& db, std::string_view kind, std::string_view name);
Result<Page> read_page(Db& db, const ListQuery& query);
Result<State> read_whole_state(Db& db, const std::vector<std::string>& kinds);
Result<std::vector<ClaimRow>> read_claims(Db& db, const ClaimQuery& query);
Result<std::vector<Event>> read_events(Db& db, const EventQuery& query);
Result<DecisionRow> read_decision(Db& db, std::string_view id);
Result<std::vector<DecisionRow>> read_decisions(Db& db, std::string_view deployment, std::size_t limit);
Result<std::vector<UsageSum>> read_usage(Db& db, const UsageQuery& query);
Result<std::vector<AuditRow>> read_audit(Db& db, std::size_t limit);
Result<Changes> read_changes(Db& db, std::uint64_t revision, std::size_t limit);

}  // namespace berth::store::sqlite
