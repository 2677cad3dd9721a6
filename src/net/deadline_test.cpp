#include "net/deadline.h"

#include <doctest/doctest.h>
#include <thread>

#include "net/runtime.h"

namespace berth::net {
namespace {

Deadline in_time() { return Deadline::in(Millis(5'000)); }

awaitable<Result<int>> nap_then(Millis time, int value) {
  CO_TRY_VOID(co_await sleep_for(time));
  co_return value;
}

awaitable<void> check_within() {
  auto fast = co_await within(in_time(), nap_then(Millis(1), 7));
  REQUIRE(fast);
  CHECK(*fast == 7);
  auto slow = co_await within(Deadline::in(Millis(5)), nap_then(Millis(60'000), 7));
  REQUIRE_FALSE(slow);
  CHECK(slow.error().code == Code::kTimeout);
}

TEST_CASE("within gives the result or a timeout") {
  Loop loop;
  loop.run_until_done(check_within());
}

awaitable<void> note(std::vector<Code>& codes) {
  auto slept = co_await sleep_for(Millis(60'000));
  codes.push_back(slept ? Code::kInternal : slept.error().code);
  // After the cancellation nothing blocks and nothing throws.
  slept = co_await sleep_for(Millis(60'000));
  codes.push_back(slept ? Code::kInternal : slept.error().code);
}

awaitable<void> check_group(Loop& loop) {
  std::vector<Code> codes;
  TaskGroup group(loop.executor(), 2);
  CHECK(group.spawn(note(codes)));
  CHECK(group.spawn(note(codes)));
  CHECK_FALSE(group.spawn(note(codes)));
  auto joined = co_await group.join(Deadline::in(Millis(5)));
  CHECK_FALSE(joined);
  group.cancel();
  joined = co_await group.join(in_time());
  CHECK(joined);
  CHECK(codes == std::vector<Code>(4, Code::kCancelled));
  CHECK_FALSE(group.spawn(note(codes)));
}

TEST_CASE("a task group bounds, cancels and joins its tasks") {
  Loop loop;
  loop.run_until_done(check_group(loop));
}

awaitable<void> check_signal(Loop& loop) {
  Signal signal(loop.executor());
  CHECK_FALSE(co_await signal.wait(Deadline::in(Millis(2))));
  std::thread other([&signal] { signal.notify(); });
  CHECK(co_await signal.wait(in_time()));
  other.join();
  CHECK_FALSE(co_await signal.wait(Deadline::in(Millis(2))));
}

TEST_CASE("a signal crosses threads") {
  Loop loop;
  loop.run_until_done(check_signal(loop));
}

awaitable<void> check_pool(WorkPool& pool) {
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  std::function<Result<int>()> job = [&there]() -> Result<int> {
    there = std::this_thread::get_id();
    return 5;
  };
  auto value = co_await pool.run<int>(std::move(job));
  REQUIRE(value);
  CHECK(*value == 5);
  CHECK(there != here);
  CHECK(std::this_thread::get_id() == here);
}

TEST_CASE("blocking work runs elsewhere and the caller resumes at home") {
  Loop loop;
  WorkPool pool("test", 1);
  loop.run_until_done(check_pool(pool));
}

}  // namespace
}  // namespace berth::net
