#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <map>
#include <vector>

#include "base/log.h"
#include "net/deadline.h"

namespace berth::net {
namespace {

awaitable<void> quiet(awaitable<void> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

void log_exception(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    log::error("task ended by an exception", {log::kv("what", std::string_view(e.what()))});
  } catch (...) {
    log::error("task ended by an unknown exception");
  }
}

}  // namespace

struct TaskGroup::State {
  State(Executor on, std::size_t most) : executor(std::move(on)), tasks_max(most), idle(executor) {}

  /// On the executor's thread.
  void emit_all() {
    std::vector<std::shared_ptr<asio::cancellation_signal>> signals;  // emitting may end tasks and change the map
    for (const auto& [id, signal] : tasks) signals.push_back(signal);
    for (const auto& signal : signals) signal->emit(asio::cancellation_type::terminal);
    // co_spawn may have queued what it was told, with a bare pointer into the signal: the signals outlive that.
    asio::post(executor, [kept = std::move(signals)] {});
  }

  Executor executor;
  std::size_t tasks_max;
  Signal idle;
  std::atomic<bool> cancelled = false;
  std::atomic<std::size_t> count = 0;  // tasks.size() for other threads
  // The executor's thread only:
  std::uint64_t next_id = 0;
  std::map<std::uint64_t, std::shared_ptr<asio::cancellation_signal>> tasks;
};

TaskGroup::TaskGroup(Executor executor, std::size_t tasks_max)
    : state_(std::make_shared<State>(std::move(executor), tasks_max)) {}

TaskGroup::~TaskGroup() { cancel(); }

Result<void> TaskGroup::spawn(awaitable<void> task) {
  if (state_->tasks.size() >= state_->tasks_max && !state_->cancelled) {
    return fail(Code::kUnavailable, fmt::format("{} tasks run already, the limit", state_->tasks.size()));
  }
  // Counted before it looks, as cancel() looks after it has told: one of the two sees the other.
  ++state_->count;
  if (state_->cancelled) {
    --state_->count;
    return fail(Code::kUnavailable, "the task group is being stopped");
  }
  const std::uint64_t id = state_->next_id++;
  auto signal = std::make_shared<asio::cancellation_signal>();
  state_->tasks.emplace(id, signal);
  auto done = [state = state_, id](const std::exception_ptr& thrown) {
    if (thrown) log_exception(thrown);
    state->tasks.erase(id);
    --state->count;
    if (state->tasks.empty()) state->idle.notify();
  };
  awaitable<void> wrapped = quiet(std::move(task));
  asio::co_spawn(state_->executor, std::move(wrapped), asio::bind_cancellation_slot(signal->slot(), std::move(done)));
  return {};
}

void TaskGroup::cancel() {
  state_->cancelled = true;
  if (state_->count == 0) return;  // and a loop that is gone already is not touched
  asio::dispatch(state_->executor, [state = state_] { state->emit_all(); });
}

awaitable<Result<void>> TaskGroup::join(Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  while (!state->tasks.empty()) {
    if (co_await state->idle.wait(deadline)) continue;
    if (co_await task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
    if (deadline.passed() && !state->tasks.empty()) {
      co_return fail(Code::kTimeout, fmt::format("{} tasks still run", state->tasks.size()));
    }
  }
  co_return Result<void>{};
}

std::size_t TaskGroup::size() const { return state_->count; }

}  // namespace berth::net
