#pragma once
// Tables on the writer's connection, inside the transaction that group_writer.cpp opened.

#include <string>
#include <vector>

#include "store/detail/tables.h"
#include "store/sqlite/db.h"

namespace berth::store::sqlite {

class SqliteTables final : public detail::Tables {
 public:
  explicit SqliteTables(Db& db) : db_(db) {}

  Result<detail::Counters> counters() override;
  Result<void> save_counters(const detail::Counters& counters) override;
  Result<std::optional<Object>> object(const std::string& kind, const std::string& id) override;
  Result<std::optional<std::string>> live_name(const std::string& kind, const std::string& name) override;
  Result<void> save_object(const Object& object) override;
  Result<void> erase_object(const std::string& kind, const std::string& id) override;
  Result<void> add_change(const Change& change) override;
  Result<std::vector<ClaimRow>> claims_of(const std::string& instance) override;
  Result<std::vector<ClaimRow>> claims_on(const std::string& worker, const std::string& device) override;
  Result<void> save_claims(const std::string& instance, const std::vector<ClaimRow>& claims) override;
  Result<void> add_event(const Event& event) override;
  Result<bool> add_decision(const DecisionRow& decision) override;
  Result<void> add_usage(const detail::UsageAdd& usage) override;
  Result<void> add_audit(const AuditRow& audit) override;

 private:
  /// Id that the last INSERT gave, as the bound for trimming what is `kept` rows older; 0 when nothing is.
  Result<std::uint64_t> trim_below(std::size_t kept);

  Db& db_;
};

}  // namespace berth::store::sqlite
