#include "gateway/ports.h"

namespace berth::gateway {

void RouteBoard::publish(RouteTable table) {
  auto next = std::make_shared<const RouteTable>(std::move(table));
  const std::lock_guard lock(mutex_);
  table_.swap(next);
}

std::shared_ptr<const RouteTable> RouteBoard::routes() const {
  const std::lock_guard lock(mutex_);
  return table_;
}

void UsageTotals::add(const Usage& usage) {
  const std::lock_guard lock(mutex_);
  std::tuple<std::string, std::string> key(usage.key_id, usage.model);
  if (rows_.size() >= kUsageRowsMax && !rows_.contains(key)) key = {};
  Row& row = rows_[key];
  row.key_id = std::get<0>(key);
  row.model = std::get<1>(key);
  row.requests += 1;
  row.aborted += usage.aborted ? 1 : 0;
  row.prompt_tokens += usage.prompt_tokens;
  row.completion_tokens += usage.completion_tokens;
}

std::vector<UsageTotals::Row> UsageTotals::drain() {
  std::map<std::tuple<std::string, std::string>, Row> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(rows_);
  }
  std::vector<Row> out;
  out.reserve(taken.size());
  for (auto& [key, row] : taken) out.push_back(std::move(row));
  return out;
}

std::vector<UsageTotals::Row> UsageTotals::rows() const {
  const std::lock_guard lock(mutex_);
  std::vector<Row> out;
  out.reserve(rows_.size());
  for (const auto& [key, row] : rows_) out.push_back(row);
  return out;
}

}  // namespace berth::gateway
