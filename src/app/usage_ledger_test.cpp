#include "app/usage_ledger.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "sim/faulty_store.h"
#include "store/memory/memory_store.h"
#include "store/watched.h"

namespace berth::app {
namespace {

gateway::UsageTotals::Row row(const std::string& key, const std::string& model, std::uint64_t tokens) {
  gateway::UsageTotals::Row r;
  r.key_id = key;
  r.model = model;
  r.requests = 1;
  r.prompt_tokens = tokens;
  r.completion_tokens = 2 * tokens;
  return r;
}

/// A disk that is full until told otherwise.
class FullDisk final : public store::Store {
 public:
  bool full = true;
  std::unique_ptr<Store> inner = store::make_memory_store();
  sim::FaultyStore rest{*inner, [] { return false; }, [] {}};

  Result<store::Committed> commit(store::Batch batch, Duration timeout, store::Shortfall* shortfall) override {
    if (full) return fail(Code::kUnavailable, "the disk is full");
    return rest.commit(std::move(batch), timeout, shortfall);
  }
  Result<std::uint64_t> next_epoch() override { return rest.next_epoch(); }
  Result<store::Object> get(std::string_view kind, std::string_view id) override { return rest.get(kind, id); }
  Result<store::Object> get_by_name(std::string_view kind, std::string_view name) override {
    return rest.get_by_name(kind, name);
  }
  Result<store::Page> list(const store::ListQuery& query) override { return rest.list(query); }
  Result<store::State> read_state(const std::vector<std::string>& kinds) override { return rest.read_state(kinds); }
  Result<std::vector<store::ClaimRow>> list_claims(const store::ClaimQuery& q) override { return rest.list_claims(q); }
  Result<std::vector<store::Event>> list_events(const store::EventQuery& q) override { return rest.list_events(q); }
  Result<store::DecisionRow> get_decision(std::string_view id) override { return rest.get_decision(id); }
  Result<std::vector<store::DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) override {
    return rest.list_decisions(deployment, limit);
  }
  Result<std::vector<store::UsageSum>> usage(const store::UsageQuery& query) override { return rest.usage(query); }
  Result<std::vector<store::AuditRow>> list_audit(std::size_t limit) override { return rest.list_audit(limit); }
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return rest.changes_since(revision, limit);
  }
  Result<std::uint64_t> revision() override { return rest.revision(); }
  [[nodiscard]] store::Stats stats() const override { return rest.stats(); }
  void set_listener(Listener listener) override { rest.set_listener(std::move(listener)); }
};

}  // namespace

TEST_CASE("token counts of a time without a disk are merged and written once it is back") {
  auto disk = std::make_unique<FullDisk>();
  auto& full = disk->full;
  store::Watched store(std::move(disk));
  UsageLedger ledger;
  const Time now{Duration{1'700'000'000'000}};
  ledger.add({row("alice", "chat", 10), row("bob", "", 1)});
  CHECK(ledger.write(store, now).error().message == "the disk is full");
  CHECK(store.trouble() == "the disk is full");
  ledger.add({row("alice", "chat", 5)});
  CHECK(ledger.size() == 2);
  full = false;
  REQUIRE(ledger.write(store, now).has_value());
  CHECK(ledger.empty());
  CHECK(store.trouble().empty());
  const auto sums = store.usage({});
  REQUIRE(sums.has_value());
  REQUIRE(sums->size() == 2);
  CHECK(sums->front().key_id == "alice");
  CHECK(sums->front().prompt_tokens == 15);
  CHECK(sums->front().completion_tokens == 30);
  CHECK(sums->front().requests == 2);
  CHECK(sums->back().model == "-");
}

TEST_CASE("however many pairs wait, no token is lost and the memory has a bound") {
  auto disk = std::make_unique<FullDisk>();
  auto& full = disk->full;
  store::Watched store(std::move(disk));
  UsageLedger ledger;
  const std::size_t pairs = 2 * kUsageWaitingMax + 100;
  for (std::size_t i = 0; i < pairs; ++i) ledger.add({row(fmt::format("key-{}", i), "chat", 1)});
  CHECK(ledger.size() == 2 * kUsageWaitingMax + 1);
  full = false;
  REQUIRE(ledger.write(store, Time{Duration{1'700'000'000'000}}).has_value());
  const auto sums = store.usage({});
  REQUIRE(sums.has_value());
  std::uint64_t tokens = 0;
  for (const auto& s : *sums) tokens += s.prompt_tokens;
  CHECK(tokens == pairs);
}

}  // namespace berth::app
