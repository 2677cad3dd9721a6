#pragma once
// Inside of Stream, shared by the files that open, read, write and secure it.

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "net/stream.h"

struct ssl_st;

namespace berth::net {

struct SslFree {
  void operator()(ssl_st* ssl) const;
};

struct Stream::Impl : std::enable_shared_from_this<Stream::Impl> {
  /// What an operation waits for, and on whose behalf: reader and writer each have their own deadline.
  enum class Role { kReader, kWriter };
  enum class Want { kRead, kWrite };

  explicit Impl(Executor executor) : descriptor(executor), timer(executor) {}

  /// Takes over a connected, non-blocking descriptor. Errors: kUnavailable when the loop cannot watch it.
  Result<void> adopt(int fd);
  [[nodiscard]] int fd() { return descriptor.native_handle(); }

  /// Waits for readiness; on return the system call is tried again.
  static awaitable<Result<void>> wait(std::shared_ptr<Impl> self, Role role, Want want, Deadline deadline);

  /// One attempt without waiting: bytes moved, or nothing and `want` says what to wait for.
  struct Attempt {
    std::size_t bytes = 0;
    bool blocked = false;
    bool ended = false;  // reads: orderly end
    Want want = Want::kRead;
  };
  Result<Attempt> try_read(std::span<char> into);
  Result<Attempt> try_write(std::string_view first, std::string_view second, std::string_view third);

  void arm(Deadline deadline);
  void on_timer(std::uint64_t epoch);
  void arm_watch();
  void check_hangup();
  void tell_gone();

  asio::posix::stream_descriptor descriptor;
  asio::steady_timer timer;
  std::unique_ptr<asio::steady_timer> poll_timer;  // made when unread data hides a hang-up
  std::unique_ptr<ssl_st, SslFree> ssl;
  std::string peer;
  std::string pushed;  // put back by unread()
  std::size_t pushed_at = 0;
  Deadline read_deadline = Deadline::never();
  Deadline write_deadline = Deadline::never();
  Deadline timer_at = Deadline::never();
  std::uint64_t timer_epoch = 0;
  unsigned ready_reads = 0;  // in a row without waiting
  bool timer_armed = false;
  bool unix_socket = false;
  bool cancelled = false;
  bool write_broken = false;
  bool watch_armed = false;
  std::function<void()> gone;
};

/// Text for errno values of sockets, without the number.
std::string errno_text(int error);

namespace tls {
/// Non-blocking TLS over the descriptor of `impl`.
Result<Stream::Impl::Attempt> try_read(Stream::Impl& impl, std::span<char> into);
Result<Stream::Impl::Attempt> try_write(Stream::Impl& impl, std::string_view bytes);
/// Sends the closing alert if there is room for it.
void close_notify(Stream::Impl& impl);
/// True when the peer sent nothing but records without data.
bool quiet(Stream::Impl& impl);
}  // namespace tls

}  // namespace berth::net
