#pragma once
// The threads: one event loop per core, and named pools for work that blocks (STYLE §6). Only main, commands and tests
// make these.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "net/deadline.h"

namespace berth::net {

/// One event loop, run by the thread that calls run().
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  [[nodiscard]] Executor executor();
  /// Runs until stop().
  void run();
  /// Any thread.
  void stop();
  /// Any thread: runs `work` on this loop.
  void post(std::function<void()> work);
  /// Runs the loop on the calling thread until `task` is done; for commands, tests and main. Rethrows what it throws.
  void run_until_done(awaitable<void> task);

  /// As above, with a value.
  template <class T>
  Result<T> wait_for(awaitable<Result<T>> task) {
    std::optional<Result<T>> out;
    run_until_done(detail::store<T>(std::move(task), &out));
    if (!out) return fail(Code::kCancelled, "the loop was stopped");
    return std::move(*out);
  }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Threads for blocking work: SQLite, files, hashing, argon2. At most `queue_max` jobs wait.
class WorkPool {
 public:
  WorkPool(std::string name, std::size_t threads, std::size_t queue_max = 1024);
  /// Waits for the jobs that run and drops those that wait.
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  /// Runs `job` on a thread of the pool and resumes the caller on its own executor. The job always runs to its end and
  /// is waited for, also when the caller is cancelled. Errors: kUnavailable when the queue is full.
  awaitable<Result<void>> run_void(std::function<void()> job);

  /// As above, with the value of `job`.
  template <class T>
  awaitable<Result<T>> run(std::function<Result<T>()> job) {
    std::optional<Result<T>> out;
    std::function<void()> call = [&out, &job] { out.emplace(job()); };
    CO_TRY_VOID(co_await run_void(std::move(call)));
    ASSERT(out);
    co_return std::move(*out);
  }

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Completes with the number of the first of SIGINT, SIGTERM; 0 when cancelled. SIGPIPE needs no handler: no write in
/// net raises it.
awaitable<int> wait_stop_signal();

}  // namespace berth::net
