// The contract of Store, second part: changes, events, decisions, usage, audit and their bounds.

#include <string>
#include <vector>

#include "store/test_stores.h"

namespace berth::store {

TEST_CASE_TEMPLATE("changes are contiguous and say what happened", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  std::vector<std::uint64_t> heard;
  store.set_listener([&](std::uint64_t revision) { heard.push_back(revision); });
  Batch batch = batch_at(1);
  batch.add(deployment("a")).add(deployment("b"));
  REQUIRE(store.commit(batch));
  REQUIRE(store.commit(one(Update{.kind = "deployment", .id = "a", .spec = "[1]"})));
  REQUIRE(store.commit(one(Update{.kind = "deployment", .id = "a", .spec = "[1]"})));
  REQUIRE(store.commit(one(AddUsage{"k", "m", 1, 1})));
  REQUIRE(store.commit(one(Remove{.kind = "deployment", .id = "b"})));
  CHECK(heard == std::vector<std::uint64_t>{2, 3, 4});
  store.set_listener({});

  const Changes all = store.changes_since(0, 100).value();
  CHECK(!all.too_old);
  CHECK(all.revision == 4);
  CHECK(all.changes == std::vector<Change>{{1, "deployment", "a", ChangeKind::kPut},
                                           {2, "deployment", "b", ChangeKind::kPut},
                                           {3, "deployment", "a", ChangeKind::kPut},
                                           {4, "deployment", "b", ChangeKind::kRemoved}});
  CHECK(store.changes_since(1, 2)->changes == std::vector<Change>{all.changes[1], all.changes[2]});
  CHECK(store.changes_since(4, 100)->changes.empty());
  CHECK(!store.changes_since(4, 100)->too_old);
  CHECK(store.changes_since(5, 100)->too_old);
}

TEST_CASE_TEMPLATE("a watch from before the kept changes is told so", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  REQUIRE(store.commit(one(deployment("a"))));
  constexpr std::size_t kExtra = 5;
  std::size_t written = 1;
  while (written < kChangesKept + kExtra) {
    Batch batch = batch_at(1);
    for (std::size_t i = 0; i < kOperationsMax && written < kChangesKept + kExtra; ++i, ++written) {
      batch.add(Update{.kind = "deployment", .id = "a", .spec = std::to_string(written)});
    }
    REQUIRE(store.commit(batch));
  }
  CHECK(store.revision().value() == kChangesKept + kExtra);
  CHECK(store.changes_since(kExtra - 1, 10)->too_old);
  std::uint64_t revision = kExtra;
  while (true) {
    const Changes page = store.changes_since(revision, kPageMax).value();
    REQUIRE(!page.too_old);
    for (const Change& change : page.changes) REQUIRE(change.revision == ++revision);
    if (revision == page.revision) break;
    REQUIRE(!page.changes.empty());
  }
  CHECK(revision == kChangesKept + kExtra);
}

TEST_CASE_TEMPLATE("equal events are counted, the newest stay", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  const AddEvent failed{"instance", "i1", "warning", "failed", "exit 1"};
  REQUIRE(store.commit(one(failed, 10)));
  REQUIRE(store.commit(one(AddEvent{"instance", "i1", "normal", "started", "pid 4"}, 20)));
  REQUIRE(store.commit(one(AddEvent{"worker", "w1", "normal", "joined", ""}, 25)));
  REQUIRE(store.commit(one(failed, 30)));
  const auto events = store.list_events({.object_id = "i1"}).value();
  REQUIRE(events.size() == 2);
  CHECK(events[0].reason == "failed");
  CHECK(events[0].count == 2);
  CHECK(events[0].first_at == at(10));
  CHECK(events[0].last_at == at(30));
  CHECK(events[1].reason == "started");
  CHECK(store.list_events({})->size() == 3);
  CHECK(store.list_events({.object_id = "", .limit = 2})->back().object_id == "w1");

  Batch many = batch_at(40);
  for (std::size_t i = 0; i < kEventsPerObject; ++i) {
    many.add(AddEvent{"instance", "i1", "normal", "tick", std::to_string(i)});
  }
  REQUIRE(store.commit(many));
  const auto kept = store.list_events({.object_id = "i1", .limit = kPageMax}).value();
  CHECK(kept.size() == kEventsPerObject);
  CHECK(kept.back().message == "0");
  CHECK(kept.front().message == std::to_string(kEventsPerObject - 1));
  CHECK(store.list_events({.object_id = "w1"})->size() == 1);
}

TEST_CASE_TEMPLATE("an overlong message is cut at a character", T, MemoryMaker, SqliteMaker) {
  T made;
  std::string text(kTextMax - 1, 'x');
  REQUIRE(made.store->commit(one(AddEvent{"worker", "w", "normal", "r", text + "ü and more"})));
  CHECK(made.store->list_events({.object_id = "w"})->front().message == text);
}

TEST_CASE_TEMPLATE("decisions come back whole, newest first, and are bounded", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  const DecisionRow first{"d0", "dep", at(1), "s", "r", "p", "c", "fits", R"({"plans":[]})"};
  REQUIRE(store.commit(one(AddDecision{first})));
  CHECK(store.get_decision("d0").value() == first);
  CHECK(store.commit(one(AddDecision{first})).error().code == Code::kConflict);
  CHECK(store.get_decision("d9").error() == Error{Code::kNotFound, "decision \"d9\" does not exist"});
  REQUIRE(store.commit(one(AddDecision{{.id = "other", .deployment = "dep2", .verdict = "unknown", .body = "{}"}})));
  for (std::size_t i = 1; i <= kDecisionsPerDeployment; ++i) {
    DecisionRow next = first;
    next.id = "d" + std::to_string(i);
    REQUIRE(store.commit(one(AddDecision{next})));
  }
  const auto kept = store.list_decisions("dep", 100).value();
  REQUIRE(kept.size() == kDecisionsPerDeployment);
  CHECK(kept.front().id == "d" + std::to_string(kDecisionsPerDeployment));
  CHECK(kept.back().id == "d1");
  CHECK(store.get_decision("d0").error().code == Code::kNotFound);
  CHECK(store.list_decisions("dep2", 1)->front().id == "other");
  CHECK(store.list_decisions("dep3", 1)->empty());
}

TEST_CASE_TEMPLATE("usage adds up per key, model and hour", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  constexpr std::int64_t kHour = 3600;
  REQUIRE(store.commit(one(AddUsage{"k1", "m1", 10, 1}, 5)));
  REQUIRE(store.commit(one(AddUsage{"k1", "m1", 20, 2, 3}, 6)));
  REQUIRE(store.commit(one(AddUsage{"k1", "m2", 7, 7}, 6)));
  REQUIRE(store.commit(one(AddUsage{"k2", "m1", 100, 0}, kHour + 1)));
  REQUIRE(store.commit(one(AddUsage{"k1", "m1", 1000, 0}, kHour + 1)));
  CHECK(store.usage({}).value() ==
        std::vector<UsageSum>{{"k1", "m1", 1030, 3, 5}, {"k1", "m2", 7, 7, 1}, {"k2", "m1", 100, 0, 1}});
  CHECK(store.usage({.key_id = "k1", .model = "m1", .from = {}, .to = at(kHour)}).value() ==
        std::vector<UsageSum>{{"k1", "m1", 30, 3, 4}});
  CHECK(store.usage({.key_id = {}, .model = {}, .from = at(kHour), .to = {}})->size() == 2);

  const std::int64_t late = std::chrono::seconds{kUsageKept}.count() + 2 * kHour;
  REQUIRE(store.commit(one(AddUsage{"k3", "m1", 1, 1}, late)));
  CHECK(store.usage({}).value() == std::vector<UsageSum>{{"k3", "m1", 1, 1, 1}});
}

TEST_CASE_TEMPLATE("an absurd counter stops at its bound instead of wrapping", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  constexpr std::uint64_t kAbsurd = ~0ULL >> 1U;
  for (int i = 0; i < 3; ++i) REQUIRE(store.commit(one(AddUsage{"k", "m", kAbsurd, 1}, 5)));
  const auto sums = store.usage({}).value();
  REQUIRE(sums.size() == 1);
  CHECK(sums[0].prompt_tokens == 1ULL << 40U);
  CHECK(sums[0].completion_tokens == 3);
}

TEST_CASE_TEMPLATE("the audit log is newest first", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  REQUIRE(store.commit(one(AddAudit{"admin", "create", "deployment/a", "{}"}, 3)));
  REQUIRE(store.commit(one(AddAudit{"admin", "delete", "deployment/a", ""}, 4)));
  const auto rows = store.list_audit(10).value();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].action == "delete");
  CHECK(rows[1] == AuditRow{rows[1].id, at(3), "admin", "create", "deployment/a", "{}"});
  CHECK(store.list_audit(1)->size() == 1);
}

}  // namespace berth::store
