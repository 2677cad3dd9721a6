#pragma once
// The server's end of worker connections (wire/messages.h): one control connection per worker, and data connections
// that are handed to whoever wants them. Everything runs on one executor; what says "any thread" posts to it.

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "api/auth.h"
#include "net/runtime.h"
#include "net/server.h"
#include "reconcile/reconciler.h"

namespace berth::api {

constexpr net::Millis kHelloMax{10'000};  // from the switch of protocols to a whole hello
constexpr std::size_t kHelloBytesMax = 64 * 1024;
constexpr std::size_t kAdmittingMax = 64;         // connections that have not said a whole hello yet
constexpr net::Millis kWorkerSilenceMax{20'000};  // beyond kHeartbeatLate: the connection is given up
constexpr std::size_t kLogChunksQueuedMax = 256;
constexpr std::size_t kLogReadersMax = 64;

struct LinkDeps {
  reconcile::Reconciler& reconciler;
  Auth& auth;
  net::WorkPool& pool;
  const Clock& clock;
  net::Executor executor;
  std::function<void()> wake;                                           // a tick is due
  std::function<void(const std::string& worker, net::Stream)> on_data;  // a data connection is there
  std::function<void(const std::string& worker)> on_here;               // its control connection is there
  std::function<void(const std::string& worker)> on_gone;
};

class WorkerLinks {
 public:
  explicit WorkerLinks(LinkDeps deps);
  ~WorkerLinks();
  WorkerLinks(const WorkerLinks&) = delete;
  WorkerLinks& operator=(const WorkerLinks&) = delete;

  /// GET /worker/v1/control and /worker/v1/data. Runs until the control connection ends. A key that is none is refused
  /// before the switch of protocols.
  net::awaitable<void> control(net::Exchange& exchange);
  net::awaitable<void> data(net::Exchange& exchange);
  /// Any thread: workers are connected, all of them from this machine, so that their files can be read here.
  [[nodiscard]] bool all_on_this_machine() const;
  /// Any thread: these workers get their desired state anew.
  void notify(std::set<std::string> workers);
  /// Ends the connections of workers that are none any more. Any thread.
  void end(std::set<std::string> workers);
  /// Any thread: asks the worker to open more data connections.
  void request_data(const std::string& worker, std::uint32_t count);
  /// Streams an instance's log into the exchange; answers the request in any case.
  net::awaitable<void> logs(
      net::Exchange& exchange, std::string instance_id, std::string worker_id, std::uint32_t tail, bool follow);
  /// Ends all connections.
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// The key of `Authorization: Bearer …` or `x-api-key`; absent without one.
std::optional<std::string> presented_key(const net::Request& request);

}  // namespace berth::api
