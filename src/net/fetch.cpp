#include <fmt/format.h>

#include "base/text.h"
#include "net/client.h"
#include "net/runtime.h"

namespace berth::net {
namespace {

constexpr std::size_t kRefusalBytesMax = 4 * 1024;

Code code_of_status(int status) {
  switch (status) {
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kForbidden;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kConflict;
    case 413:
      return Code::kTooLarge;
    case 429:
      return Code::kRateLimited;
    case 501:
      return Code::kNotSupported;
    default:
      return status >= 500 ? Code::kUnavailable : Code::kInvalid;
  }
}

awaitable<Result<Response>> exchange(Url url, Request request, FetchOptions options, Deadline deadline) {
  const Deadline connected = deadline.sooner(Deadline::in(options.connect_max));
  CO_TRY(ClientConnection connection, co_await open_url(std::move(url), std::move(options.tls), connected));
  CO_TRY_VOID(co_await connection.send(request, deadline));
  CO_TRY(const Response* head, co_await connection.read_head(deadline));
  CO_TRY(std::string body, co_await connection.read_body(options.body_max, deadline));
  Response response = *head;
  response.body = std::move(body);
  co_return std::move(response);
}

}  // namespace

awaitable<Result<ClientConnection>> open_url(Url url, ClientTls tls, Deadline deadline) {
  Endpoint to{.host = url.host, .port = url.port, .unix_path = url.unix_path};
  if (url.tls && !tls.enabled()) {
    CO_TRY(tls, ClientTls::make(TrustOptions{}));
  }
  if (!url.tls) tls = ClientTls();
  CO_TRY(Stream stream, co_await connect(std::move(to), std::move(tls), deadline));
  co_return ClientConnection(std::move(stream), url.authority());
}

awaitable<Result<Response>> fetch(
    std::string method, std::string url, HeaderList headers, std::string body, FetchOptions options) {
  CO_TRY(Url where, parse_url(url));
  const Deadline deadline = Deadline::in(options.total_max);
  Request request{.method = std::move(method), .target = where.target, .body = std::move(body)};
  request.headers = std::move(headers);
  request.headers.set("Connection", "close");
  co_return co_await exchange(std::move(where), std::move(request), std::move(options), deadline);
}

Result<Response> fetch_blocking(
    std::string method, std::string url, HeaderList headers, std::string body, FetchOptions options) {
  Loop loop;
  return loop.wait_for<Response>(
      fetch(std::move(method), std::move(url), std::move(headers), std::move(body), std::move(options)));
}

awaitable<Result<Stream>> dial_upgrade(
    Url url, ClientTls tls, std::string protocol, HeaderList headers, Deadline deadline, int* status) {
  if (status != nullptr) *status = 0;
  Request request{.target = url.target};
  request.headers = std::move(headers);
  request.headers.set("Connection", "Upgrade");
  request.headers.set("Upgrade", protocol);
  CO_TRY(ClientConnection connection, co_await open_url(url, std::move(tls), deadline));
  CO_TRY_VOID(co_await connection.send(request, deadline));
  CO_TRY(const Response* head, co_await connection.read_head(deadline));
  if (head->status == 101) {
    if (head->headers.has_token("upgrade", protocol)) co_return connection.release();
    co_return fail(Code::kInternal, fmt::format("the server switched to something else than {}", protocol));
  }
  const int answered = head->status;
  if (status != nullptr) *status = answered;
  auto body = co_await connection.read_body(kRefusalBytesMax, deadline);
  const std::string text = body ? printable(*body) : std::string("no readable body");
  co_return fail(code_of_status(answered), fmt::format("the server answered {}: {}", answered, text));
}

}  // namespace berth::net
