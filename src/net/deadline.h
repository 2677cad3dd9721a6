#pragma once
// Time limits, waiting and structured tasks. Everything here belongs to one executor (one core) and is used from it,
// except what says "any thread".

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"

namespace berth::net {

namespace asio = boost::asio;
using asio::awaitable;
using Executor = asio::any_io_executor;
using Millis = std::chrono::milliseconds;

/// A point on the steady clock, set once at the edge and passed down by value.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline in(Millis from_now) { return Deadline(Clock::now() + from_now); }
  static Deadline at(Clock::time_point when) { return Deadline(when); }
  /// Only for waits that something else bounds, such as a cancelled task or a closed stream.
  static Deadline never() { return Deadline(Clock::time_point::max()); }

  [[nodiscard]] Clock::time_point when() const { return when_; }
  [[nodiscard]] bool is_never() const { return when_ == Clock::time_point::max(); }
  [[nodiscard]] bool passed() const { return !is_never() && Clock::now() >= when_; }
  /// Zero when it has passed.
  [[nodiscard]] Millis remaining() const;
  [[nodiscard]] Deadline sooner(Deadline other) const { return other.when_ < when_ ? other : *this; }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}
  Clock::time_point when_;
};

/// Waits until the deadline. Errors: kCancelled.
awaitable<Result<void>> sleep_until(Deadline deadline);
inline awaitable<Result<void>> sleep_for(Millis time) { return sleep_until(Deadline::in(time)); }
/// True when the calling task was cancelled; loops check it after each co_await.
awaitable<bool> task_cancelled();

/// Runs `op` and cancels it at the deadline; true when it ran to its end in time. The op is always waited for, so
/// what it refers to may live in the caller. Exceptions of the op pass through.
awaitable<bool> run_within(Deadline deadline, awaitable<void> op);

namespace detail {
template <class T>
awaitable<void> store(awaitable<Result<T>> op, std::optional<Result<T>>* into) {
  into->emplace(co_await std::move(op));
}
}  // namespace detail

/// The result of `op`, or kTimeout when the deadline came first. Operations on a Stream take a Deadline themselves:
/// this is for what is made of several.
template <class T>
awaitable<Result<T>> within(Deadline deadline, awaitable<Result<T>> op) {
  std::optional<Result<T>> out;
  awaitable<void> stored = detail::store<T>(std::move(op), &out);
  const bool in_time = co_await run_within(deadline, std::move(stored));
  if (!in_time || !out) co_return fail(Code::kTimeout, "not done before the deadline");
  co_return std::move(*out);
}

/// Wakes waiting tasks. A notification while nobody waits is kept for the next one to wait.
class Signal {
 public:
  explicit Signal(Executor executor);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  /// Any thread. Wakes everybody who waits.
  void notify();
  /// True when notified, false at the deadline or when the task was cancelled.
  awaitable<bool> wait(Deadline deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

constexpr std::size_t kGroupTasksMax = 16384;

/// Owner of tasks on one executor: nothing is spawned outside of one (STYLE §6). The owner joins before it goes away;
/// the destructor, on any thread, cancels what is left. Off the executor's thread, or while its loop does not run, a
/// cancellation reaches the tasks at the loop's next turn; when the loop never turns again they stay as they are and
/// are freed with it. A group with tasks left goes away before its loop does.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor, std::size_t tasks_max = kGroupTasksMax);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts `task` at the next turn of the executor. An exception that leaves it is logged as an error. In the task a
  /// cancellation ends the operation under way with kCancelled and throws nothing.
  /// Errors: kUnavailable when the group is full or cancelled.
  Result<void> spawn(awaitable<void> task);
  /// Any thread. Cancels every task; spawns are refused from now on.
  void cancel();
  /// Waits until no task is left; kTimeout when some still run at the deadline.
  awaitable<Result<void>> join(Deadline deadline);
  /// Any thread.
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::net
