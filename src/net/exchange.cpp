#include <ctime>

#include "base/assert.h"
#include "base/text.h"
#include "net/detail/connection.h"

namespace berth::net {
namespace {

using Kind = http1::BodyFraming::Kind;

constexpr std::uint64_t kDrainBytesMax = 64 * 1024;  // an unread body up to this does not cost the connection

bool allows_body(int status) { return status >= 200 && status != 204 && status != 304; }

}  // namespace

std::string_view http_date() {
  struct Cache {
    std::time_t second = 0;
    std::string text;
  };
  thread_local Cache cache;
  const std::time_t now = std::time(nullptr);
  if (now != cache.second) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[40];
    cache.text.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    cache.second = now;
  }
  return cache.text;
}

void Exchange::Impl::begin(const http1::HeadResult& head) {
  body.start(head.framing);
  body_since = Deadline::Clock::now();
  body_error.reset();
  keep_alive = head.keep_alive;
  answer = Answer::kNone;
  chunked = false;
  const auto expect = request.minor_version == 1 ? request.headers.get("expect") : std::nullopt;
  continue_wanted = expect && equals_ignoring_case(*expect, "100-continue") && !body.done();
}

void Exchange::Impl::watch() {
  if (!in_handler || upgraded) return;
  stream.watch_hangup([this] {
    left();
    signal.emit(asio::cancellation_type::terminal);
  });
}

void Exchange::Impl::left() {
  gone = true;
  keep_alive = false;
}

bool Exchange::Impl::may_stay() const {
  if (!keep_alive || body_error || (stopping && *stopping)) return false;
  if (body.done()) return true;
  return !continue_wanted && body.framing().kind == Kind::kLength && body.left() <= kDrainBytesMax;
}

Error Exchange::Impl::body_failure(Error error) {
  keep_alive = false;
  body_error = error;
  return error;
}

awaitable<Result<void>> Exchange::Impl::send(std::string_view first, std::string_view second, std::string_view third) {
  auto sent = co_await stream.write_all(first, Deadline::in(options->write_stall_max), second, third);
  if (sent) co_return sent;
  answer = Answer::kBroken;
  if (sent.error().code == Code::kUnavailable) left();
  co_return sent;
}

awaitable<Result<std::string_view>> Exchange::Impl::next_piece() {
  if (body_error) co_return *body_error;
  if (continue_wanted) {
    continue_wanted = false;
    if (answer == Answer::kNone) CO_TRY_VOID(co_await send("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  for (;;) {
    std::string_view data;
    const bool was_done = body.done();
    const BodyReader::State state = body.next(in, data);
    if (body.done() && !was_done) watch();
    if (state == BodyReader::State::kData && body.received() > options->body_max) {
      co_return body_failure(fail(Code::kTooLarge, fmt::format("the body is larger than {} bytes", options->body_max)));
    }
    if (state == BodyReader::State::kData) co_return data;
    if (state == BodyReader::State::kDone) co_return std::string_view();
    if (state == BodyReader::State::kRefused) co_return body_failure(invalid(body.reason()));
    const auto elapsed = Deadline::Clock::now() - body_since;
    const auto seconds = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(elapsed).count());
    if (elapsed > options->body_stall_max && body.received() < options->body_rate_min * seconds) {
      co_return body_failure(fail(Code::kTimeout, "the body comes too slowly"));
    }
    auto got = co_await stream.read_some(in.tail(kReadBytes), Deadline::in(options->body_stall_max));
    if (!got) co_return body_failure(std::move(got).error());
    if (*got == 0) {
      left();
      co_return body_failure(fail(Code::kUnavailable, "the client left before the end of the body"));
    }
    in.commit(*got);
  }
}

const Request& Exchange::request() const { return impl_.request; }
const std::string& Exchange::peer() const { return impl_.peer; }
bool Exchange::is_tls() const { return impl_.tls; }
bool Exchange::is_unix() const { return impl_.unix_socket; }
Executor Exchange::executor() const { return impl_.executor; }
bool Exchange::responded() const { return impl_.answer != Impl::Answer::kNone; }
bool Exchange::client_gone() const { return impl_.gone; }
bool Exchange::draining() const { return impl_.stopping && *impl_.stopping; }

std::optional<std::uint64_t> Exchange::body_length() const {
  if (impl_.body.framing().kind == Kind::kChunked) return std::nullopt;
  return impl_.body.framing().length;
}

awaitable<Result<std::string_view>> Exchange::read_some() { return impl_.next_piece(); }

awaitable<Result<std::string>> Exchange::read_body(std::size_t max) {
  Impl& impl = impl_;
  const std::size_t most = std::min(max, impl.options->body_max);
  const auto too_large = [&impl, most] {
    return impl.body_failure(fail(Code::kTooLarge, fmt::format("the body is larger than {} bytes", most)));
  };
  std::string body;
  if (impl.body.framing().kind == Kind::kLength) {
    if (impl.body.framing().length > most) co_return too_large();
    // A declared size alone earns no more memory than this; the rest grows with what really comes.
    body.reserve(std::min<std::size_t>(static_cast<std::size_t>(impl.body.framing().length), 256 * 1024));
  }
  for (;;) {
    CO_TRY(const std::string_view piece, co_await impl.next_piece());
    if (piece.empty()) co_return std::move(body);
    if (body.size() + piece.size() > most) co_return too_large();
    body.append(piece);
  }
}

awaitable<Result<void>> Exchange::respond(Response response) {
  Impl& impl = impl_;
  if (impl.answer != Impl::Answer::kNone) co_return fail(Code::kInternal, "an answer was begun already");
  http1::WriteOptions options{.keep_alive = impl.may_stay(), .say_keep_alive = impl.request.minor_version == 0};
  const bool has_body = allows_body(response.status);
  if (has_body) options.framing = {.kind = Kind::kLength, .length = response.body.size()};
  impl.keep_alive = options.keep_alive;
  if (!response.headers.get("date")) response.headers.add("Date", http_date());
  if (!impl.options->server_name.empty()) response.headers.add("Server", impl.options->server_name);
  impl.out.clear();
  CO_TRY_VOID(http1::append_response_head(impl.out, response, options));
  impl.answer = Impl::Answer::kDone;
  const bool write_body = has_body && !impl.head_request();
  co_return co_await impl.send(impl.out, write_body ? std::string_view(response.body) : std::string_view());
}

awaitable<Result<void>> Exchange::start_stream(Response head) {
  Impl& impl = impl_;
  ASSERT(head.body.empty());
  if (impl.answer != Impl::Answer::kNone) co_return fail(Code::kInternal, "an answer was begun already");
  http1::WriteOptions options{.keep_alive = impl.may_stay()};
  impl.chunked = impl.request.minor_version == 1 && allows_body(head.status);
  impl.bodiless = impl.head_request() || !allows_body(head.status);
  if (impl.chunked) options.framing.kind = Kind::kChunked;
  if (impl.request.minor_version == 0) options.keep_alive = false;
  impl.keep_alive = options.keep_alive;
  if (!head.headers.get("date")) head.headers.add("Date", http_date());
  if (!impl.options->server_name.empty()) head.headers.add("Server", impl.options->server_name);
  impl.out.clear();
  CO_TRY_VOID(http1::append_response_head(impl.out, head, options));
  impl.answer = Impl::Answer::kStreaming;
  impl.watch();
  co_return co_await impl.send(impl.out);
}

awaitable<Result<void>> Exchange::write(std::string_view bytes) {
  Impl& impl = impl_;
  if (impl.gone) co_return fail(Code::kUnavailable, "the client left");
  if (impl.answer != Impl::Answer::kStreaming) co_return fail(Code::kInternal, "no stream was begun");
  if (bytes.empty() || impl.bodiless) co_return Result<void>{};
  if (!impl.chunked) co_return co_await impl.send(bytes);
  char prefix[20];
  const std::size_t size = http1::chunk_prefix(prefix, bytes.size());
  co_return co_await impl.send(std::string_view(prefix, size), bytes, "\r\n");
}

awaitable<Result<void>> Exchange::finish() {
  Impl& impl = impl_;
  if (impl.answer != Impl::Answer::kStreaming) co_return fail(Code::kInternal, "no stream is open");
  impl.answer = Impl::Answer::kDone;
  if (!impl.chunked || impl.bodiless) co_return Result<void>{};
  co_return co_await impl.send(http1::kLastChunk);
}

awaitable<Result<Stream>> Exchange::upgrade(std::string protocol, HeaderList headers) {
  Impl& impl = impl_;
  const Request& request = impl.request;
  if (impl.answer != Impl::Answer::kNone) co_return fail(Code::kInternal, "an answer was begun already");
  const bool asked = request.headers.has_token("connection", "upgrade") &&
                     request.headers.has_token("upgrade", protocol) && request.minor_version == 1;
  if (!asked) co_return invalid(fmt::format("the request does not ask for an upgrade to {}", protocol));
  if (!impl.body.done()) co_return invalid("a request with a body cannot be upgraded");
  impl.out.clear();
  CO_TRY_VOID(http1::append_upgrade_head(impl.out, protocol, headers));
  impl.stream.stop_watching();
  impl.upgraded = true;
  CO_TRY_VOID(co_await impl.send(impl.out));
  impl.answer = Impl::Answer::kDone;
  impl.body.release(impl.in);
  if (!impl.in.empty()) impl.stream.unread(impl.in.view());
  co_return std::move(impl.stream);
}

}  // namespace berth::net
