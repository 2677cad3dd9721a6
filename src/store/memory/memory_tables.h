#pragma once
// Tables as ordered maps, with an undo log for a refused batch.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "store/detail/tables.h"

namespace berth::store {

/// Not thread-safe: memory_store.cpp holds a mutex around it. Reads go to the maps directly.
class MemoryTables final : public detail::Tables {
 public:
  using Key = std::pair<std::string, std::string>;
  using Triple = std::tuple<std::string, std::string, std::string>;
  struct UsageKey {
    std::string key_id;
    std::string model;
    Time hour{};
    friend auto operator<=>(const UsageKey&, const UsageKey&) = default;
  };
  struct UsageCounters {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    std::uint64_t requests = 0;
  };

  /// Ends the transaction: keeps what was written, or takes it all back.
  void keep() { undo_.clear(); }
  void take_back();

  Result<detail::Counters> counters() override { return counters_; }
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

  detail::Counters counters_;
  std::map<Key, Object> objects;                                               // (kind, id)
  std::map<Key, std::string> names;                                            // (kind, name) → id, live ones
  std::map<std::uint64_t, Change> changes;                                     // by revision
  std::map<Triple, ClaimRow> claims;                                           // (instance, worker, device)
  std::map<Triple, Bytes> claims_by_device;                                    // (worker, device, instance)
  std::map<std::uint64_t, Event> events;                                       // by id
  std::map<std::tuple<std::string, Time, std::uint64_t>, bool> object_events;  // (object, last_at, id)
  std::map<std::uint64_t, DecisionRow> decisions;                              // in order of arrival
  std::map<std::string, std::uint64_t> decision_ids;
  std::map<std::pair<std::string, std::uint64_t>, bool> deployment_decisions;
  std::map<UsageKey, UsageCounters> hours;
  std::map<std::uint64_t, AuditRow> audit;

 private:
  template <class Map>
  void put(Map& map, const typename Map::key_type& key, typename Map::mapped_type value) {
    remember(map, key);
    map.insert_or_assign(key, std::move(value));
  }
  template <class Map>
  void drop(Map& map, const typename Map::key_type& key) {
    remember(map, key);
    map.erase(key);
  }
  template <class Map>
  void remember(Map& map, const typename Map::key_type& key) {
    const auto it = map.find(key);
    if (it == map.end()) {
      undo_.push_back([&map, key] { map.erase(key); });
    } else {
      undo_.push_back([&map, key, old = it->second] { map.insert_or_assign(key, old); });
    }
  }
  void drop_event(std::uint64_t id);
  void drop_decision(std::uint64_t sequence);

  std::vector<std::function<void()>> undo_;
};

}  // namespace berth::store
