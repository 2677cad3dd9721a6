#pragma once
// The connection of a worker to its server (wire/messages.h): the worker dials out and nobody dials it.
//
//   Local ◀── one thread: Supervisor, Observer        goes on whether a server is there or not
//     │ picture
//   Agent ── control connection ──▶ server            hello, welcome, inventory; then desired ◀─ ─▶ reports, heartbeats
//     └─ DataLinks ── data connections ──▶ server     each serves HTTP: Relay passes requests on to the engines
//
// Nothing is ever stopped because a reply was empty or a connection ended: only an instruction that names an instance
// stops it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "net/http_types.h"
#include "net/runtime.h"
#include "net/tls.h"
#include "worker/detect/detect.h"
#include "worker/supervise/supervisor.h"

namespace berth::worker {

/// The rhythm of the connection; shorter in tests.
struct AgentTiming {
  net::Millis dial_max{15'000};     // connect, TLS, upgrade
  net::Millis welcome_max{15'000};  // for the answer to hello
  net::Millis ping_every{5'000};
  net::Millis silence_max{15'000};  // without a byte of the server: the connection is given up
  net::Millis backoff_min{500};     // between connections; doubles, jittered
  net::Millis backoff_max{15'000};
  net::Millis redetect_every{5 * 60'000};
};

struct AgentOptions {
  net::Url server;  // target is not used
  net::ClientTls tls;
  std::string token;  // to join; not needed once the server has given this worker its own key
  std::string name;
  std::string version;
  std::string state_dir;   // worker.json lies here
  bool simulated = false;  // devices are from a profile: figures stay as they are
  std::uint64_t seed = 1;  // jitter
  const Clock* clock = nullptr;
  /// Looks at the whole machine again; may take seconds. Empty: never.
  std::function<Result<fleet::Worker>()> redetect;
  AgentTiming timing;
};

/// What a status line shows. A copy.
struct AgentStatus {
  bool connected = false;
  std::string worker_id;
  std::size_t data_connections = 0;
  std::uint64_t sessions = 0;  // welcomes so far
};

class Agent {
 public:
  /// The references must outlive the agent, and the supervisor belongs to it from run() on: nobody else calls it.
  Agent(net::Executor executor, AgentOptions options, Supervisor& supervisor, Observer& observer, fleet::Worker worker);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Adopts engines, connects, and stays connected until stop(). Ends without stopping an engine.
  /// Errors: kUnauthenticated and what else a server refuses for good, when it has never welcomed this worker; those of
  /// the state folder.
  net::awaitable<Result<void>> run();
  /// Any thread. run() returns soon after; also before run() or when it has returned.
  void stop();
  /// On the executor.
  [[nodiscard]] AgentStatus status() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;  // shared with a stop() on its way
};

}  // namespace berth::worker
