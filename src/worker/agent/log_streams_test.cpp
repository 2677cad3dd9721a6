#include "worker/agent/log_streams.h"

#include <doctest/doctest.h>

#include "base/text.h"
#include "worker/agent/testing.h"

using namespace berth;
using namespace berth::worker;
using namespace berth::worker::testing::agents;
using net::awaitable;

namespace {

/// Streams whose chunks are kept here.
struct LogWorld {
  LogWorld()
      : streams(
            loop.executor(),
            files,
            [this](const std::string& instance) -> std::optional<std::string> {
              return instance == "i-1" && !removed ? std::optional(folder.path("log")) : std::nullopt;
            },
            [this](wire::LogChunk chunk) { return keep(std::move(chunk)); }) {}

  awaitable<Result<void>> keep(wire::LogChunk chunk) {
    chunks.push_back(std::move(chunk));
    co_return Result<void>{};
  }
  [[nodiscard]] std::string text() const {
    std::string all;
    for (const auto& chunk : chunks) all += chunk.text;
    return all;
  }
  [[nodiscard]] bool ended() const { return !chunks.empty() && chunks.back().end; }
  void run(awaitable<void> test) {
    loop.run_until_done(std::move(test));
    loop.run_until_done([](LogWorld& w) -> awaitable<void> {
      w.streams.cancel();
      CHECK(co_await w.streams.join(soon()));
    }(*this));
  }

  testing::Folder folder;
  net::Loop loop;
  net::WorkPool files{"files", 1};
  bool removed = false;
  std::vector<wire::LogChunk> chunks;
  LogStreams streams;
};

}  // namespace

TEST_CASE("bytes of an engine become UTF-8 wherever they are cut") {
  const std::string whole = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2z";
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    Utf8Cleaner cleaner;
    const std::string first = cleaner.feed(whole.substr(0, cut));
    CHECK(is_utf8(first));
    CHECK(first + cleaner.feed(whole.substr(cut)) + cleaner.finish() == whole);
  }
  Utf8Cleaner cleaner;
  CHECK(cleaner.feed("x\xff\xc0y") == "x\xef\xbf\xbd\xef\xbf\xbdy");
  CHECK(cleaner.feed("\xe2\x82").empty());
  CHECK(is_utf8(cleaner.finish()));
}

TEST_CASE("a chunk ends between characters") {
  const std::string text =
      "ab\xe2\x82\xac"
      "cd";
  CHECK(first_chunk(text, 100) == text);
  CHECK(first_chunk(text, 4) == "ab");
  CHECK(first_chunk(text, 5) == "ab\xe2\x82\xac");
}

TEST_CASE("the last lines of a log come in chunks of bounded size, then the end") {
  LogWorld world;
  std::string log = "left out\n";
  std::string wanted;
  for (int i = 0; i < 3'000; ++i) wanted += "line " + std::to_string(i) + std::string(40, '.') + "\n";
  world.folder.write("log", log + wanted);
  world.run([](LogWorld& w) -> awaitable<void> {
    w.streams.take({.id = 7, .instance = "i-1", .tail_lines = 3'000});
    REQUIRE(co_await holds([&w] { return w.ended(); }));
  }(world));
  CHECK(world.text() == wanted);
  CHECK(world.chunks.size() > 2);
  for (const auto& chunk : world.chunks) {
    CHECK(chunk.id == 7);
    CHECK(chunk.text.size() <= kLogChunkBytesMax);
    CHECK(chunk.error.empty());
  }
}

TEST_CASE("a followed log goes on until it is cancelled") {
  LogWorld world;
  world.folder.write("log", "one\n");
  world.run([](LogWorld& w) -> awaitable<void> {
    w.streams.take({.id = 1, .instance = "i-1", .follow = true});
    REQUIRE(co_await holds([&w] { return w.text() == "one\n"; }));
    std::ofstream(w.folder.path("log"), std::ios::app) << "two\n";
    REQUIRE(co_await holds([&w] { return w.text() == "one\ntwo\n"; }));
    CHECK_FALSE(w.ended());
    w.streams.take({.id = 1, .instance = "i-1", .cancel = true});
    REQUIRE(co_await holds([&w] { return w.ended(); }));
  }(world));
  CHECK(world.chunks.back().error.empty());
}

TEST_CASE("a followed log ends with its instance, and an unknown one is an error") {
  LogWorld world;
  world.folder.write("log", "one\n");
  world.run([](LogWorld& w) -> awaitable<void> {
    w.streams.take({.id = 1, .instance = "i-1", .follow = true});
    REQUIRE(co_await holds([&w] { return w.text() == "one\n"; }));
    w.removed = true;
    REQUIRE(co_await holds([&w] { return w.ended(); }));
    w.streams.take({.id = 2, .instance = "i-2"});
    REQUIRE(co_await holds([&w] { return w.chunks.back().id == 2; }));
  }(world));
  CHECK(world.chunks.back().end);
  CHECK(world.chunks.back().error == "instance i-2 has no log on this worker");
}
