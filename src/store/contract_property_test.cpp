// Any sequence of batches leaves the memory store and the SQLite store alike, with equal answers on the way.

#include <string>
#include <vector>

#include "base/rng.h"
#include "store/test_stores.h"

namespace berth::store {
namespace {

constexpr int kSeeds = 20;
constexpr int kBatches = 60;

std::string pick(Rng& rng, std::string_view prefix, std::uint64_t n) {
  return std::string(prefix) + std::to_string(rng.below(n));
}

Operation random_object_operation(Rng& rng) {
  const std::string kind = rng.chance(1, 2) ? "instance" : "deployment";
  const std::string id = pick(rng, "i", 6);
  const std::string name = pick(rng, "n", 6);
  switch (rng.below(5)) {
    case 0:
    case 1:
      return Create{kind, id, name, pick(rng, "[", 3), "{}"};
    case 2: {
      Update update{.kind = kind, .id = id};
      if (rng.chance(1, 4)) update.expected_revision = rng.below(60);
      if (rng.chance(1, 3)) update.name = name;
      if (rng.chance(1, 2)) update.spec = pick(rng, "[", 3);
      if (rng.chance(1, 2)) update.status = pick(rng, "{", 3);
      update.deleting = rng.chance(1, 5);
      return update;
    }
    case 3:
      return Put{kind, id, name, pick(rng, "[", 3), pick(rng, "{", 3)};
    default:
      return Remove{.kind = kind, .id = id};
  }
}

Operation random_row_operation(Rng& rng) {
  switch (rng.below(7)) {
    case 0: {
      SetClaims set{.instance = pick(rng, "i", 6), .generation = rng.below(3), .claims = {}};
      for (std::uint64_t device = 0; device < rng.below(4); ++device) {
        set.claims.push_back({"w", device == 0 ? "" : std::to_string(device), Bytes(rng.below(50))});
      }
      return set;
    }
    case 1:
      return ReleaseClaims{pick(rng, "i", 6)};
    case 2:
      return CheckCapacity{"w", rng.chance(1, 2) ? "" : "1", Bytes(80)};
    case 3:
      return AddEvent{"instance", pick(rng, "i", 2), "normal", "r", pick(rng, "m", 130)};
    case 4:
      return AddDecision{{.id = pick(rng, "d", 500), .deployment = pick(rng, "x", 2), .verdict = "fits", .body = "{}"}};
    case 5:
      return AddUsage{pick(rng, "k", 2), pick(rng, "m", 2), rng.below(9), rng.below(9)};
    default:
      return AddAudit{"admin", "a", pick(rng, "o", 9), ""};
  }
}

Batch random_batch(Rng& rng, std::int64_t now) {
  Batch batch = batch_at(now);
  for (std::uint64_t i = 0; i <= rng.below(6); ++i) {
    batch.add(rng.chance(1, 2) ? random_object_operation(rng) : random_row_operation(rng));
  }
  return batch;
}

std::vector<Event> without_ids(std::vector<Event> events) {
  for (Event& event : events) event.id = 0;
  return events;
}

void check_alike(Store& a, Store& b) {
  const State state = a.read_state({"instance", "deployment"}).value();
  const State other = b.read_state({"instance", "deployment"}).value();
  REQUIRE(state.revision == other.revision);
  REQUIRE(state.objects == other.objects);
  REQUIRE(state.claims == other.claims);
  REQUIRE(a.changes_since(0, kPageMax)->changes == b.changes_since(0, kPageMax)->changes);
  REQUIRE(without_ids(a.list_events({.object_id = "", .limit = kPageMax}).value()) ==
          without_ids(b.list_events({.object_id = "", .limit = kPageMax}).value()));
  for (const char* owner : {"x0", "x1"}) {
    REQUIRE(a.list_decisions(owner, kPageMax).value() == b.list_decisions(owner, kPageMax).value());
  }
  REQUIRE(a.usage({}).value() == b.usage({}).value());
  REQUIRE(a.list_audit(kPageMax)->size() == b.list_audit(kPageMax)->size());
  for (int i = 0; i < 6; ++i) {
    const auto named = a.get_by_name("instance", "n" + std::to_string(i));
    const auto other_named = b.get_by_name("instance", "n" + std::to_string(i));
    REQUIRE(named.has_value() == other_named.has_value());
    if (named) REQUIRE(*named == *other_named);
  }
}

}  // namespace

TEST_CASE("random batches give the same answers and the same state in memory and in SQLite") {
  int accepted = 0;
  int refused = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    MemoryMaker memory;
    SqliteMaker file;
    for (int i = 0; i < kBatches; ++i) {
      CAPTURE(i);
      const Batch batch = random_batch(rng, i);
      Shortfall why;
      Shortfall other_why;
      const auto done = memory.store->commit(batch, kCommitTimeout, &why);
      const auto other = file.store->commit(batch, kCommitTimeout, &other_why);
      REQUIRE(done.has_value() == other.has_value());
      if (done) {
        REQUIRE(done->revision == other->revision);
        REQUIRE(done->revisions == other->revisions);
      } else {
        REQUIRE(done.error() == other.error());
        REQUIRE(why.needed == other_why.needed);
        REQUIRE(why.available == other_why.available);
      }
      ++(done ? accepted : refused);
    }
    check_alike(*memory.store, *file.store);
  }
  CHECK(accepted > kSeeds * kBatches / 5);
  CHECK(refused > kSeeds * kBatches / 5);
}

}  // namespace berth::store
