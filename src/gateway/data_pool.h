#pragma once
// Connections that workers dialled for inference: idle ones wait here by worker until a request takes one. A
// connection carries one request at a time and comes back only after a response that ended in order.
//
// Any thread. A connection stays on the executor that accepted it; the pool prefers one of the caller's executor and
// otherwise gives out another's, which the gateway then uses over there.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "net/client.h"

namespace berth::gateway {

constexpr std::size_t kDataIdlePerWorkerMax = 64;
constexpr std::size_t kDataWaitersPerWorkerMax = 1024;
constexpr net::Millis kWorkerLostAfter{30'000};  // no sign of its machine on a data connection

/// Whether a worker's control connection is there: shared with the requests under way on its data connections, which
/// end when it is not and they hear nothing either. Any thread.
class Presence {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  void come() { gone_.store(kThere, std::memory_order_relaxed); }
  void go(Instant at) { gone_.store(at.time_since_epoch().count(), std::memory_order_relaxed); }
  [[nodiscard]] std::optional<Instant> gone_since() const {
    const Instant::rep at = gone_.load(std::memory_order_relaxed);
    if (at == kThere) return std::nullopt;
    return Instant(Instant::duration(at));
  }

 private:
  static constexpr Instant::rep kThere = std::numeric_limits<Instant::rep>::min();
  std::atomic<Instant::rep> gone_ = kThere;
};

class DataPool {
 public:
  /// Asks the worker for `count` more connections (OpenData on its control connection). Called from any executor,
  /// outside of the pool's lock; must not block.
  using RequestMore = std::function<void(const std::string& worker, std::uint32_t count)>;

  explicit DataPool(RequestMore request_more, std::size_t idle_max = kDataIdlePerWorkerMax);
  /// After the loops of its connections have stopped.
  ~DataPool();
  DataPool(const DataPool&) = delete;
  DataPool& operator=(const DataPool&) = delete;

  /// A fresh connection, after the upgrade to berth-data; called on the stream's executor. One too many is closed.
  void offer(const std::string& worker, net::Stream stream);
  /// A connection whose last response ended in order; called on its executor. One that is not reusable is closed.
  void give_back(const std::string& worker, net::ClientConnection connection);
  /// Waits for an idle connection of the worker, asking for more when there is none. The connection belongs to the
  /// executor of its stream, which may be another than the caller's.
  /// Errors: kTimeout, kUnavailable (too many wait, or the worker was forgotten), kCancelled.
  net::awaitable<Result<net::ClientConnection>> take(std::string worker, net::Deadline deadline);
  /// The worker is gone: its idle connections are closed, who waits for one is told, and its Presence says so.
  void forget(const std::string& worker);
  /// The worker is there, again or for the first time.
  void welcome(const std::string& worker);
  /// For as long as a request is under way there.
  [[nodiscard]] std::shared_ptr<const Presence> presence(const std::string& worker);

  [[nodiscard]] std::size_t idle(const std::string& worker) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::gateway
