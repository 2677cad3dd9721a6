#include "app/usage_ledger.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "store/faulty.h"
#include "store/memory/memory_store.h"

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

std::uint64_t tokens_in(store::Store& store) {
  const auto sums = store.usage({});
  REQUIRE(sums.has_value());
  std::uint64_t tokens = 0;
  for (const auto& s : *sums) tokens += s.prompt_tokens;
  return tokens;
}

}  // namespace

TEST_CASE("token counts of a time without a disk are merged and written once it is back") {
  store::Faulty store(store::make_memory_store());
  store.fault = [](const store::Batch&) { return store::Fault::kRefused; };
  UsageLedger ledger("server");
  const Time now{Duration{1'700'000'000'000}};
  ledger.add({row("alice", "chat", 10), row("bob", "", 1)});
  CHECK(ledger.write(store, now).error().message.starts_with("the disk is full"));
  ledger.add({row("alice", "chat", 5)});
  CHECK(ledger.size() == 3);
  store.fault = nullptr;
  REQUIRE(ledger.write(store, now).has_value());
  CHECK(ledger.empty());
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
  store::Faulty store(store::make_memory_store());
  store.fault = [](const store::Batch&) { return store::Fault::kRefused; };
  UsageLedger ledger("server");
  const std::size_t pairs = 2 * kUsageWaitingMax + 100;
  for (std::size_t i = 0; i < pairs; ++i) ledger.add({row(fmt::format("key-{}", i), "chat", 1)});
  CHECK(ledger.size() == 2 * kUsageWaitingMax + 1);
  store.fault = nullptr;
  REQUIRE(ledger.write(store, Time{Duration{1'700'000'000'000}}).has_value());
  CHECK(tokens_in(store) == pairs);
}

TEST_CASE("what is written but not confirmed is not counted twice, and what is lost is counted") {
  for (const auto fault : {store::Fault::kUnconfirmed, store::Fault::kLost, store::Fault::kRefused}) {
    store::Faulty store(store::make_memory_store());
    UsageLedger ledger("server");
    const Time now{Duration{1'700'000'000'000}};
    std::uint64_t counted = 0;
    for (int i = 0; i < 5; ++i) {
      ledger.add({row("alice", "chat", 10), row("bob", "chat", 1)});
      counted += 11;
      store.fault = [fault](const store::Batch&) { return fault; };
      CHECK_FALSE(ledger.write(store, now).has_value());
      ledger.add({row("alice", "chat", 7)});
      counted += 7;
      CHECK_FALSE(ledger.empty());
      store.fault = nullptr;
      REQUIRE(ledger.write(store, now).has_value());
      CHECK(ledger.empty());
      CHECK(tokens_in(store) == counted);
    }
  }
}

TEST_CASE("two servers on one store count both") {
  store::Faulty store(store::make_memory_store());
  UsageLedger one("one"), other("other");
  const Time now{Duration{1'700'000'000'000}};
  for (int i = 0; i < 3; ++i) {
    one.add({row("alice", "chat", 1)});
    other.add({row("alice", "chat", 10)});
    REQUIRE(one.write(store, now).has_value());
    REQUIRE(other.write(store, now).has_value());
  }
  CHECK(tokens_in(store) == 33);
}

}  // namespace berth::app
