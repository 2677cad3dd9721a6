#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <unistd.h>

#include "net/detail/address.h"
#include "net/detail/stream_impl.h"

namespace berth::net {
namespace {

awaitable<Result<Stream>> connect_address(Address address, Deadline deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto unreachable = [&](int error) {
    return fail(Code::kUnavailable, fmt::format("cannot connect to {}: {}", address.text(), errno_text(error)));
  };
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return unreachable(errno);
  auto impl = std::make_shared<Stream::Impl>(executor);
  if (auto adopted = impl->adopt(fd); !adopted) {
    ::close(fd);
    co_return std::move(adopted).error();
  }
  impl->peer = address.text();
  impl->unix_socket = address.family() == AF_UNIX;
  Stream stream(impl);
  if (!impl->unix_socket) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (::connect(fd, address.raw(), address.size) == 0) co_return std::move(stream);
  if (errno != EINPROGRESS && errno != EINTR) co_return unreachable(errno);
  auto ready = co_await Stream::Impl::wait(impl, Stream::Impl::Role::kWriter, Stream::Impl::Want::kWrite, deadline);
  if (!ready && ready.error().code == Code::kTimeout) {
    co_return fail(Code::kTimeout, fmt::format("{} did not answer in time", address.text()));
  }
  if (!ready) co_return std::move(ready).error();
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) co_return unreachable(error);
  co_return std::move(stream);
}

void set_tcp(int fd, int option, Millis::rep value) {
  const int given = static_cast<int>(value);
  ::setsockopt(fd, IPPROTO_TCP, option, &given, sizeof given);
}

}  // namespace

void Stream::probe_peer(Millis lost_after) {
  if (!is_open() || is_unix()) return;
  const int fd = impl_->fd();
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
  set_tcp(fd, TCP_KEEPIDLE, kProbeAfter.count() / 1000);
#elif defined(TCP_KEEPALIVE)  // macOS
  set_tcp(fd, TCP_KEEPALIVE, kProbeAfter.count() / 1000);
#endif
  set_tcp(fd, TCP_KEEPINTVL, kProbeEvery.count() / 1000);
  set_tcp(fd, TCP_KEEPCNT, std::max<Millis::rep>(1, (lost_after - kProbeAfter) / kProbeEvery));
#ifdef TCP_USER_TIMEOUT
  set_tcp(fd, TCP_USER_TIMEOUT, lost_after.count());
#endif
}

awaitable<Result<Stream>> connect_tcp(std::string host, std::uint16_t port, Deadline deadline) {
  CO_TRY(const std::vector<Address> addresses, co_await resolve(std::move(host), port, deadline));
  Result<Stream> last = fail(Code::kUnavailable, "no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // A silent address leaves time for those after it.
    const auto share = deadline.remaining() / static_cast<int>(addresses.size() - i);
    const Deadline until = deadline.is_never() ? deadline : Deadline::in(share);
    last = co_await connect_address(addresses[i], until);
    if (last || last.error().code == Code::kCancelled) break;
  }
  co_return std::move(last);
}

awaitable<Result<Stream>> connect_unix(std::string path, Deadline deadline) {
  CO_TRY(const Address address, unix_address(path));
  co_return co_await connect_address(address, deadline);
}

awaitable<Result<Stream>> connect(Endpoint to, ClientTls tls, Deadline deadline) {
  if (to.is_unix()) co_return co_await connect_unix(std::move(to.unix_path), deadline);
  if (tls.enabled()) co_return co_await connect_tls(std::move(to.host), to.port, std::move(tls), deadline);
  co_return co_await connect_tcp(std::move(to.host), to.port, deadline);
}

}  // namespace berth::net
