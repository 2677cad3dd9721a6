#pragma once
// The management side of the server: one handler for everything that is not inference.

#include <memory>
#include <string>
#include <vector>

#include "api/routes.h"
#include "api/worker_link.h"
#include "net/runtime.h"
#include "net/server.h"

namespace berth::api {

constexpr std::size_t kManagementBodyMax = 8ULL * 1024 * 1024;

struct ApiOptions {
  /// Host names that requests may carry besides loopback names; empty admits loopback only (DNS rebinding, T17).
  std::vector<std::string> hosts;
  bool own_hosts = false;  // listening on all addresses: this machine's own names and addresses are admitted too
};

/// Where handlers run: those that may wait for the disk apart from those that only read.
struct ApiPools {
  net::WorkPool& changes;
  net::WorkPool& reads;
};

class Api {
 public:
  Api(RouteDeps deps, WorkerLinks& links, ApiPools pools, const Clock& clock, ApiOptions options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  /// Answers in any case: management routes, health, worker connections, 404 for the rest.
  net::awaitable<void> handle(net::Exchange& exchange);
  /// Answers with the problem that `error` is.
  static net::awaitable<void> refuse(net::Exchange& exchange, const Error& error);
  /// Host and Origin rules for every request, inference included: an Error to answer with, or nothing.
  [[nodiscard]] std::optional<Error> check_origin(const net::Request& request) const;
  [[nodiscard]] const std::vector<Route>& routes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::api
