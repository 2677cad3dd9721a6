// The loop of one server connection: head, handler, what is left of the body, next head.

#include "net/detail/connection.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "base/text.h"

namespace berth::net {
namespace {

using Impl = Exchange::Impl;

constexpr Millis kLingerMax{1'000};  // for a client to take an answer before the connection closes
constexpr std::size_t kLingerBytesMax = 16 * 1024 * 1024;
constexpr std::size_t kHeadReadBytes = 2 * 1024;

enum class Head { kReady, kClosed, kRefused };

/// An answer of the server itself, for what no handler sees.
awaitable<void> refuse(Impl& impl, http1::Refusal refusal) {
  impl.keep_alive = false;
  std::string body = fmt::format(
      R"({{"title":"{}","status":{},"detail":"{}"}})", reason_phrase(refusal.status), refusal.status, refusal.reason);
  Response response = make_response(refusal.status, "application/problem+json", std::move(body));
  Exchange exchange(impl);
  auto sent = co_await exchange.respond(std::move(response));
  if (!sent) log::debug("refusal not sent", {log::kv("peer", impl.peer), log::kv("error", sent.error().message)});
}

awaitable<Head> refuse_head(Impl& impl, http1::Refusal refusal) {
  impl.begin(http1::HeadResult{});
  impl.request.method = "GET";
  impl.request.minor_version = 1;
  log::debug("request refused", {log::kv("peer", impl.peer), log::kv("reason", std::string_view(refusal.reason))});
  co_await refuse(impl, refusal);
  co_return Head::kRefused;
}

awaitable<Head> read_head(Impl& impl, bool first) {
  http1::HeadScanner scanner;
  impl.body.release(impl.in);
  bool begun = !impl.in.empty();
  // The first head of a connection gets no idle time: nobody needs to connect before having something to ask.
  Deadline deadline = Deadline::in(first || begun ? impl.options->head_max : impl.options->idle_max);
  impl.idle = !begun;
  for (;;) {
    const auto state = scanner.scan(impl.in.view());
    if (state == http1::HeadScanner::State::kRefused) co_return co_await refuse_head(impl, scanner.refusal());
    if (state == http1::HeadScanner::State::kComplete) break;
    if (impl.in.empty()) impl.in.shrink();
    auto got = co_await impl.stream.read_some(impl.in.tail(kHeadReadBytes), deadline);
    if (!got && got.error().code == Code::kTimeout && begun) {
      const http1::Refusal late{.status = 408, .reason = "the head did not come in time"};
      co_return co_await refuse_head(impl, late);
    }
    if (!got || *got == 0) co_return Head::kClosed;
    impl.in.commit(*got);
    if (!begun) deadline = Deadline::in(impl.options->head_max);
    begun = true;
    impl.idle = false;
  }
  impl.idle = false;
  const http1::HeadResult head =
      http1::parse_request_head(impl.in.view().substr(0, scanner.head_bytes()), impl.request);
  impl.in.consume(scanner.head_bytes());
  if (!head.ok) co_return co_await refuse_head(impl, head.refusal);
  impl.begin(head);
  co_return Head::kReady;
}

void log_exception(const Impl& impl, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    log::error("request handler failed",
               {log::kv("path", impl.request.path()), log::kv("what", std::string_view(e.what()))});
  } catch (...) {
    log::error("request handler failed", {log::kv("path", impl.request.path())});
  }
}

http1::Refusal missing_answer(const Impl& impl) {
  if (!impl.body_error) return {.status = 500, .reason = "internal error"};
  switch (impl.body_error->code) {
    case Code::kTooLarge:
      return {.status = 413, .reason = "the body is too large"};
    case Code::kTimeout:
      return {.status = 408, .reason = "the body did not come in time"};
    case Code::kInvalid:
      return {.status = 400, .reason = "malformed chunked body"};
    default:
      return {.status = 500, .reason = "internal error"};
  }
}

/// True when the connection may go on.
awaitable<bool> answer(Impl& impl) {
  Exchange exchange(impl);
  const auto expect = impl.request.headers.get("expect");
  if (expect && impl.request.minor_version == 1 && !equals_ignoring_case(*expect, "100-continue")) {
    const http1::Refusal unknown{.status = 417, .reason = "only 100-continue is understood"};
    co_await refuse(impl, unknown);
    co_return false;
  }
  impl.in_handler = true;
  if (impl.body.done()) impl.watch();
  std::exception_ptr thrown;
  try {
    co_await (*impl.handler)(exchange);
  } catch (...) {
    thrown = std::current_exception();
  }
  impl.in_handler = false;
  impl.stream.stop_watching();
  if (thrown) log_exception(impl, thrown);
  if (impl.upgraded || impl.gone) co_return false;
  if (co_await task_cancelled()) co_return false;
  if (impl.answer == Impl::Answer::kNone) {
    if (!thrown && !impl.body_error) log::error("request without an answer", {log::kv("path", impl.request.path())});
    co_await refuse(impl, missing_answer(impl));
    co_return false;
  }
  if (impl.answer != Impl::Answer::kDone || !impl.keep_alive) co_return false;
  while (!impl.body.done()) {
    auto piece = co_await impl.next_piece();
    if (!piece) co_return false;
  }
  co_return true;
}

/// Closing with unread input makes the kernel reset the connection, and the client may lose the answer: so say that
/// nothing more comes and let the client close, within limits.
awaitable<void> linger(Impl& impl) {
  const Deadline deadline = Deadline::in(kLingerMax);
  auto shut = co_await impl.stream.shutdown_write(deadline);
  if (!shut) co_return;
  for (std::size_t total = 0; total < kLingerBytesMax;) {
    impl.in.consume(impl.in.view().size());
    auto got = co_await impl.stream.read_some(impl.in.tail(kReadBytes), deadline);
    if (!got || *got == 0) co_return;
    total += *got;
  }
}

awaitable<void> loop(std::shared_ptr<Impl> connection) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Impl& impl = *connection;
  for (bool first = true;; first = false) {
    const Head head = co_await read_head(impl, first);
    if (head == Head::kClosed) break;
    const bool stays = head == Head::kReady && co_await answer(impl);
    if (impl.upgraded) co_return;
    if (stays) continue;
    if (!impl.gone && impl.answer == Impl::Answer::kDone) co_await linger(impl);
    break;
  }
  impl.stream.close();
}

}  // namespace

awaitable<void> run_connection(std::shared_ptr<Impl> connection) {
  const Executor executor = co_await asio::this_coro::executor;
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) co_return;
  auto parent = state.slot();
  if (parent.is_connected()) {
    parent.assign([weak = std::weak_ptr<Impl>(connection)](asio::cancellation_type type) {
      if (const auto alive = weak.lock()) alive->signal.emit(type);
    });
  }
  // A task of its own, so that a client that leaves can cancel the handler wherever it waits.
  awaitable<void> task = loop(connection);
  co_await asio::co_spawn(
      executor, std::move(task), asio::bind_cancellation_slot(connection->signal.slot(), asio::use_awaitable));
  if (parent.is_connected()) parent.clear();
}

awaitable<void> serve_connection(Stream stream, Handler handler, ServerOptions options) {
  auto connection = std::make_shared<Impl>(std::move(stream),
                                           std::make_shared<const Handler>(std::move(handler)),
                                           std::make_shared<const ServerOptions>(std::move(options)));
  co_await run_connection(std::move(connection));
}

}  // namespace berth::net
