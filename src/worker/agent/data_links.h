#pragma once
// Data connections: dialled ahead, so that a request never waits for one. Idle ones are kept at the number the server
// asked for; one that becomes busy is replaced by a fresh one, up to a limit.

#include <cstddef>
#include <cstdint>
#include <string>

#include "net/client.h"
#include "net/server.h"

namespace berth::worker {

constexpr std::size_t kDataConnectionsMax = 256;
constexpr std::size_t kDataIdleMax = 64;  // the most a server may ask for
constexpr net::Millis kDataDialMax{15'000};
/// No sign of the server's machine. Beyond the time that a client may take to read (ServerOptions::write_stall_max),
/// for a gateway that waits for it does not read either.
constexpr net::Millis kServerLostAfter{75'000};
constexpr net::Millis kDataIdleFor{60'000};  // then a fresh one: NATs forget silent connections
constexpr net::Millis kDataRetryMin{250};
constexpr net::Millis kDataRetryMax{15'000};

/// Belongs to one executor. The owner joins run(), then awaits end(), before this goes away.
class DataLinks {
 public:
  /// `url` without path. `handler` serves what the gateway asks.
  DataLinks(net::Executor executor, net::Url url, net::ClientTls tls, net::Handler handler);
  DataLinks(const DataLinks&) = delete;
  DataLinks& operator=(const DataLinks&) = delete;

  /// Keeps the number of idle connections until the task is cancelled.
  net::awaitable<void> run();
  /// After run(): ends all connections and waits until they have ended.
  net::awaitable<void> end();
  /// The server is there: keep `idle` connections, dialled with this key.
  void resume(std::string key, std::size_t idle);
  /// The server is not there: dial none. Requests under way go on.
  void pause();
  /// The gateway waits for `count` more now.
  void open_more(std::size_t count);

  [[nodiscard]] std::size_t open() const { return open_; }
  [[nodiscard]] std::size_t busy() const { return busy_; }

 private:
  void spawn_link();
  void note_failure(const Error& error);
  net::awaitable<void> link();
  net::awaitable<Result<net::Stream>> dial();
  net::awaitable<void> serve(net::Exchange& exchange);
  [[nodiscard]] bool wants_more() const;

  net::Url url_;
  net::ClientTls tls_;
  net::Handler handler_;
  std::string key_;
  std::size_t idle_wanted_ = 0;  // 0: paused
  std::size_t extra_ = 0;        // asked for by the gateway, not dialled yet
  std::size_t dialling_ = 0;
  std::size_t open_ = 0;
  std::size_t busy_ = 0;
  std::uint32_t failures_ = 0;                       // in a row
  net::Deadline retry_at_ = net::Deadline::never();  // after a failure
  net::Signal changed_;
  net::TaskGroup links_;
};

}  // namespace berth::worker
