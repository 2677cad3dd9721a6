#include "gateway/data_pool.h"

#include <deque>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "gateway/detail/hop.h"

namespace berth::gateway {
namespace {

constexpr std::string_view kAuthority = "berth-worker";

struct Waiter {
  explicit Waiter(net::Executor executor) : signal(executor), home(std::move(executor)) {}

  net::Signal signal;
  net::Executor home;
  std::optional<net::ClientConnection> connection;  // guarded by the pool's mutex
};

struct Idle {
  net::ClientConnection connection;
  net::Executor owner;
};

struct WorkerEntry {
  std::deque<Idle> idle;  // newest at the back: it is the least likely to have been closed
  std::deque<std::shared_ptr<Waiter>> waiters;
};

}  // namespace

struct DataPool::State {
  RequestMore request_more;
  std::size_t idle_max = 0;
  mutable std::mutex mutex;
  std::map<std::string, WorkerEntry, std::less<>> workers;
  std::map<std::string, std::weak_ptr<Presence>, std::less<>> presences;

  void put(const std::string& worker, net::ClientConnection connection);
  std::optional<net::ClientConnection> pop(WorkerEntry& entry, const net::Executor& home);
  void leave(const std::string& worker, const std::shared_ptr<Waiter>& waiter);
};

DataPool::DataPool(RequestMore request_more, std::size_t idle_max) : state_(std::make_unique<State>()) {
  state_->request_more = std::move(request_more);
  state_->idle_max = idle_max;
}

DataPool::~DataPool() = default;

void DataPool::State::put(const std::string& worker, net::ClientConnection connection) {
  net::Executor owner = connection.stream().executor();
  const std::lock_guard lock(mutex);
  WorkerEntry& entry = workers[worker];
  if (!entry.waiters.empty()) {
    // First come, first served, wherever the waiter lives.
    const std::shared_ptr<Waiter> waiter = std::move(entry.waiters.front());
    entry.waiters.pop_front();
    waiter->connection = std::move(connection);
    waiter->signal.notify();
    return;
  }
  if (entry.idle.size() >= idle_max) {
    dispose(std::move(entry.idle.front().connection));
    entry.idle.pop_front();
  }
  entry.idle.push_back({.connection = std::move(connection), .owner = std::move(owner)});
}

std::optional<net::ClientConnection> DataPool::State::pop(WorkerEntry& entry, const net::Executor& home) {
  while (!entry.idle.empty()) {
    auto chosen = std::prev(entry.idle.end());
    for (auto at = entry.idle.rbegin(); at != entry.idle.rend(); ++at) {
      if (at->owner != home) continue;
      chosen = std::prev(at.base());
      break;
    }
    net::ClientConnection connection = std::move(chosen->connection);
    entry.idle.erase(chosen);
    if (connection.idle_healthy()) return connection;
    dispose(std::move(connection));
  }
  return std::nullopt;
}

void DataPool::State::leave(const std::string& worker, const std::shared_ptr<Waiter>& waiter) {
  const auto found = workers.find(worker);
  if (found != workers.end()) std::erase(found->second.waiters, waiter);
}

void DataPool::offer(const std::string& worker, net::Stream stream) {
  stream.probe_peer(kWorkerLostAfter);
  state_->put(worker, net::ClientConnection(std::move(stream), std::string(kAuthority)));
}

void DataPool::give_back(const std::string& worker, net::ClientConnection connection) {
  if (!connection.idle_healthy()) return dispose(std::move(connection));
  state_->put(worker, std::move(connection));
}

net::awaitable<Result<net::ClientConnection>> DataPool::take(std::string worker, net::Deadline deadline) {
  State& state = *state_;
  const net::Executor home = co_await net::asio::this_coro::executor;
  std::shared_ptr<Waiter> waiter;
  {
    const std::lock_guard lock(state.mutex);
    WorkerEntry& entry = state.workers[worker];
    if (auto idle = state.pop(entry, home)) co_return std::move(*idle);
    if (entry.waiters.size() >= kDataWaitersPerWorkerMax) {
      co_return fail(Code::kUnavailable,
                     fmt::format("{} requests wait for a data connection of worker {}", entry.waiters.size(), worker));
    }
    waiter = std::make_shared<Waiter>(home);
    entry.waiters.push_back(waiter);
  }
  state.request_more(worker, 1);
  const bool woken = co_await waiter->signal.wait(deadline);
  const bool cancelled = co_await net::task_cancelled();
  std::optional<net::ClientConnection> got;
  {
    const std::lock_guard lock(state.mutex);
    got = std::move(waiter->connection);
    waiter->connection.reset();
    if (!got) state.leave(worker, waiter);
  }
  if (got && !cancelled) co_return std::move(*got);
  if (got) {
    state.put(worker, std::move(*got));
    co_return fail(Code::kCancelled, "cancelled");
  }
  if (cancelled) co_return fail(Code::kCancelled, "cancelled");
  if (woken) co_return fail(Code::kUnavailable, fmt::format("worker {} left", worker));
  co_return fail(Code::kTimeout, fmt::format("worker {} opened no data connection in time", worker));
}

void DataPool::forget(const std::string& worker) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->presences, [](const auto& entry) { return entry.second.expired(); });
  if (const auto at = state_->presences.find(worker); at != state_->presences.end())
    if (const auto presence = at->second.lock()) presence->go(std::chrono::steady_clock::now());
  const auto found = state_->workers.find(worker);
  if (found == state_->workers.end()) return;
  for (Idle& idle : found->second.idle) dispose(std::move(idle.connection));
  for (const auto& waiter : found->second.waiters) waiter->signal.notify();
  state_->workers.erase(found);
}

void DataPool::welcome(const std::string& worker) {
  const std::lock_guard lock(state_->mutex);
  if (const auto at = state_->presences.find(worker); at != state_->presences.end())
    if (const auto presence = at->second.lock()) presence->come();
}

std::shared_ptr<const Presence> DataPool::presence(const std::string& worker) {
  const std::lock_guard lock(state_->mutex);
  std::weak_ptr<Presence>& known = state_->presences[worker];
  std::shared_ptr<Presence> presence = known.lock();
  if (!presence) known = presence = std::make_shared<Presence>();
  return presence;
}

std::size_t DataPool::idle(const std::string& worker) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->workers.find(worker);
  return found == state_->workers.end() ? 0 : found->second.idle.size();
}

}  // namespace berth::gateway
