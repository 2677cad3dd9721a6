// What only a file can get wrong: durability, group commit, full disks, damage, foreign and newer files.

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <signal.h>
#include <string>
#include <thread>
#include <vector>

#include "store/sqlite/db.h"
#include "store/sqlite/group_commit.h"
#include "store/sqlite/schema.h"
#include "store/test_stores.h"

namespace berth::store {
namespace {

std::string message(const Result<std::unique_ptr<Store>>& opened) { return opened ? "" : opened.error().message; }

/// In a child process: commits one object after another and reports each on `pipe` only once it is acknowledged.
[[noreturn]] void write_until_killed(const std::string& path, int pipe) {
  auto opened = open_sqlite({.path = path, .pages_max = {}});
  if (!opened) ::_exit(1);
  for (std::uint32_t i = 0;; ++i) {
    const std::string id = "i" + std::to_string(i);
    Batch batch = batch_at(1);
    batch.add(instance(id)).add(SetClaims{id, 1, {{"w", "d", 1}}});
    if (!(*opened)->commit(batch)) ::_exit(2);
    if (::write(pipe, &i, sizeof i) != static_cast<ssize_t>(sizeof i)) ::_exit(3);
  }
}

}  // namespace

TEST_CASE("what was acknowledged survives kill -9, and nothing is half there") {
  for (const std::uint32_t kill_after : {0U, 7U, 40U}) {
    CAPTURE(kill_after);
    const TempDir dir;
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_until_killed(dir.file(), pipe[1]);
    ::close(pipe[1]);
    std::uint32_t acknowledged = 0;
    std::uint32_t number = 0;
    while (acknowledged <= kill_after &&
           ::read(pipe[0], &number, sizeof number) == static_cast<ssize_t>(sizeof number)) {
      acknowledged = number + 1;
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    while (::read(pipe[0], &number, sizeof number) == static_cast<ssize_t>(sizeof number)) acknowledged = number + 1;
    ::close(pipe[0]);

    const auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    REQUIRE_MESSAGE(opened, message(opened));
    const State state = (*opened)->read_state({"instance"}).value();
    CHECK(state.objects.size() >= acknowledged);
    CHECK(state.objects.size() <= acknowledged + 1);
    CHECK(state.claims.size() == state.objects.size());
    CHECK(state.revision == state.objects.size());
    for (std::uint32_t i = 0; i < acknowledged; ++i) REQUIRE((*opened)->get("instance", "i" + std::to_string(i)));
  }
}

TEST_CASE("everything is there again after closing and opening") {
  const TempDir dir;
  {
    auto store = open_sqlite({.path = dir.file(), .pages_max = {}}).value();
    REQUIRE(store->commit(one(deployment("a", R"({"n":1})"))));
    CHECK(store->next_epoch().value() == 1);
  }
  auto store = open_sqlite({.path = dir.file(), .pages_max = {}}).value();
  CHECK(store->get("deployment", "a")->spec == R"({"n":1})");
  CHECK(store->next_epoch().value() == 2);
  CHECK(store->commit(one(deployment("b")))->revision == 2);
}

TEST_CASE("200 commits at once share far fewer transactions, and a refused one harms no other") {
  SqliteMaker made;
  Store& store = *made.store;
  REQUIRE(store.commit(one(deployment("taken"))));
  const Stats before = store.stats();
  constexpr int kThreads = 200;
  std::atomic<bool> go{false};
  std::atomic<int> committed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      while (!go) std::this_thread::yield();
      const bool refused = i % 10 == 0;
      if (store.commit(one(deployment(refused ? "taken" : std::to_string(i))))) ++committed;
    });
  }
  go = true;
  for (std::thread& thread : threads) thread.join();
  const Stats after = store.stats();
  CHECK(committed == 180);
  CHECK(after.batches - before.batches == 180);
  CHECK(after.refused - before.refused == 20);
  CHECK(after.transactions - before.transactions < 60);
  CHECK(after.group_max > 3);
  CHECK(store.revision().value() == 181);
  MESSAGE("transactions for 180 commits: ", after.transactions - before.transactions);
}

TEST_CASE("a full disk is said in words, keeps what was written, and ends when there is room") {
  const TempDir dir;
  constexpr std::uint32_t kPages = 80;
  std::size_t written = 0;
  {
    auto store = open_sqlite({.path = dir.file(), .pages_max = kPages}).value();
    const std::string spec = "\"" + std::string(8000, 'x') + "\"";
    Result<Committed> done = Committed{};
    while (done && written < 1000) {
      done = store->commit(one(deployment(std::to_string(written), spec)));
      if (done) ++written;
    }
    REQUIRE(!done);
    CHECK(written > 3);
    CHECK(done.error().code == Code::kUnavailable);
    CHECK(done.error().message == "the disk holding " + dir.file() + " is full: free space, berth retries");
    CHECK(store->read_state({"deployment"})->objects.size() == written);
    REQUIRE(store->commit(one(Remove{.kind = "deployment", .id = "0"})));
    CHECK(store->commit(one(deployment("again", spec))));
  }
  auto store = open_sqlite({.path = dir.file(), .pages_max = {}}).value();
  CHECK(store->read_state({"deployment"})->objects.size() == written);
  CHECK(store->commit(one(deployment("more", "\"" + std::string(100'000, 'x') + "\""))));
}

TEST_CASE("a batch too large for the disk does not take the small ones of its group with it") {
  const TempDir dir;
  auto store = open_sqlite({.path = dir.file(), .pages_max = 200}).value();
  std::atomic<int> small{0};
  std::atomic<int> large{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&, i] {
      const bool big = i % 4 == 0;
      const auto done = store->commit(one(deployment(std::to_string(i), std::string(big ? 2'000'000 : 10, '1'))));
      if (done) ++(big ? large : small);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(small == 24);
  CHECK(large == 0);
}

TEST_CASE("two servers on one database are refused, however the path is spelled") {
  const TempDir dir;
  auto first = open_sqlite({.path = dir.file(), .pages_max = {}}).value();
  const std::string other = std::filesystem::path(dir.file()).parent_path().string() + "/./berth.db";
  const auto second = open_sqlite({.path = other, .pages_max = {}});
  REQUIRE(!second);
  CHECK(second.error().code == Code::kConflict);
  CHECK(second.error().message.find("another berth server uses " + dir.file() + " (process ") == 0);
  first.reset();
  CHECK(open_sqlite({.path = other, .pages_max = {}}));
}

TEST_CASE("a database of a newer berth, of another program, or a damaged one is refused and left alone") {
  const TempDir dir;
  SUBCASE("newer") {
    open_sqlite({.path = dir.file(), .pages_max = {}}).value().reset();
    REQUIRE(sqlite::Db::open(dir.file()).value()->exec("UPDATE schema_version SET version = 99"));
    const auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    CHECK(opened.error().code == Code::kNotSupported);
    CHECK(message(opened).find("has schema version 99") != std::string::npos);
  }
  SUBCASE("another program's") {
    REQUIRE(sqlite::Db::open(dir.file()).value()->exec("CREATE TABLE songs (title TEXT)"));
    const auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    CHECK(opened.error().code == Code::kInternal);
    CHECK(message(opened).find("is a database of another program") != std::string::npos);
  }
  SUBCASE("no database") {
    std::ofstream(dir.file()) << std::string(10'000, 'x');
    const auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    CHECK(opened.error().code == Code::kInternal);
    CHECK(message(opened).find("restore the last backup") != std::string::npos);
  }
  SUBCASE("overwritten in the middle") {
    {
      auto store = open_sqlite({.path = dir.file(), .pages_max = {}}).value();
      for (int i = 0; i < 50; ++i) REQUIRE(store->commit(one(deployment(std::to_string(i), std::string(3000, '1')))));
    }
    const auto size = std::filesystem::file_size(dir.file());
    std::fstream file(dir.file(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::uintmax_t page = 4096; page < size; page += 8192) {
      file.seekp(static_cast<std::streamoff>(page));
      file << std::string(512, '\x5a');
    }
    file.close();
    const auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    REQUIRE(!opened);
    CHECK(opened.error().code == Code::kInternal);
    CHECK(message(opened).find("restore the last backup") != std::string::npos);
  }
  SUBCASE("no folder") {
    const auto opened = open_sqlite({.path = dir.file() + "/missing/berth.db", .pages_max = {}});
    CHECK(opened.error().code == Code::kUnavailable);
    CHECK(message(opened).find("its folder must exist") != std::string::npos);
  }
}

TEST_CASE("schema steps are applied once, in order, and a failing one leaves the version before it") {
  const TempDir dir;
  auto db = sqlite::Db::open(dir.file()).value();
  const std::array first{"CREATE TABLE a (x INTEGER)"};
  const std::array second{first[0], "ALTER TABLE a ADD COLUMN y INTEGER"};
  const std::array broken{second[0], second[1], "CREATE TABLE b (x INTEGER); INSERT INTO nothing VALUES (1)"};
  REQUIRE(sqlite::migrate(*db, first));
  REQUIRE(sqlite::migrate(*db, second));
  REQUIRE(sqlite::migrate(*db, second));
  CHECK(sqlite::migrate(*db, broken).error().message.find("schema step 3") == 0);
  CHECK(db->exec("SELECT x, y FROM a"));
  CHECK(!db->exec("SELECT x FROM b"));
  CHECK(sqlite::migrate(*db, second));
}

TEST_CASE("another program that holds the database makes commits fail in words, not for ever") {
  SqliteMaker made;
  auto other = sqlite::Db::open(made.dir.file()).value();
  REQUIRE(other->exec("BEGIN IMMEDIATE"));
  const auto busy = made.store->commit(one(deployment("a")));
  CHECK(busy.error().code == Code::kUnavailable);
  CHECK(busy.error().message.find("is locked by another program") != std::string::npos);
  REQUIRE(other->exec("ROLLBACK"));
  CHECK(made.store->commit(one(deployment("a"))));
}

TEST_CASE("a commit that waits too long says whether it may have been written") {
  std::mutex gate;
  std::atomic<int> ran{0};
  {
    sqlite::GroupCommit queue([&](sqlite::Group group) {
      const std::lock_guard wait(gate);
      ran += static_cast<int>(group.size());
    });
    const auto submit = [&](Duration timeout) { return queue.submit(std::make_shared<sqlite::Pending>(), timeout); };
    REQUIRE(submit(kCommitTimeout));  // now the queue's thread runs, however loaded the machine is
    std::unique_lock closed(gate);
    auto running = submit(Duration{200});
    CHECK(running.error().code == Code::kTimeout);
    CHECK(running.error().message.find("may or may not be written") != std::string::npos);
    auto queued = submit(Duration{1});
    CHECK(queued.error().message.find("nothing was written") != std::string::npos);
    closed.unlock();
    CHECK(submit(kCommitTimeout));
  }
  CHECK(ran == 3);
}

}  // namespace berth::store
