#include "store/memory/memory_store.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/text.h"
#include "store/detail/apply.h"
#include "store/detail/check.h"
#include "store/memory/memory_tables.h"

namespace berth::store {
namespace {

class MemoryStore final : public Store {
 public:
  Result<Committed> commit(Batch batch, Duration /*timeout*/, Shortfall* shortfall) override {
    const std::lock_guard lock(mutex_);
    Shortfall why;
    auto done = run(batch, why);
    if (!done) {
      tables_.take_back();
      ++stats_.refused;
      if (shortfall != nullptr) *shortfall = why;
      return done;
    }
    tables_.keep();
    ++stats_.batches;
    ++stats_.transactions;
    stats_.group_max = 1;
    if (listener_ && done->revision != announced_) listener_(announced_ = done->revision);
    return done;
  }

  Result<std::uint64_t> next_epoch() override {
    const std::lock_guard lock(mutex_);
    auto epoch = detail::raise_epoch(tables_);
    tables_.keep();
    return epoch;
  }

  Result<Object> get(std::string_view kind, std::string_view id) override {
    const std::lock_guard lock(mutex_);
    const auto it = tables_.objects.find({std::string(kind), std::string(id)});
    if (it == tables_.objects.end()) return detail::not_found(kind, id);
    return it->second;
  }

  Result<Object> get_by_name(std::string_view kind, std::string_view name) override {
    const std::lock_guard lock(mutex_);
    const std::string wanted(kind);
    if (const auto live = tables_.names.find({wanted, std::string(name)}); live != tables_.names.end()) {
      return tables_.objects.at({wanted, live->second});
    }
    const Object* newest = nullptr;
    for (auto it = tables_.objects.lower_bound({wanted, ""}); it != tables_.objects.end(); ++it) {
      if (it->second.kind != kind) break;
      if (it->second.name != name) continue;
      if (newest == nullptr || newest->revision < it->second.revision) newest = &it->second;
    }
    if (newest == nullptr) return detail::not_found(kind, name);
    return *newest;
  }

  Result<Page> list(const ListQuery& query) override {
    const std::lock_guard lock(mutex_);
    const std::size_t limit = std::clamp<std::size_t>(query.limit, 1, kPageMax);
    Page page;
    page.revision = tables_.counters_.revision;
    for (auto it = tables_.objects.upper_bound({query.kind, query.after}); it != tables_.objects.end(); ++it) {
      if (it->second.kind != query.kind) break;
      if (page.objects.size() == limit) {
        page.next = page.objects.back().id;
        break;
      }
      page.objects.push_back(it->second);
    }
    return page;
  }

  Result<State> read_state(const std::vector<std::string>& kinds) override {
    const std::lock_guard lock(mutex_);
    State state;
    state.revision = tables_.counters_.revision;
    for (const std::string& kind : std::set(kinds.begin(), kinds.end())) {
      for (auto it = tables_.objects.lower_bound({kind, ""}); it != tables_.objects.end(); ++it) {
        if (it->second.kind != kind) break;
        if (state.objects.size() == kStateObjectsMax) return detail::too_many_objects();
        state.objects.push_back(it->second);
      }
    }
    for (const auto& [key, claim] : tables_.claims) state.claims.push_back(claim);
    return state;
  }

  Result<std::vector<ClaimRow>> list_claims(const ClaimQuery& query) override {
    const std::lock_guard lock(mutex_);
    std::vector<ClaimRow> rows;
    for (const auto& [key, claim] : tables_.claims) {
      if (query.worker && claim.worker != *query.worker) continue;
      if (query.instance && claim.instance != *query.instance) continue;
      rows.push_back(claim);
    }
    return rows;
  }

  Result<std::vector<Event>> list_events(const EventQuery& query) override {
    const std::lock_guard lock(mutex_);
    std::vector<Event> rows;
    for (const auto& [id, event] : tables_.events) {
      if (query.object_id.empty() || event.object_id == query.object_id) rows.push_back(event);
    }
    std::sort(rows.begin(), rows.end(), [](const Event& a, const Event& b) {
      return std::pair(a.last_at, a.id) > std::pair(b.last_at, b.id);
    });
    if (rows.size() > std::min(query.limit, kPageMax)) rows.resize(std::min(query.limit, kPageMax));
    return rows;
  }

  Result<DecisionRow> get_decision(std::string_view id) override {
    const std::lock_guard lock(mutex_);
    const auto it = tables_.decision_ids.find(std::string(id));
    if (it == tables_.decision_ids.end()) return detail::not_found("decision", id);
    return tables_.decisions.at(it->second);
  }

  Result<std::vector<DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    std::vector<DecisionRow> rows;
    for (auto it = tables_.decisions.rbegin(); it != tables_.decisions.rend(); ++it) {
      if (rows.size() >= std::min(limit, kPageMax)) break;
      if (it->second.deployment == deployment) rows.push_back(it->second);
    }
    return rows;
  }

  Result<std::vector<UsageSum>> usage(const UsageQuery& query) override {
    const std::lock_guard lock(mutex_);
    std::map<std::pair<std::string, std::string>, UsageSum> sums;
    for (const auto& [key, hour] : tables_.hours) {
      if (query.key_id && key.key_id != *query.key_id) continue;
      if (query.model && key.model != *query.model) continue;
      if ((query.from && key.hour < *query.from) || (query.to && key.hour >= *query.to)) continue;
      UsageSum& sum = sums[{key.key_id, key.model}];
      sum.key_id = key.key_id;
      sum.model = key.model;
      sum.prompt_tokens += hour.prompt_tokens;
      sum.completion_tokens += hour.completion_tokens;
      sum.requests += hour.requests;
    }
    std::vector<UsageSum> rows;
    for (auto& [key, sum] : sums) rows.push_back(std::move(sum));
    return rows;
  }

  Result<std::vector<AuditRow>> list_audit(std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    std::vector<AuditRow> rows;
    for (auto it = tables_.audit.rbegin(); it != tables_.audit.rend(); ++it) {
      if (rows.size() >= std::min(limit, kPageMax)) break;
      rows.push_back(it->second);
    }
    return rows;
  }

  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    const std::lock_guard lock(mutex_);
    Changes out;
    out.revision = tables_.counters_.revision;
    out.too_old = detail::too_old(revision, out.revision);
    if (out.too_old) return out;
    for (auto it = tables_.changes.upper_bound(revision); it != tables_.changes.end(); ++it) {
      if (out.changes.size() >= std::min(limit, kPageMax)) break;
      out.changes.push_back(it->second);
    }
    return out;
  }

  Result<std::uint64_t> revision() override {
    const std::lock_guard lock(mutex_);
    return tables_.counters_.revision;
  }

  [[nodiscard]] Stats stats() const override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void set_listener(Listener listener) override {
    const std::lock_guard lock(mutex_);
    listener_ = std::move(listener);
  }

 private:
  Result<Committed> run(const Batch& batch, Shortfall& why) {
    TRY_VOID(detail::check(batch));
    return detail::apply(tables_, batch, why);
  }

  mutable std::mutex mutex_;
  MemoryTables tables_;
  Stats stats_;
  Listener listener_;
  std::uint64_t announced_ = 0;
};

}  // namespace

std::unique_ptr<Store> make_memory_store() { return std::make_unique<MemoryStore>(); }

}  // namespace berth::store
