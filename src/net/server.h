#pragma once
// HTTP/1.1 server on one executor; one Server per core, sharing the listening socket. A connection stays on the core
// that accepted it; requests on it are handled one after another, pipelined ones too.
//
//   accept → (TLS) → read head → handler(Exchange) ─ respond / start_stream + write … / upgrade
//                       ↑______ keep-alive ______|        a client that leaves cancels the handler

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_types.h"
#include "net/stream.h"

namespace berth::net {

constexpr std::size_t kConnectionsMax = 8192;
constexpr std::size_t kRequestBodyMax = 32 * 1024 * 1024;

struct ServerOptions {
  std::size_t connections_max = kConnectionsMax;  // of this server; more wait in the kernel's queue
  std::size_t body_max = kRequestBodyMax;         // bytes; more is answered with 413
  Millis handshake_max{10'000};                   // TLS
  Millis head_max{10'000};                        // from the first byte of a head to its end
  Millis idle_max{75'000};                        // between requests
  Millis body_stall_max{30'000};                  // without one byte of a body that is waited for
  std::uint64_t body_rate_min = 1024;             // bytes per second of a body on average, after body_stall_max
  Millis write_stall_max{60'000};                 // for one write that the client does not take
  std::string server_name = "berth";              // Server header; empty: none
};

/// One request and its answer. Lives as long as the handler runs; used from the connection's executor only. Views
/// handed in must live until the call completes.
class Exchange {
 public:
  struct Impl;

  explicit Exchange(Impl& impl) : impl_(impl) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] const Request& request() const;
  [[nodiscard]] const std::string& peer() const;
  [[nodiscard]] bool is_tls() const;
  [[nodiscard]] bool is_unix() const;
  [[nodiscard]] Executor executor() const;
  /// Declared size of the request body; absent for a chunked one.
  [[nodiscard]] std::optional<std::uint64_t> body_length() const;

  /// The whole body. Errors: kTooLarge above `max` or the server's cap, kInvalid (broken framing), kTimeout,
  /// kUnavailable, kCancelled. After kTooLarge answer 413: the connection closes after the answer.
  awaitable<Result<std::string>> read_body(std::size_t max = kRequestBodyMax);
  /// The next piece, valid until the next call; empty at the end.
  awaitable<Result<std::string_view>> read_some();

  /// The whole answer at once. Content-Length, Date, Server and Connection are added.
  awaitable<Result<void>> respond(Response response);
  /// Begins an answer of unknown length: chunked, or until close for HTTP/1.0. `head.body` must be empty.
  awaitable<Result<void>> start_stream(Response head);
  /// One piece, sent at once. Errors: kTimeout when the client does not read, kUnavailable or kCancelled when it left.
  awaitable<Result<void>> write(std::string_view bytes);
  /// Ends the stream in order. A handler that returns without it breaks the connection, so that the client can tell.
  awaitable<Result<void>> finish();

  /// True once an answer was begun.
  [[nodiscard]] bool responded() const;
  /// True after the client hung up; the handler's operation under way then ends with kCancelled.
  [[nodiscard]] bool client_gone() const;
  /// True when the server is stopping: long streams should end.
  [[nodiscard]] bool draining() const;

  /// Answers 101 and hands over the stream; bytes that came after the request are read from it first. The handler goes
  /// on with it (its return ends the connection's task, not the stream).
  /// Errors: kInvalid when the request does not ask for `protocol` or has a body.
  awaitable<Result<Stream>> upgrade(std::string protocol, HeaderList headers = {});

 private:
  Impl& impl_;
};

/// Must answer through the Exchange. Returning without an answer, or an exception, gives 500 and a logged error.
/// Cancelled (client gone, server stopping) means that operations end with kCancelled; nothing is thrown.
using Handler = std::function<awaitable<void>(Exchange&)>;

/// Serves HTTP on an open stream until it ends; also over a connection that this side dialled. Returns when the
/// connection is over or was handed over by upgrade(). A client that closes only its sending half counts as
/// gone: the two cannot be told apart.
awaitable<void> serve_connection(Stream stream, Handler handler, ServerOptions options = {});

class Server {
 public:
  struct State;

  Server(Executor executor, Handler handler, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Starts accepting at the next turn of the executor; several listeners may be added. TLS when `tls` is enabled.
  void listen(Listener listener, ServerTls tls = {});
  /// Stops accepting, closes idle connections, lets requests in flight finish until `grace`, then cancels them.
  awaitable<void> stop(Deadline grace);
  [[nodiscard]] std::size_t connections() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace berth::net
