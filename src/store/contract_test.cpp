// The contract of Store: every kind of store passes all of it.

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "store/test_stores.h"

namespace berth::store {

TEST_CASE_TEMPLATE("a created object comes back whole, by id and by name", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  const std::string odd = R"({"text":"ü \u0000 'quoted' ; DROP TABLE objects"})";
  const auto done = store.commit(one(Create{"worker", "w1", "node'; --", odd, R"({"state":"ready"})"}, 7));
  REQUIRE(done);
  CHECK(done->revision == 1);
  CHECK(done->revisions == std::vector<std::uint64_t>{1});
  const auto got = store.get("worker", "w1");
  REQUIRE(got);
  CHECK(*got == Object{"worker", "w1", "node'; --", 1, 1, 0, odd, R"({"state":"ready"})", at(7), at(7), {}});
  CHECK(store.get_by_name("worker", "node'; --").value() == *got);
  CHECK(store.get("worker", "w2").error() == Error{Code::kNotFound, "worker \"w2\" does not exist"});
  CHECK(store.get("deployment", "w1").error().code == Code::kNotFound);
  CHECK(store.get_by_name("worker", "w1").error().code == Code::kNotFound);
}

TEST_CASE_TEMPLATE("revisions are global and without gaps, generation counts spec only", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  Batch two = batch_at(1);
  two.add(deployment("a")).add(deployment("b"));
  CHECK(store.commit(two)->revisions == std::vector<std::uint64_t>{1, 2});
  CHECK(store.commit(one(Update{.kind = "deployment", .id = "a", .status = R"({"x":1})"}, 2))->revision == 3);
  CHECK(store.get("deployment", "a")->generation == 1);
  CHECK(store.commit(one(Update{.kind = "deployment", .id = "a", .spec = R"({"x":1})"}, 3))->revision == 4);
  const auto changed = store.get("deployment", "a");
  CHECK(changed->generation == 2);
  CHECK(changed->revision == 4);
  CHECK(changed->created_at == at(1));
  CHECK(changed->updated_at == at(3));

  const auto same = store.commit(one(Update{.kind = "deployment", .id = "a", .spec = R"({"x":1})"}, 9));
  CHECK(same->revision == 4);
  CHECK(same->revisions == std::vector<std::uint64_t>{4});
  CHECK(store.get("deployment", "a")->updated_at == at(3));
  CHECK(store.commit(one(Remove{.kind = "deployment", .id = "b"}))->revisions == std::vector<std::uint64_t>{5});
  CHECK(store.revision().value() == 5);
}

TEST_CASE_TEMPLATE("a write on a stale revision is refused and names both revisions", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  REQUIRE(store.commit(one(deployment("a"))));
  REQUIRE(store.commit(one(Update{.kind = "deployment", .id = "a", .expected_revision = 1, .spec = "[1]"})));
  const auto stale = store.commit(one(Update{.kind = "deployment", .id = "a", .expected_revision = 1, .spec = "[2]"}));
  REQUIRE(!stale);
  CHECK(stale.error().code == Code::kConflict);
  CHECK(stale.error().message == "deployment \"a\" is at revision 2, not 1: read it again");
  CHECK(store.commit(one(Remove{"deployment", "a", 1})).error().code == Code::kConflict);
  CHECK(store.commit(one(Expect{"deployment", "a", 1})).error().code == Code::kConflict);
  CHECK(store.commit(one(Expect{"deployment", "a", 2})));
  CHECK(store.commit(one(Expect{"deployment", "b", 0})));
  CHECK(store.commit(one(Expect{"deployment", "b", 3})).error().code == Code::kConflict);
  CHECK(store.commit(one(Expect{"deployment", "a", 0})).error().code == Code::kConflict);
  CHECK(store.get("deployment", "a")->spec == "[1]");
}

TEST_CASE_TEMPLATE("names are unique per kind among objects that are not being deleted", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  REQUIRE(store.commit(one(Create{.kind = "instance", .id = "1", .name = "x"})));
  REQUIRE(store.commit(one(Create{.kind = "worker", .id = "1", .name = "x"})));
  const auto taken = store.commit(one(Create{.kind = "instance", .id = "2", .name = "x"}));
  CHECK(taken.error() == Error{Code::kConflict, "another instance has the name \"x\""});
  CHECK(store.commit(one(Create{.kind = "instance", .id = "1", .name = "y"})).error().code == Code::kConflict);

  REQUIRE(store.commit(one(Update{.kind = "instance", .id = "1", .deleting = true}, 5)));
  CHECK(store.get_by_name("instance", "x")->id == "1");
  REQUIRE(store.commit(one(Create{.kind = "instance", .id = "2", .name = "x"})));
  CHECK(store.get_by_name("instance", "x")->id == "2");
  const auto before = store.revision().value();
  REQUIRE(store.commit(one(Update{.kind = "instance", .id = "1", .deleting = true}, 8)));
  CHECK(store.revision().value() == before);
  CHECK(store.get("instance", "1")->deleting_at == at(5));
  REQUIRE(store.commit(one(Remove{.kind = "instance", .id = "1"})));

  REQUIRE(store.commit(one(Update{.kind = "instance", .id = "2", .name = "z"})));
  CHECK(store.get_by_name("instance", "x").error().code == Code::kNotFound);
  REQUIRE(store.commit(one(Create{.kind = "instance", .id = "3", .name = "x"})));
  CHECK(store.commit(one(Update{.kind = "instance", .id = "3", .name = "z"})).error().code == Code::kConflict);
}

TEST_CASE_TEMPLATE("put creates, then overwrites", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  const Put put{.kind = "setting", .id = "policy", .name = "policy", .spec = "[1]"};
  CHECK(store.commit(one(put))->revision == 1);
  CHECK(store.commit(one(put))->revision == 1);
  CHECK(store.commit(one(Put{.kind = "setting", .id = "policy", .name = "policy", .spec = "[2]"}))->revision == 2);
  CHECK(store.get("setting", "policy")->generation == 2);
}

TEST_CASE_TEMPLATE("a batch is written whole or not at all", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  Batch first = batch_at(1);
  first.add(instance("i1")).add(SetClaims{"i1", 3, {{"w", "d", 10}}});
  REQUIRE(store.commit(first));
  const State before = store.read_state({"instance", "deployment"}).value();

  Batch bad = batch_at(2);
  bad.add(deployment("a")).add(Update{.kind = "instance", .id = "i1", .name = "other", .spec = "[9]"});
  bad.add(SetClaims{"i1", 4, {{"w", "d", 20}, {"w", "e", 30}}}).add(AddUsage{"k", "m", 1, 2});
  bad.add(AddEvent{"instance", "i1", "normal", "started", "text"}).add(AddAudit{"admin", "delete", "x", ""});
  bad.add(AddDecision{{.id = "d1", .deployment = "a", .verdict = "fits", .body = "{}"}});
  bad.add(Remove{.kind = "instance", .id = "i1"}).add(Remove{.kind = "instance", .id = "missing"});
  CHECK(store.commit(bad).error() == Error{Code::kNotFound, "instance \"missing\" does not exist"});

  const State after = store.read_state({"instance", "deployment"}).value();
  CHECK(after.revision == before.revision);
  CHECK(after.objects == before.objects);
  CHECK(after.claims == before.claims);
  CHECK(store.get_by_name("instance", "name-i1")->id == "i1");
  CHECK(store.changes_since(0, 100)->changes.size() == 1);
  CHECK(store.list_events({})->empty());
  CHECK(store.usage({})->empty());
  CHECK(store.list_audit(10)->empty());
  CHECK(store.get_decision("d1").error().code == Code::kNotFound);
  CHECK(store.commit(one(deployment("a")))->revision == 2);
}

TEST_CASE_TEMPLATE("claims need their instance, follow its generation and go with it", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  CHECK(store.commit(one(SetClaims{"i1", 1, {{"w", "d", 10}}})).error().code == Code::kNotFound);
  Batch batch = batch_at(1);
  batch.add(instance("i1")).add(SetClaims{"i1", 2, {{"w1", "d", 10}, {"w1", "", 5}}});
  batch.add(instance("i2")).add(SetClaims{"i2", 1, {{"w2", "d", 7}}});
  REQUIRE(store.commit(batch));
  CHECK(store.list_claims({.worker = "w1", .instance = {}}).value() ==
        std::vector<ClaimRow>{{"i1", "w1", "", 5, 2}, {"i1", "w1", "d", 10, 2}});
  CHECK(store.list_claims({.worker = {}, .instance = "i2"}).value() == std::vector<ClaimRow>{{"i2", "w2", "d", 7, 1}});
  CHECK(store.commit(one(SetClaims{"i1", 1, {}})).error().code == Code::kConflict);
  REQUIRE(store.commit(one(SetClaims{"i1", 3, {{"w1", "e", 4}}})));
  CHECK(store.list_claims({})->size() == 2);
  REQUIRE(store.commit(one(ReleaseClaims{"i1"})));
  REQUIRE(store.commit(one(Remove{.kind = "instance", .id = "i2"})));
  CHECK(store.list_claims({})->empty());
}

TEST_CASE_TEMPLATE("64 threads placing onto one device commit exactly what fits", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  constexpr int kThreads = 64;
  constexpr std::uint64_t kClaim = 1000;
  constexpr std::uint64_t kCapacity = 10 * kClaim + kClaim - 1;
  std::atomic<int> committed{0};
  std::atomic<int> refused{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string id = "i" + std::to_string(i);
      Batch batch = batch_at(1);
      batch.add(CheckCapacity{"w", "d", kCapacity}).add(instance(id)).add(SetClaims{id, 1, {{"w", "d", kClaim}}});
      Shortfall why;
      const auto done = store.commit(batch, kCommitTimeout, &why);
      const bool explained = why.worker == "w" && why.device == "d" && why.needed == kClaim && why.available < kClaim;
      if (done)
        ++committed;
      else if (done.error().code == Code::kConflict && explained)
        ++refused;
      else
        ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(committed == 10);
  CHECK(refused == kThreads - 10);
  CHECK(wrong == 0);
  CHECK(store.list_claims({})->size() == 10);
  CHECK(store.revision().value() == 10);

  Shortfall why;
  Batch more = batch_at(1);
  more.add(instance("x")).add(SetClaims{"x", 1, {{"w", "d", kClaim}}}).add(CheckCapacity{"w", "d", kCapacity});
  CHECK(store.commit(more, kCommitTimeout, &why).error().message ==
        "device \"d\" of worker \"w\" has 999 bytes available, 1000 needed: other claims were committed first");
  CHECK(why.available == Bytes(999));
}

TEST_CASE_TEMPLATE("lists are paged in id order and know where they ended", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  Batch batch = batch_at(1);
  for (const char* id : {"c", "a", "e", "b", "d"}) batch.add(deployment(id));
  batch.add(instance("aa"));
  REQUIRE(store.commit(batch));
  std::string seen;
  std::string after;
  int pages = 0;
  do {
    const Page page = store.list({.kind = "deployment", .after = after, .limit = 2}).value();
    CHECK(page.revision == 6);
    for (const Object& object : page.objects) seen += object.id;
    after = page.next;
    ++pages;
  } while (!after.empty());
  CHECK(seen == "abcde");
  CHECK(pages == 3);
  CHECK(store.list({.kind = "deployment", .after = "", .limit = 5})->next.empty());
  CHECK(store.list({.kind = "worker"})->objects.empty());
  const State state = store.read_state({"instance", "deployment", "instance"}).value();
  CHECK(state.objects.size() == 6);
  CHECK(state.objects.front().id == "a");
  CHECK(state.objects.back().id == "aa");
}

TEST_CASE_TEMPLATE("a batch with a bad field is refused with the field's name", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  const auto message = [&](Operation operation) { return store.commit(one(std::move(operation))).error().message; };
  CHECK(message(Create{.kind = "worker", .id = "", .name = "x"}) == "operations[0].id is empty");
  CHECK(message(Create{.kind = "worker", .id = std::string(129, 'x'), .name = "x"}) ==
        "operations[0].id has 129 bytes, at most 128");
  CHECK(message(Create{.kind = "worker", .id = "\xff", .name = "x"}) == "operations[0].id is not valid UTF-8");
  CHECK(message(Update{.kind = "worker", .id = "x", .spec = ""}) ==
        "operations[0].spec is empty, must be a JSON document");
  CHECK(message(SetClaims{"i", 1, {{"w", "d", 1}, {"w", "d", 2}}}) == "operations[0].claims names a device twice");
  CHECK(message(SetClaims{"i", 1, {{"w", "d", Bytes(~0ULL)}}}) ==
        "operations[0].claims.bytes is 18446744073709551615, at most 9223372036854775807");
  CHECK(message(AddEvent{"worker", "w", "loud", "r", "m"}) == "operations[0].type must be \"normal\" or \"warning\"");
  Batch large = batch_at(1);
  for (std::size_t i = 0; i <= kOperationsMax; ++i) large.add(ReleaseClaims{"i"});
  CHECK(store.commit(large).error().code == Code::kInvalid);
}

TEST_CASE_TEMPLATE("a writer with an old epoch is fenced off", T, MemoryMaker, SqliteMaker) {
  T made;
  Store& store = *made.store;
  CHECK(store.next_epoch().value() == 1);
  Batch batch = one(deployment("a"));
  batch.epoch = 1;
  REQUIRE(store.commit(batch));
  CHECK(store.get("deployment", "a")->epoch == 1);
  CHECK(store.next_epoch().value() == 2);
  batch = one(deployment("b"));
  batch.epoch = 1;
  CHECK(store.commit(batch).error().code == Code::kConflict);
  batch.epoch = 2;
  CHECK(store.commit(batch));
}

}  // namespace berth::store
