#include <atomic>
#include <doctest/doctest.h>
#include <memory>
#include <thread>

#include "net/deadline.h"
#include "net/runtime.h"

namespace berth::net {
namespace {

constexpr Millis kForever{600'000};

Deadline generous() { return Deadline::in(Millis(60'000)); }

/// Some turns of the loop, then the end: about half of them end while the cancellation is on its way.
awaitable<void> few_turns(int turns, std::size_t& ended) {
  for (int i = 0; i < turns; ++i) (void)(co_await sleep_for(Millis(0))).has_value();
  ++ended;
}

awaitable<void> until_cancelled(std::size_t& ended) {
  (void)(co_await sleep_for(kForever)).has_value();
  ++ended;
}

awaitable<void> cancel_from_outside(Loop& loop, int round) {
  constexpr int kTasks = 32;
  TaskGroup group(loop.executor());
  std::atomic<bool> go = false;
  std::thread other([&group, &go] {
    go.wait(false);
    group.cancel();
  });
  std::size_t ended = 0;
  std::size_t spawned = 0;
  for (int i = 0; i < kTasks; ++i) {
    if (i == round % kTasks) {  // sooner or later, so that it meets spawning as well as ending
      go.store(true);
      go.notify_one();
    }
    if (group.spawn(few_turns(i % 4, ended))) ++spawned;
    if (round % 2 == 0) (void)(co_await sleep_for(Millis(0))).has_value();
  }
  auto joined = co_await group.join(generous());
  CHECK(joined);
  CHECK(ended == spawned);
  other.join();
  CHECK_FALSE(group.spawn(until_cancelled(ended)));
  CHECK(group.size() == 0);
}

TEST_CASE("a task group may be cancelled from another thread while its tasks end") {
  Loop loop;
  for (int round = 0; round < 100; ++round) loop.run_until_done(cancel_from_outside(loop, round));
}

awaitable<void> destroy_outside(Loop& loop) {
  auto group = std::make_unique<TaskGroup>(loop.executor());
  std::size_t ended = 0;
  std::size_t spawned = 0;
  for (int i = 0; i < 8; ++i) {
    if (group->spawn(few_turns(i % 4, ended))) ++spawned;
    if (group->spawn(until_cancelled(ended))) ++spawned;
  }
  std::thread other([owned = std::move(group)]() mutable { owned.reset(); });
  const Deadline deadline = generous();
  while (ended < spawned && !deadline.passed()) (void)(co_await sleep_for(Millis(0))).has_value();
  other.join();
  CHECK(ended == spawned);
}

TEST_CASE("a task group destroyed on another thread cancels what is left") {
  Loop loop;
  for (int round = 0; round < 50; ++round) loop.run_until_done(destroy_outside(loop));
}

TEST_CASE("a spawn is refused as soon as another thread has cancelled") {
  Loop loop;
  TaskGroup group(loop.executor());
  std::thread other([&group] { group.cancel(); });
  other.join();
  std::size_t ended = 0;
  const auto spawned = group.spawn(until_cancelled(ended));  // the loop has had no turn in between
  REQUIRE_FALSE(spawned);
  CHECK(spawned.error().code == Code::kUnavailable);
}

awaitable<void> start(TaskGroup& group, std::size_t& ended) {
  for (int i = 0; i < 8; ++i) CHECK(group.spawn(until_cancelled(ended)));
  (void)(co_await sleep_for(Millis(0))).has_value();
}

TEST_CASE("a task group may go away after its loop has stopped") {
  std::size_t ended = 0;
  {
    Loop loop;
    auto group = std::make_unique<TaskGroup>(loop.executor());
    loop.run_until_done(start(*group, ended));
    loop.stop();
    group.reset();
  }
  CHECK(ended == 0);  // nothing ran; what the tasks held is freed with the loop, as the leak check sees
}

awaitable<void> join(TaskGroup& group) {
  auto joined = co_await group.join(generous());
  CHECK(joined);
}

TEST_CASE("a cancellation between two runs of the loop takes effect in the next") {
  Loop loop;
  TaskGroup group(loop.executor());
  std::size_t ended = 0;
  loop.run_until_done(start(group, ended));
  group.cancel();
  CHECK(group.size() == 8);
  loop.run_until_done(join(group));
  CHECK(ended == 8);
}

awaitable<void> cancel_own(TaskGroup& group, std::size_t& ended) {
  group.cancel();
  CHECK(co_await task_cancelled());
  ++ended;
}

TEST_CASE("a task may cancel the group that it belongs to") {
  Loop loop;
  TaskGroup group(loop.executor());
  std::size_t ended = 0;
  loop.run_until_done(start(group, ended));
  CHECK(group.spawn(cancel_own(group, ended)));
  loop.run_until_done(join(group));
  CHECK(ended == 9);
}

}  // namespace
}  // namespace berth::net
