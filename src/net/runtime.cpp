#include "net/runtime.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <csignal>
#include <thread>

namespace berth::net {

struct Loop::State {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
};

Loop::Loop() : state_(std::make_unique<State>()) {}
Loop::~Loop() = default;

Executor Loop::executor() { return state_->context.get_executor(); }
void Loop::run() { state_->context.run(); }
void Loop::stop() { state_->context.stop(); }
void Loop::post(std::function<void()> work) { asio::post(state_->context, std::move(work)); }

void Loop::run_until_done(awaitable<void> task) {
  bool done = false;
  std::exception_ptr thrown;
  asio::co_spawn(state_->context, std::move(task), [&done, &thrown](std::exception_ptr error) {
    done = true;
    thrown = std::move(error);
  });
  while (!done && !state_->context.stopped()) state_->context.run_one();
  if (thrown) std::rethrow_exception(thrown);
}

struct WorkPool::State {
  struct Job {
    Job(Executor on, std::function<void()> what)
        : executor(std::move(on)), work(std::move(what)), timer(executor, Deadline::never().when()) {}
    Executor executor;
    std::function<void()> work;
    asio::steady_timer timer;  // cancelled when finished
    std::exception_ptr thrown;
    bool finished = false;
    bool dropped = false;
  };

  void finish(const std::shared_ptr<Job>& job) {
    asio::post(job->executor, [job] {
      job->finished = true;
      job->timer.cancel();
    });
  }

  void run() {
    for (;;) {
      std::unique_lock lock(mutex);
      wake.wait(lock, [this] { return stopping || !queue.empty(); });
      if (queue.empty()) return;
      const std::shared_ptr<Job> job = std::move(queue.front());
      queue.pop_front();
      job->dropped = stopping;
      lock.unlock();
      try {
        if (!job->dropped) job->work();
      } catch (...) {
        job->thrown = std::current_exception();
      }
      finish(job);
    }
  }

  std::string name;
  std::size_t queue_max = 0;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::deque<std::shared_ptr<Job>> queue;
  std::vector<std::thread> threads;
};

WorkPool::WorkPool(std::string name, std::size_t threads, std::size_t queue_max) : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->queue_max = queue_max;
  for (std::size_t i = 0; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->run(); });
  }
}

WorkPool::~WorkPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

awaitable<Result<void>> WorkPool::run_void(std::function<void()> job) {
  const Executor executor = co_await asio::this_coro::executor;
  auto entry = std::make_shared<State::Job>(executor, std::move(job));
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping || state_->queue.size() >= state_->queue_max) {
      co_return fail(Code::kUnavailable,
                     fmt::format("{} jobs wait for {}, the limit", state_->queue.size(), state_->name));
    }
    state_->queue.push_back(entry);
  }
  state_->wake.notify_one();
  // A cancellation ends one wait at most; the job holds references into its caller and must be waited for.
  while (!entry->finished) co_await entry->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (entry->thrown) std::rethrow_exception(entry->thrown);
  if (entry->dropped) co_return fail(Code::kUnavailable, fmt::format("{} is stopping", state_->name));
  co_return Result<void>{};
}

awaitable<int> wait_stop_signal() {
  const Executor executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return error ? 0 : number;
}

}  // namespace berth::net
