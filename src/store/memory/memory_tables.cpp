#include "store/memory/memory_tables.h"

#include <algorithm>
#include <limits>

#include "store/store.h"

namespace berth::store {
namespace {

constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();

/// Key after the largest of a map numbered from 1.
template <class Map>
std::uint64_t next_number(const Map& map) {
  return map.empty() ? 1 : map.rbegin()->first + 1;
}

}  // namespace

void MemoryTables::take_back() {
  for (auto it = undo_.rbegin(); it != undo_.rend(); ++it) (*it)();
  undo_.clear();
}

Result<void> MemoryTables::save_counters(const detail::Counters& counters) {
  undo_.push_back([this, old = counters_] { counters_ = old; });
  counters_ = counters;
  return {};
}

Result<std::optional<Object>> MemoryTables::object(const std::string& kind, const std::string& id) {
  const auto it = objects.find({kind, id});
  return it == objects.end() ? std::nullopt : std::optional(it->second);
}

Result<std::optional<std::string>> MemoryTables::live_name(const std::string& kind, const std::string& name) {
  const auto it = names.find({kind, name});
  return it == names.end() ? std::nullopt : std::optional(it->second);
}

Result<void> MemoryTables::save_object(const Object& object) {
  const Key key{object.kind, object.id};
  if (const auto old = objects.find(key); old != objects.end() && !old->second.deleting_at) {
    drop(names, {object.kind, old->second.name});
  }
  if (!object.deleting_at) put(names, {object.kind, object.name}, object.id);
  put(objects, key, object);
  return {};
}

Result<void> MemoryTables::erase_object(const std::string& kind, const std::string& id) {
  const auto old = objects.find({kind, id});
  if (old == objects.end()) return {};
  if (!old->second.deleting_at) drop(names, {kind, old->second.name});
  drop(objects, {kind, id});
  return {};
}

Result<void> MemoryTables::add_change(const Change& change) {
  put(changes, change.revision, change);
  while (changes.size() > kChangesKept) drop(changes, std::uint64_t{changes.begin()->first});
  return {};
}

Result<std::vector<ClaimRow>> MemoryTables::claims_of(const std::string& instance) {
  std::vector<ClaimRow> rows;
  for (auto it = claims.lower_bound({instance, "", ""}); it != claims.end() && it->second.instance == instance; ++it) {
    rows.push_back(it->second);
  }
  return rows;
}

Result<std::vector<ClaimRow>> MemoryTables::claims_on(const std::string& worker, const std::string& device) {
  std::vector<ClaimRow> rows;
  for (auto it = claims_by_device.lower_bound({worker, device, ""}); it != claims_by_device.end(); ++it) {
    const auto& [on_worker, on_device, instance] = it->first;
    if (on_worker != worker || on_device != device) break;
    rows.push_back(claims.at({instance, worker, device}));
  }
  return rows;
}

Result<void> MemoryTables::save_claims(const std::string& instance, const std::vector<ClaimRow>& rows) {
  TRY(const auto held, claims_of(instance));
  for (const ClaimRow& row : held) {
    drop(claims, {row.instance, row.worker, row.device});
    drop(claims_by_device, {row.worker, row.device, row.instance});
  }
  for (const ClaimRow& row : rows) {
    put(claims, {row.instance, row.worker, row.device}, row);
    put(claims_by_device, {row.worker, row.device, row.instance}, row.bytes);
  }
  return {};
}

void MemoryTables::drop_event(std::uint64_t id) {
  const auto it = events.find(id);
  if (it == events.end()) return;
  drop(object_events, {it->second.object_id, it->second.last_at, id});
  drop(events, id);
}

Result<void> MemoryTables::add_event(const Event& event) {
  const auto first = object_events.lower_bound({event.object_id, Time::min(), 0});
  const auto last = object_events.upper_bound({event.object_id, Time::max(), kLast});
  const auto same = std::find_if(first, last, [&](const auto& entry) {
    const Event& old = events.at(std::get<2>(entry.first));
    return old.object_kind == event.object_kind && old.type == event.type && old.reason == event.reason &&
           old.message == event.message;
  });
  Event next = event;
  next.id = next_number(events);
  if (same != last) {
    const Event old = events.at(std::get<2>(same->first));
    next = old;
    ++next.count;
    next.last_at = std::max(old.last_at, event.last_at);
    drop(object_events, {old.object_id, old.last_at, old.id});
  }
  put(events, next.id, next);
  put(object_events, {next.object_id, next.last_at, next.id}, true);

  const auto begin = object_events.lower_bound({event.object_id, Time::min(), 0});
  const auto end = object_events.upper_bound({event.object_id, Time::max(), kLast});
  if (std::distance(begin, end) > static_cast<std::ptrdiff_t>(kEventsPerObject)) drop_event(std::get<2>(begin->first));
  while (events.begin()->first + kEventsKept <= events.rbegin()->first) drop_event(events.begin()->first);
  return {};
}

void MemoryTables::drop_decision(std::uint64_t sequence) {
  const DecisionRow& row = decisions.at(sequence);
  drop(decision_ids, std::string(row.id));
  drop(deployment_decisions, {row.deployment, sequence});
  drop(decisions, sequence);
}

Result<bool> MemoryTables::add_decision(const DecisionRow& decision) {
  if (decision_ids.contains(decision.id)) return false;
  const std::uint64_t sequence = next_number(decisions);
  put(decisions, sequence, decision);
  put(decision_ids, decision.id, sequence);
  put(deployment_decisions, {decision.deployment, sequence}, true);

  const std::size_t kept = decision.deployment.empty() ? kDecisionsUnowned : kDecisionsPerDeployment;
  const auto begin = deployment_decisions.lower_bound({decision.deployment, 0});
  const auto end = deployment_decisions.upper_bound({decision.deployment, kLast});
  if (std::distance(begin, end) > static_cast<std::ptrdiff_t>(kept)) drop_decision(begin->first.second);
  while (decisions.begin()->first + kDecisionsKept <= sequence) drop_decision(decisions.begin()->first);
  return true;
}

Result<void> MemoryTables::add_usage(const detail::UsageAdd& usage) {
  const UsageKey key{.key_id = usage.key_id, .model = usage.model, .hour = usage.hour};
  const auto it = hours.find(key);
  UsageCounters next = it == hours.end() ? UsageCounters{} : it->second;
  const auto add = [](std::uint64_t& to, std::uint64_t n) { to = std::min(sat_add(to, n), detail::kUsageCounterMax); };
  add(next.prompt_tokens, usage.prompt_tokens);
  add(next.completion_tokens, usage.completion_tokens);
  add(next.requests, usage.requests);
  const bool new_row = it == hours.end();
  put(hours, key, next);
  if (!new_row) return {};
  std::vector<UsageKey> old;
  for (const auto& [other, counters] : hours) {
    if (other.hour < usage.hour - kUsageKept) old.push_back(other);
  }
  for (const UsageKey& other : old) drop(hours, other);
  return {};
}

Result<void> MemoryTables::add_audit(const AuditRow& row) {
  AuditRow next = row;
  next.id = next_number(audit);
  put(audit, next.id, next);
  while (audit.size() > kAuditKept) drop(audit, std::uint64_t{audit.begin()->first});
  return {};
}

}  // namespace berth::store
