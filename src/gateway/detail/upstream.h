#pragma once
// One request to one instance: over a connection to this host, or over one that its worker dialled. The calls are those
// of net::ClientConnection; when the connection belongs to another executor they run there.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "gateway/detail/state.h"
#include "net/client.h"

namespace berth::gateway {

class Upstream {
 public:
  /// `request` must live as long; the engine's secret and Berth-Instance are set in it.
  Upstream(Gateway::State& state, Target target, net::Request& request, net::Executor home);
  /// Closes the connection unless it was kept.
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  /// Connects and sends. Errors: kUnavailable, kTimeout, kCancelled.
  net::awaitable<Result<void>> open();
  /// As ClientConnection::read_head; on a kept connection that had died meanwhile the request is sent again on another.
  net::awaitable<Result<const net::Response*>> read_head(net::Deadline deadline);
  net::awaitable<Result<std::string_view>> read_some(net::Deadline deadline);
  /// The worker's control connection is gone and nothing came from it here either: the last error, kUnavailable, says
  /// for how long.
  [[nodiscard]] bool worker_lost() const { return lost_; }
  /// No byte of an answer has come.
  [[nodiscard]] bool unanswered() const { return !connection_ || connection_->unanswered(); }
  /// Keeps the connection for others when its last response ended in order.
  void keep();

 private:
  net::awaitable<Result<void>> connect();
  net::awaitable<Result<void>> connect_direct(const Direct& direct);
  net::awaitable<Result<void>> connect_and_send();
  void drop();
  /// The connection that open() made; it lasts until drop() or keep().
  net::ClientConnection& connection() {
    ASSERT(connection_);
    return *connection_;
  }

  /// The next time to look whether the worker is there; `deadline` when it is sooner.
  [[nodiscard]] net::Deadline look(net::Deadline deadline) const;
  /// Notes that the worker is lost if it is.
  bool find_lost();
  [[nodiscard]] Error lost_error() const;

  template <class T>
  net::awaitable<Result<T>> there(net::awaitable<Result<T>> op);

  Gateway::State& state_;
  Target target_;
  net::Executor home_;
  net::Executor owner_;
  net::Request& request_;
  std::optional<net::ClientConnection> connection_;
  std::string address_;                               // of a direct target
  std::shared_ptr<const Presence> presence_;          // of the target's worker, unless direct
  std::chrono::steady_clock::time_point heard_at_{};  // something came, or the request was sent
  bool lost_ = false;
  bool reused_ = false;
  int stale_tries_ = 0;
};

}  // namespace berth::gateway
