#include "net/deadline.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

namespace berth::net {
namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

/// Errors come as values in every task of ours: after a cancellation nothing is thrown at the next co_await.
awaitable<void> not_throwing(awaitable<void> op) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(op);
}

}  // namespace

Millis Deadline::remaining() const {
  if (is_never()) return Millis::max();
  const auto left = std::chrono::ceil<Millis>(when_ - Clock::now());
  return left < Millis(0) ? Millis(0) : left;
}

awaitable<bool> task_cancelled() {
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

awaitable<Result<void>> sleep_until(Deadline deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  if (co_await task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
  asio::steady_timer timer(executor, deadline.when());
  auto [error] = co_await timer.async_wait(kTuple);
  if (error) co_return fail(Code::kCancelled, "cancelled");
  co_return Result<void>{};
}

awaitable<bool> run_within(Deadline deadline, awaitable<void> op) {
  if (deadline.is_never()) {
    co_await std::move(op);
    co_return true;
  }
  const Executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, deadline.when());
  awaitable<void> task = not_throwing(std::move(op));
  auto both = asio::experimental::make_parallel_group(asio::co_spawn(executor, std::move(task), asio::deferred),
                                                      timer.async_wait(asio::deferred));
  auto [order, thrown, timer_error] = co_await both.async_wait(asio::experimental::wait_for_one(), kTuple);
  if (thrown) std::rethrow_exception(thrown);
  // Cancelled from outside both end at once, and the op's own result tells it better.
  if (order[0] != 0 && !co_await task_cancelled()) co_return false;
  co_return true;
}

struct Signal::State {
  struct Waiter {
    asio::steady_timer timer;
    bool woken = false;
  };

  explicit State(Executor on) : executor(std::move(on)) {}

  void wake() {
    pending.store(false);
    kept = waiters.empty();
    for (Waiter* waiter : waiters) {
      waiter->woken = true;
      waiter->timer.cancel();
    }
  }

  Executor executor;
  std::atomic<bool> pending = false;  // a wake() is on its way
  bool kept = false;
  std::vector<Waiter*> waiters;
};

Signal::Signal(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}
Signal::~Signal() = default;

void Signal::notify() {
  if (state_->pending.exchange(true)) return;
  asio::post(state_->executor, [state = state_] { state->wake(); });
}

awaitable<bool> Signal::wait(Deadline deadline) {
  const std::shared_ptr<State> state = state_;
  if (co_await task_cancelled()) co_return false;
  if (state->kept) {
    state->kept = false;
    co_return true;
  }
  State::Waiter waiter{.timer = asio::steady_timer(state->executor, deadline.when())};
  state->waiters.push_back(&waiter);
  co_await waiter.timer.async_wait(kTuple);
  std::erase(state->waiters, &waiter);
  co_return waiter.woken;
}

}  // namespace berth::net
