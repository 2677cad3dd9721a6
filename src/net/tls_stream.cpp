// TLS on a non-blocking descriptor: OpenSSL reads and writes through a BIO of ours that never raises SIGPIPE, and says
// what it waits for; Stream waits for it as it does for a plain socket.

#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "net/detail/address.h"
#include "net/detail/openssl.h"
#include "net/detail/stream_impl.h"

namespace berth::net {

void SslFree::operator()(ssl_st* ssl) const { SSL_free(ssl); }

namespace {

int socket_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(socket_of(bio), data, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(socket_of(bio), data, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* bio_method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "berth socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return kMethod;
}

using Attempt = Stream::Impl::Attempt;

/// What OpenSSL's return value means.
Result<Attempt> judge(SSL* ssl, int result) {
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
      return Attempt{.blocked = true, .want = Stream::Impl::Want::kRead};
    case SSL_ERROR_WANT_WRITE:
      return Attempt{.blocked = true, .want = Stream::Impl::Want::kWrite};
    case SSL_ERROR_ZERO_RETURN:
      return Attempt{.ended = true};
    default:
      break;
  }
  const int error = errno;
  if (ERR_peek_error() != 0) return fail(Code::kUnavailable, "TLS: " + openssl_reason());
  return fail(Code::kUnavailable, error == 0 ? "TLS: the connection was cut off" : "TLS: " + errno_text(error));
}

Result<void> attach(Stream::Impl& impl, SSL_CTX* context) {
  ERR_clear_error();
  impl.ssl.reset(SSL_new(context));
  BIO* bio = BIO_new(bio_method());
  if (!impl.ssl || bio == nullptr) {
    BIO_free(bio);
    return fail(Code::kInternal, "no TLS session: " + openssl_reason());
  }
  // OpenSSL keeps a pointer for the BIO's owner: the descriptor itself goes there, as its own socket BIO does.
  BIO_set_data(bio,
               reinterpret_cast<void*>(static_cast<std::intptr_t>(impl.fd())));  // NOLINT(performance-no-int-to-ptr)
  BIO_set_init(bio, 1);
  SSL_set_bio(impl.ssl.get(), bio, bio);
  return {};
}

awaitable<Result<void>> handshake(std::shared_ptr<Stream::Impl> impl, Deadline deadline) {
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(impl->ssl.get());
    if (result == 1) co_return Result<void>{};
    const long verified = SSL_get_verify_result(impl->ssl.get());
    auto attempt = judge(impl->ssl.get(), result);
    if (!attempt && verified != X509_V_OK) {
      co_return fail(
          Code::kUnauthenticated,
          fmt::format("the certificate of {} is not trusted: {}", impl->peer, X509_verify_cert_error_string(verified)));
    }
    if (!attempt) co_return std::move(attempt).error();
    if (!attempt->blocked) co_return fail(Code::kUnavailable, "TLS: the peer closed during the handshake");
    CO_TRY_VOID(co_await Stream::Impl::wait(impl, Stream::Impl::Role::kWriter, attempt->want, deadline));
  }
}

Result<void> set_peer_name(SSL* ssl, const std::string& host) {
  const bool numeric = numeric_address(host, 0).has_value();
  if (!numeric) SSL_set_tlsext_host_name(ssl, host.c_str());
  const int set =
      numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) : SSL_set1_host(ssl, host.c_str());
  if (set != 1) return invalid(fmt::format("\"{}\" is no host name", host));
  return {};
}

Result<void> check_pin(const Stream::Impl& impl, const std::string& pinned) {
  const X509Ptr certificate(SSL_get1_peer_certificate(impl.ssl.get()));
  const std::string seen = certificate ? fingerprint_of(certificate.get()) : std::string("none");
  if (seen == pinned) return {};
  return fail(Code::kUnauthenticated, fmt::format("{} shows the certificate {}, expected {}", impl.peer, seen, pinned));
}

}  // namespace

namespace tls {

Result<Attempt> try_read(Stream::Impl& impl, std::span<char> into) {
  ERR_clear_error();
  errno = 0;
  std::size_t got = 0;
  const int result = SSL_read_ex(impl.ssl.get(), into.data(), into.size(), &got);
  if (result == 1) return Attempt{.bytes = got};
  return judge(impl.ssl.get(), result);
}

Result<Attempt> try_write(Stream::Impl& impl, std::string_view bytes) {
  ERR_clear_error();
  errno = 0;
  std::size_t sent = 0;
  const int result = SSL_write_ex(impl.ssl.get(), bytes.data(), bytes.size(), &sent);
  if (result == 1) return Attempt{.bytes = sent};
  TRY(const Attempt attempt, judge(impl.ssl.get(), result));
  if (attempt.ended) return fail(Code::kUnavailable, "TLS: the peer closed the connection");
  return attempt;
}

void close_notify(Stream::Impl& impl) {
  ERR_clear_error();
  if (SSL_is_init_finished(impl.ssl.get()) == 1) SSL_shutdown(impl.ssl.get());
  ERR_clear_error();
}

bool quiet(Stream::Impl& impl) {
  ERR_clear_error();
  char byte = 0;
  std::size_t got = 0;
  const int result = SSL_peek_ex(impl.ssl.get(), &byte, 1, &got);
  return result != 1 && SSL_get_error(impl.ssl.get(), result) == SSL_ERROR_WANT_READ;
}

}  // namespace tls

awaitable<Result<Stream>> connect_tls(std::string host, std::uint16_t port, ClientTls tls, Deadline deadline) {
  CO_TRY(Stream stream, co_await connect_tcp(host, port, deadline));
  const std::shared_ptr<Stream::Impl> impl = stream.impl();
  CO_TRY_VOID(attach(*impl, tls.native()));
  SSL_set_connect_state(impl->ssl.get());
  const bool pinned = !tls.pinned().empty();
  // A pinned certificate is its own proof; its chain and its names say nothing more.
  SSL_set_verify(impl->ssl.get(), pinned ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  CO_TRY_VOID(set_peer_name(impl->ssl.get(), host));
  CO_TRY_VOID(co_await handshake(impl, deadline));
  if (pinned) CO_TRY_VOID(check_pin(*impl, tls.pinned()));
  co_return std::move(stream);
}

awaitable<Result<Stream>> accept_tls(Stream stream, ServerTls tls, Deadline deadline) {
  const std::shared_ptr<Stream::Impl> impl = stream.impl();
  CO_TRY_VOID(attach(*impl, tls.native()));
  SSL_set_accept_state(impl->ssl.get());
  CO_TRY_VOID(co_await handshake(impl, deadline));
  co_return std::move(stream);
}

}  // namespace berth::net
