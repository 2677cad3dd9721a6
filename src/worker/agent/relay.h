#pragma once
// What the gateway asks on a data connection, passed on to an engine of this machine:
//
//   gateway ── Berth-Instance: X ──▶ data connection ──▶ 127.0.0.1:port of X, with X's secret
//
// Bodies and answers pass in the pieces they come in. A gateway that hangs up ends the engine's request at once.

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/client.h"
#include "net/server.h"
#include "worker/supervise/supervisor.h"

namespace berth::worker {

constexpr std::size_t kReplayBytesMax = 64 * 1024;  // request bodies up to this are read whole and may be sent again
constexpr std::size_t kEngineIdleMax = 16;          // kept connections per instance
constexpr std::size_t kEnginesKeptMax = 64;         // instances with kept connections
constexpr net::Millis kEngineConnectMax{5'000};
constexpr net::Millis kEngineSendMax{60'000};
/// Between two pieces of an answer. The gateway's own limits are shorter; this one only ends what nobody watches.
constexpr net::Millis kEngineSilenceMax{30 * 60'000};

/// Belongs to one executor. Must outlive the requests it serves.
class Relay {
 public:
  /// Where an instance answers; absent unless it is ready.
  using Find = std::function<std::optional<Endpoint>(const std::string& instance)>;

  explicit Relay(Find find) : find_(std::move(find)) {}
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// Answers in any case: 404 for an instance that is not ready, 502 for an engine that does not answer. Both carry
  /// Berth-Refused (wire/messages.h) when the gateway may ask another instance instead.
  net::awaitable<void> serve(net::Exchange& exchange);
  /// Closes the kept connections of instances that are no longer found.
  void prune();
  [[nodiscard]] std::size_t kept() const;

 private:
  struct Kept {
    std::uint16_t port = 0;
    std::vector<net::ClientConnection> idle;
  };

  /// How far a request came: what is left to say about it when it fails.
  struct Progress {
    bool sent = false;      // an engine may have seen some of it
    bool answered = false;  // a byte came back
  };

  /// A connection whose answer has begun.
  struct Asked {
    net::ClientConnection connection;
    const net::Response* head = nullptr;  // lives in the connection
  };

  std::optional<net::ClientConnection> take(const std::string& instance, std::uint16_t port);
  void keep(const std::string& instance, std::uint16_t port, net::ClientConnection connection);
  net::awaitable<Result<net::ClientConnection>> connect(std::uint16_t port);
  net::awaitable<Result<Asked>> head_of(net::ClientConnection connection, Progress& progress);
  net::awaitable<Result<Asked>> ask(const std::string& instance,
                                    std::uint16_t port,
                                    const net::Request& request,
                                    Progress& progress);
  net::awaitable<Result<Asked>> ask_streaming(net::Exchange& exchange,
                                              std::uint16_t port,
                                              const net::Request& request,
                                              Progress& progress);
  net::awaitable<Result<Asked>> forward(net::Exchange& exchange,
                                        const std::string& instance,
                                        const Endpoint& engine,
                                        Progress& progress);

  Find find_;
  std::map<std::string, Kept> kept_;
};

}  // namespace berth::worker
