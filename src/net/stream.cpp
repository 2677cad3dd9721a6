#include "net/stream.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <poll.h>
#include <system_error>

#include "base/assert.h"
#include "net/detail/stream_impl.h"

namespace berth::net {
namespace {

constexpr unsigned kReadyReadsMax = 64;          // then the loop gets a turn, so that one busy peer starves nobody
constexpr std::size_t kTlsJoinBytesMax = 16384;  // pieces up to this are joined into one record

Error lost(int error) { return fail(Code::kUnavailable, "connection lost: " + errno_text(error)); }
Error cancelled_error() { return fail(Code::kCancelled, "cancelled"); }

}  // namespace

std::string errno_text(int error) { return std::generic_category().message(error); }

Result<void> Stream::Impl::adopt(int fd) {
  boost::system::error_code error;
  descriptor.assign(fd, error);
  if (error) return fail(Code::kUnavailable, "the event loop cannot watch the socket: " + error.message());
  return {};
}

awaitable<Result<void>> Stream::Impl::wait(std::shared_ptr<Impl> self, Role role, Want want, Deadline deadline) {
  Deadline& slot = role == Role::kReader ? self->read_deadline : self->write_deadline;
  const auto type =
      want == Want::kRead ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
  for (;;) {
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (self->cancelled || state.cancelled() != asio::cancellation_type::none) co_return cancelled_error();
    if (deadline.passed()) co_return fail(Code::kTimeout, "the peer did not answer in time");
    slot = deadline;
    self->arm(deadline);
    auto [error] = co_await self->descriptor.async_wait(type, asio::as_tuple(asio::use_awaitable));
    slot = Deadline::never();
    if (!error) co_return Result<void>{};
    if (error != asio::error::operation_aborted) {
      co_return fail(Code::kUnavailable, "connection lost: " + error.message());
    }
    if (!self->descriptor.is_open()) co_return cancelled_error();
  }
}

void Stream::Impl::arm(Deadline deadline) {
  if (deadline.is_never()) return;
  // The timer stays where it is when it fires earlier: it looks at the deadlines of then. So a busy connection hardly
  // ever touches it.
  if (timer_armed && timer_at.when() <= deadline.when()) return;
  timer_at = deadline;
  timer_armed = true;
  const std::uint64_t epoch = ++timer_epoch;
  timer.expires_at(deadline.when());
  timer.async_wait([weak = weak_from_this(), epoch](boost::system::error_code) {
    if (const auto self = weak.lock()) self->on_timer(epoch);
  });
}

void Stream::Impl::on_timer(std::uint64_t epoch) {
  if (epoch != timer_epoch) return;
  timer_armed = false;
  if (!descriptor.is_open()) return;
  const bool late = read_deadline.passed() || write_deadline.passed();
  boost::system::error_code ignored;
  if (late) descriptor.cancel(ignored);  // an operation that is not late waits again
  Deadline next = Deadline::never();
  if (!read_deadline.passed()) next = next.sooner(read_deadline);
  if (!write_deadline.passed()) next = next.sooner(write_deadline);
  arm(next);
}

Result<Stream::Impl::Attempt> Stream::Impl::try_read(std::span<char> into) {
  if (ssl) return tls::try_read(*this, into);
  for (;;) {
    const ssize_t got = ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT);
    if (got > 0) return Attempt{.bytes = static_cast<std::size_t>(got)};
    if (got == 0) return Attempt{.ended = true};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Attempt{.blocked = true, .want = Want::kRead};
    if (errno != EINTR) return lost(errno);
  }
}

Result<Stream::Impl::Attempt> Stream::Impl::try_write(std::string_view first,
                                                      std::string_view second,
                                                      std::string_view third) {
  if (ssl) return tls::try_write(*this, !first.empty() ? first : !second.empty() ? second : third);
  const std::string_view parts[] = {first, second, third};
  iovec vectors[3];
  std::size_t count = 0;
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    vectors[count].iov_base = const_cast<char*>(part.data());  // sendmsg reads only
    vectors[count++].iov_len = part.size();
  }
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  for (;;) {
    const ssize_t sent = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return Attempt{.bytes = static_cast<std::size_t>(sent)};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Attempt{.blocked = true, .want = Want::kWrite};
    if (errno != EINTR) return lost(errno);
  }
}

void Stream::Impl::tell_gone() {
  const std::function<void()> callback = std::move(gone);
  gone = nullptr;
  if (callback) callback();
}

void Stream::Impl::arm_watch() {
  if (watch_armed || !descriptor.is_open()) return;
  watch_armed = true;
  descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                        [weak = weak_from_this()](boost::system::error_code error) {
                          const auto self = weak.lock();
                          if (!self) return;
                          self->watch_armed = false;
                          if (!self->gone || self->cancelled) return;
                          if (error) return self->arm_watch();  // another operation's deadline
                          self->check_hangup();
                        });
}

void Stream::Impl::check_hangup() {
  if (!gone || !descriptor.is_open()) return;
  char byte = 0;
  const ssize_t got = ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0) return tell_gone();
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return arm_watch();
  if (got < 0) return tell_gone();
  // Data that nobody reads now hides the end behind it: ask for the end alone, now and then.
  pollfd ask{.fd = fd(), .events = POLLRDHUP, .revents = 0};
  if (::poll(&ask, 1, 0) > 0 && (ask.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return tell_gone();
  if (!poll_timer) poll_timer = std::make_unique<asio::steady_timer>(descriptor.get_executor());
  poll_timer->expires_after(kHangupPoll);
  poll_timer->async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (self && !error) self->check_hangup();
  });
}

Stream::Stream() = default;
Stream::Stream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&& other) noexcept = default;

Stream::~Stream() { close(); }

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this == &other) return *this;
  close();
  impl_ = std::move(other.impl_);
  return *this;
}

bool Stream::is_open() const { return impl_ && impl_->descriptor.is_open(); }
const std::string& Stream::peer() const { return impl_->peer; }
bool Stream::is_tls() const { return impl_->ssl != nullptr; }
bool Stream::is_unix() const { return impl_->unix_socket; }
Executor Stream::executor() const { return impl_->descriptor.get_executor(); }

awaitable<Result<std::size_t>> Stream::read_some(std::span<char> into, Deadline deadline) {
  const std::shared_ptr<Impl> self = impl_;
  if (!self || !self->descriptor.is_open() || self->cancelled) co_return cancelled_error();
  ASSERT(!into.empty());
  if (self->pushed_at < self->pushed.size()) {
    const std::size_t size = self->pushed.copy(into.data(), into.size(), self->pushed_at);
    self->pushed_at += size;
    co_return size;
  }
  bool waited = false;
  for (;;) {
    Impl::Attempt attempt;
    if (!waited && ++self->ready_reads > kReadyReadsMax && !self->ssl) {
      attempt = {.blocked = true};
    } else {
      CO_TRY(attempt, self->try_read(into));
    }
    if (!attempt.blocked) co_return attempt.bytes;
    self->ready_reads = 0;
    CO_TRY_VOID(co_await Impl::wait(self, Impl::Role::kReader, attempt.want, deadline));
    if (!self->descriptor.is_open() || self->cancelled) co_return cancelled_error();
    waited = true;
  }
}

awaitable<Result<void>> Stream::write_all(std::string_view first,
                                          Deadline deadline,
                                          std::string_view second,
                                          std::string_view third) {
  const std::shared_ptr<Impl> self = impl_;
  if (!self || !self->descriptor.is_open() || self->cancelled) co_return cancelled_error();
  if (self->write_broken) co_return fail(Code::kUnavailable, "an earlier write was cut short");
  std::string joined;  // TLS: small pieces make one record
  if (self->ssl && !(second.empty() && third.empty()) &&
      first.size() + second.size() + third.size() <= kTlsJoinBytesMax) {
    joined.append(first).append(second).append(third);
    first = joined;
    second = third = {};
  }
  while (!first.empty() || !second.empty() || !third.empty()) {
    auto tried = self->try_write(first, second, third);
    if (!tried) {
      self->write_broken = true;
      co_return std::move(tried).error();
    }
    if (tried->blocked) {
      auto ready = co_await Impl::wait(self, Impl::Role::kWriter, tried->want, deadline);
      if (ready && (!self->descriptor.is_open() || self->cancelled)) ready = Result<void>(cancelled_error());
      if (ready) continue;
      self->write_broken = true;
      co_return std::move(ready).error();
    }
    std::size_t done = tried->bytes;
    for (std::string_view* part : {&first, &second, &third}) {
      const std::size_t cut = std::min(done, part->size());
      part->remove_prefix(cut);
      done -= cut;
    }
  }
  co_return Result<void>{};
}

Result<std::size_t> Stream::read_now(std::span<char> into) {
  if (!is_open() || impl_->cancelled) return cancelled_error();
  if (impl_->pushed_at < impl_->pushed.size()) {
    const std::size_t size = impl_->pushed.copy(into.data(), into.size(), impl_->pushed_at);
    impl_->pushed_at += size;
    return size;
  }
  TRY(const Impl::Attempt attempt, impl_->try_read(into));
  if (attempt.ended) return fail(Code::kUnavailable, "the peer closed the connection");
  return attempt.bytes;
}

void Stream::unread(std::string_view bytes) {
  std::string rest = impl_->pushed.substr(impl_->pushed_at);
  impl_->pushed.assign(bytes).append(rest);
  impl_->pushed_at = 0;
}

void Stream::watch_hangup(std::function<void()> gone) {
  impl_->gone = std::move(gone);
  impl_->arm_watch();
}

void Stream::stop_watching() {
  if (impl_) impl_->gone = nullptr;
}

bool Stream::idle_healthy() const {
  if (!is_open() || impl_->cancelled || impl_->pushed_at < impl_->pushed.size()) return false;
  if (impl_->ssl) return tls::quiet(*impl_);
  char byte = 0;
  return ::recv(impl_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

void Stream::cancel() {
  if (!is_open()) return;
  impl_->cancelled = true;
  impl_->gone = nullptr;
  boost::system::error_code ignored;
  impl_->descriptor.cancel(ignored);
}

awaitable<Result<void>> Stream::shutdown_write(Deadline deadline) {
  const std::shared_ptr<Impl> self = impl_;
  if (!self || !self->descriptor.is_open()) co_return cancelled_error();
  if (deadline.passed()) co_return fail(Code::kTimeout, "no time left to close in order");
  if (self->ssl) tls::close_notify(*self);
  if (::shutdown(self->fd(), SHUT_WR) != 0) co_return lost(errno);
  co_return Result<void>{};
}

void Stream::close() {
  if (!impl_) return;
  impl_->gone = nullptr;
  impl_->cancelled = true;
  boost::system::error_code ignored;
  if (impl_->ssl && impl_->descriptor.is_open()) tls::close_notify(*impl_);
  impl_->descriptor.close(ignored);
  impl_->timer.cancel();
  if (impl_->poll_timer) impl_->poll_timer->cancel();
}

}  // namespace berth::net
