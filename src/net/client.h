#pragma once
// HTTP/1.1 client on one connection, for pools, for single calls, and over streams that somebody else opened.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_types.h"
#include "net/stream.h"

namespace berth::net {

/// One request after another on one stream. Used from the stream's executor only. After an error, or a response that
/// was not read to its end, the connection is not reusable: close it.
class ClientConnection {
 public:
  struct Impl;

  ClientConnection();
  /// `authority` is the Host header of requests that bring none.
  ClientConnection(Stream stream, std::string authority);
  ~ClientConnection();
  ClientConnection(ClientConnection&& other) noexcept;
  ClientConnection& operator=(ClientConnection&& other) noexcept;

  /// Sends head and `request.body` in as few writes as possible.
  awaitable<Result<void>> send(const Request& request, Deadline deadline);
  /// Begins a request whose body follows in pieces: of `length` bytes, or chunked when absent.
  awaitable<Result<void>> start(const Request& request, std::optional<std::uint64_t> length, Deadline deadline);
  awaitable<Result<void>> write(std::string_view bytes, Deadline deadline);
  awaitable<Result<void>> finish(Deadline deadline);

  /// The head of the final response; interim ones (1xx) are skipped, except 101. Valid until the next send.
  /// Errors: kTimeout (call again to go on waiting), kUnavailable (closed: see unanswered()), kInternal (the peer broke
  /// the protocol).
  awaitable<Result<const Response*>> read_head(Deadline deadline);
  /// The next piece of the body, valid until the next call; empty at the end. `deadline` is for this piece.
  /// After kTimeout another call goes on waiting.
  awaitable<Result<std::string_view>> read_some(Deadline deadline);
  /// The rest of the body. Errors: kTooLarge above `max`.
  awaitable<Result<std::string>> read_body(std::size_t max, Deadline deadline);

  /// The last exchange ended in order and both sides keep the connection.
  [[nodiscard]] bool reusable() const;
  /// reusable(), and the peer has neither closed nor sent anything unasked since.
  [[nodiscard]] bool idle_healthy() const;
  /// No byte of a response has come for the request sent last: with an idempotent request, or on a connection that had
  /// been idle, another try is allowed.
  [[nodiscard]] bool unanswered() const;
  [[nodiscard]] Stream& stream();
  /// After a 101: the stream, with what was read too much put back.
  Stream release();
  void close();

 private:
  std::unique_ptr<Impl> impl_;
};

struct FetchOptions {
  ClientTls tls;                            // for https; not enabled: the system's CAs
  std::size_t body_max = 64 * 1024 * 1024;  // bytes of the response body
  Millis connect_max = kConnectMax;
  Millis total_max{60'000};
};

/// Connects to what `url` names (http, https, unix).
awaitable<Result<ClientConnection>> open_url(Url url, ClientTls tls, Deadline deadline);
/// One request on a connection of its own, with the whole response. Redirects are not followed.
awaitable<Result<Response>> fetch(
    std::string method, std::string url, HeaderList headers, std::string body, FetchOptions options = {});
/// The same on an event loop of its own, for commands.
Result<Response> fetch_blocking(
    std::string method, std::string url, HeaderList headers, std::string body, FetchOptions options = {});

/// Asks for a protocol switch and returns the raw stream. Errors: the response's status as kUnauthenticated (401),
/// kForbidden (403), … with its body (at most 4 KiB) as message when it is not 101. `status`, if given, is what the
/// server answered, or 0 when it came to no answer; it outlives the call.
awaitable<Result<Stream>> dial_upgrade(
    Url url, ClientTls tls, std::string protocol, HeaderList headers, Deadline deadline, int* status = nullptr);

}  // namespace berth::net
