#pragma once
// One connected byte stream over TCP, a unix socket, or TLS on TCP: the only type that touches a socket. Everything
// works by readiness: a system call is tried first, and only when it would block the task waits for the descriptor.
// A Stream belongs to one executor and is used from its thread; at most one reader and one writer at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/deadline.h"
#include "net/tls.h"

namespace berth::net {

/// Where to listen or to connect.
struct Endpoint {
  std::string host;        // name or IP address; empty for a unix socket
  std::uint16_t port = 0;  // 0 when listening: any free port
  std::string unix_path;   // empty for TCP

  [[nodiscard]] bool is_unix() const { return !unix_path.empty(); }
  /// "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock"
  [[nodiscard]] std::string text() const;
  /// True for a unix socket, 127.0.0.0/8, ::1 and "localhost".
  [[nodiscard]] bool is_loopback() const;
};

/// Reads what Endpoint::text() writes. Errors: kInvalid.
Result<Endpoint> parse_endpoint(std::string_view text);

class Stream {
 public:
  struct Impl;

  Stream();
  explicit Stream(std::shared_ptr<Impl> impl);
  ~Stream();
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;

  [[nodiscard]] bool is_open() const;
  /// "127.0.0.1:53124", "unix:/run/x.sock", or "unix" for an unnamed peer.
  [[nodiscard]] const std::string& peer() const;
  [[nodiscard]] bool is_tls() const;
  [[nodiscard]] bool is_unix() const;
  [[nodiscard]] Executor executor() const;

  /// Bytes read; 0 is the orderly end of the stream.
  /// Errors: kTimeout, kCancelled, kUnavailable (connection lost).
  awaitable<Result<std::size_t>> read_some(std::span<char> into, Deadline deadline);
  /// Writes all pieces in order; the bytes must live until it completes. A deadline that passes leaves the stream
  /// unusable for writing, for part may have been sent.
  awaitable<Result<void>> write_all(std::string_view first,
                                    Deadline deadline,
                                    std::string_view second = {},
                                    std::string_view third = {});
  /// What the kernel already holds, without waiting; 0 when there is nothing now. Errors: kUnavailable when the peer
  /// has closed or the connection is lost.
  Result<std::size_t> read_now(std::span<char> into);
  /// Puts bytes back: the next reads return them first. At most once before they are read again.
  void unread(std::string_view bytes);

  /// Calls `gone` once, when the peer closes its end or the connection breaks, within kHangupPoll also if unread data
  /// is in the way. Not called after stop_watching(). Reading and writing may go on meanwhile.
  void watch_hangup(std::function<void()> gone);
  void stop_watching();

  /// True when nothing came in and the peer has not closed: an idle keep-alive connection that may be used again.
  [[nodiscard]] bool idle_healthy() const;

  /// For connections that may be silent for long: a peer that vanished without a word (power, a NAT that forgot the
  /// connection) is noticed, and a NAT in between reminded. The connection is lost when the peer's machine acknowledged
  /// nothing for `lost_after`; a peer that merely does not read counts after the same time. TCP only.
  void probe_peer(Millis lost_after);

  /// Ends all operations of now and later with kCancelled. The descriptor stays until close() or destruction.
  void cancel();
  /// Tells the peer that nothing more will be written (TLS close_notify, then FIN).
  awaitable<Result<void>> shutdown_write(Deadline deadline);
  /// At once; unsent data may be lost.
  void close();

  /// For the files of net that open and secure streams.
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

constexpr Millis kHangupPoll{20};
constexpr Millis kProbeAfter{10'000};  // of silence
constexpr Millis kProbeEvery{5'000};
constexpr Millis kConnectMax{10'000};

/// Tries the addresses of `host` in the order of the resolver. Errors: kUnavailable with address and reason, kTimeout.
awaitable<Result<Stream>> connect_tcp(std::string host, std::uint16_t port, Deadline deadline);
awaitable<Result<Stream>> connect_unix(std::string path, Deadline deadline);
/// Errors beside those of connect_tcp: kUnauthenticated when the certificate is not the pinned or a trusted one; the
/// message then names the fingerprint that was seen.
awaitable<Result<Stream>> connect_tls(std::string host, std::uint16_t port, ClientTls tls, Deadline deadline);
/// TCP or unix by the endpoint; TLS when `tls` is enabled.
awaitable<Result<Stream>> connect(Endpoint to, ClientTls tls, Deadline deadline);
/// Server side of the handshake on an accepted stream.
awaitable<Result<Stream>> accept_tls(Stream stream, ServerTls tls, Deadline deadline);

/// A listening socket. `option` is the flag that a bind error tells the user to change: "127.0.0.1:8080 is in use:
/// choose another with --port".
class Listener {
 public:
  struct Impl;

  Listener() = default;
  ~Listener();
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&& other) noexcept;

  /// Removes a stale unix socket file first (one nobody listens on); unix sockets get mode 0600.
  /// Errors: kConflict (in use), kForbidden, kInvalid (no such address).
  static Result<Listener> open(Executor executor, Endpoint at, std::string option = "--port");
  /// Another acceptor of the same socket, for the loop of another core.
  [[nodiscard]] Result<Listener> share(Executor executor) const;

  /// With the real port where 0 was asked.
  [[nodiscard]] const Endpoint& endpoint() const;
  /// The next connection, plain. Temporary failures (no descriptors left, aborted handshakes) are waited out inside.
  /// Errors: kCancelled after close() or cancellation.
  awaitable<Result<Stream>> accept();
  void close();

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::net
