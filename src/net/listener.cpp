#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "net/detail/address.h"
#include "net/detail/stream_impl.h"

namespace berth::net {
namespace {

constexpr int kBacklog = 1024;
constexpr Millis kAcceptPause{100};  // when descriptors ran out

/// Owns a descriptor until somebody takes it.
struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int release() { return std::exchange(fd, -1); }
  int fd;
};

Error bind_error(int error, const Endpoint& at, const std::string& option) {
  const std::string where = at.text();
  switch (error) {
    case EADDRINUSE:
      return fail(Code::kConflict, fmt::format("{} is in use: choose another with {}", where, option));
    case EACCES:
    case EPERM:
      return fail(Code::kForbidden,
                  fmt::format("may not listen on {} ({}): choose another with {}", where, errno_text(error), option));
    case EADDRNOTAVAIL:
      return invalid(fmt::format("no interface of this machine has the address of {}", where));
    default:
      return fail(Code::kUnavailable, fmt::format("cannot listen on {}: {}", where, errno_text(error)));
  }
}

/// A socket file that nobody answers on is a leftover of a process that was killed.
void remove_stale(const Address& address, const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (probe.fd < 0) return;
  if (::connect(probe.fd, address.raw(), address.size) != 0 && errno == ECONNREFUSED) ::unlink(path.c_str());
}

Result<Address> listen_address(const Endpoint& at) {
  if (at.is_unix()) return unix_address(at.unix_path);
  const auto address = numeric_address(at.host == "localhost" ? "127.0.0.1" : at.host, at.port);
  if (!address) return invalid(fmt::format("\"{}\" is no IP address to listen on, nor localhost", at.host));
  return *address;
}

bool passes_soon(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

struct Listener::Impl {
  explicit Impl(std::shared_ptr<Stream::Impl> on) : socket(std::move(on)) {}
  std::shared_ptr<Stream::Impl> socket;  // only waited on, never read
  Endpoint endpoint;
  bool owns_file = false;  // of a unix socket: shares leave it alone
};

Listener::~Listener() { close(); }
Listener::Listener(Listener&& other) noexcept = default;

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  close();
  impl_ = std::move(other.impl_);
  return *this;
}

Result<Listener> Listener::open(Executor executor, Endpoint at, std::string option) {
  TRY(Address address, listen_address(at));
  Descriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd < 0) return bind_error(errno, at, option);
  const int on = 1;
  if (at.is_unix()) {
    remove_stale(address, at.unix_path);
    ::fchmod(socket.fd, 0600);  // before bind: the file is born with this mode
  } else {
    ::setsockopt(socket.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ::setsockopt(socket.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);  // accepted sockets inherit these two
    ::setsockopt(socket.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::bind(socket.fd, address.raw(), address.size) != 0) return bind_error(errno, at, option);
  if (::listen(socket.fd, kBacklog) != 0) return bind_error(errno, at, option);
  if (!at.is_unix()) {
    ::getsockname(socket.fd, address.raw(), &address.size);
    at.port = address.port();
  }
  auto watched = std::make_shared<Stream::Impl>(std::move(executor));
  TRY_VOID(watched->adopt(socket.fd));
  socket.release();
  Listener listener;
  listener.impl_ = std::make_shared<Impl>(std::move(watched));
  listener.impl_->owns_file = at.is_unix();
  listener.impl_->endpoint = std::move(at);
  return listener;
}

Result<Listener> Listener::share(Executor executor) const {
  Descriptor copy(::fcntl(impl_->socket->fd(), F_DUPFD_CLOEXEC, 0));
  if (copy.fd < 0) return fail(Code::kUnavailable, "cannot share the listening socket: " + errno_text(errno));
  auto watched = std::make_shared<Stream::Impl>(std::move(executor));
  TRY_VOID(watched->adopt(copy.fd));
  copy.release();
  Listener listener;
  listener.impl_ = std::make_shared<Impl>(std::move(watched));
  listener.impl_->endpoint = impl_->endpoint;
  return listener;
}

const Endpoint& Listener::endpoint() const { return impl_->endpoint; }

awaitable<Result<Stream>> Listener::accept() {
  const std::shared_ptr<Impl> self = impl_;
  const std::shared_ptr<Stream::Impl> socket = self->socket;
  for (;;) {
    if (!socket->descriptor.is_open() || co_await task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
    Address peer;
    peer.size = sizeof peer.storage;
    const int fd = ::accept4(socket->fd(), peer.raw(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      auto impl = std::make_shared<Stream::Impl>(socket->descriptor.get_executor());
      if (!impl->adopt(fd)) {
        ::close(fd);
        continue;
      }
      impl->peer = peer.text();
      impl->unix_socket = peer.family() == AF_UNIX;
      co_return Stream(std::move(impl));
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      auto ready = co_await Stream::Impl::wait(
          socket, Stream::Impl::Role::kReader, Stream::Impl::Want::kRead, Deadline::never());
      if (!ready) co_return std::move(ready).error();
    } else if (passes_soon(errno)) {
      log::warn("no descriptor left for a new connection", {log::kv("listening", self->endpoint.text())});
      CO_TRY_VOID(co_await sleep_for(kAcceptPause));
    } else if (errno == EBADF || errno == EINVAL) {
      co_return fail(Code::kCancelled, "the listener was closed");
    }
  }
}

void Listener::close() {
  if (!impl_) return;
  if (std::exchange(impl_->owns_file, false)) ::unlink(impl_->endpoint.unix_path.c_str());
  boost::system::error_code ignored;
  impl_->socket->cancelled = true;
  impl_->socket->descriptor.close(ignored);
}

}  // namespace berth::net
