#include "net/server.h"

#include <boost/asio/cancellation_signal.hpp>
#include <set>

#include "base/log.h"
#include "net/detail/connection.h"

namespace berth::net {
namespace {

constexpr Millis kCancelledEndMax{2'000};  // for cancelled requests to unwind
constexpr std::size_t kListenersMax = 64;
constexpr Millis kSlotPoll{100};  // a slot counts as free a little after its connection ended

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(Executor on, Handler to, ServerOptions with)
      : executor(std::move(on)),
        handler(std::make_shared<const Handler>(std::move(to))),
        options(std::make_shared<const ServerOptions>(std::move(with))),
        stopping(std::make_shared<bool>(false)),
        free_slot(executor),
        accepting(executor, kListenersMax),
        connections(executor, options->connections_max) {}

  /// Ends what waits for a next request, and what was handed over: it has no end of its own.
  void end_idle() {
    for (Exchange::Impl* connection : live) {
      if (connection->idle) connection->stream.cancel();
      if (connection->upgraded) connection->signal.emit(asio::cancellation_type::terminal);
    }
  }

  Executor executor;
  std::shared_ptr<const Handler> handler;
  std::shared_ptr<const ServerOptions> options;
  std::shared_ptr<bool> stopping;
  Signal free_slot;
  std::set<Exchange::Impl*> live;
  TaskGroup accepting;
  TaskGroup connections;
};

namespace {

awaitable<void> serve(std::shared_ptr<Server::State> state, Stream stream, ServerTls tls) {
  if (tls.enabled()) {
    const std::string peer = stream.peer();
    auto secured = co_await accept_tls(std::move(stream), std::move(tls), Deadline::in(state->options->handshake_max));
    if (!secured) {
      log::debug("TLS handshake failed", {log::kv("peer", peer), log::kv("error", secured.error().message)});
      state->free_slot.notify();
      co_return;
    }
    stream = std::move(*secured);
  }
  auto connection = std::make_shared<Exchange::Impl>(std::move(stream), state->handler, state->options);
  connection->stopping = state->stopping;
  state->live.insert(connection.get());
  co_await run_connection(connection);
  state->live.erase(connection.get());
  state->free_slot.notify();
}

awaitable<void> accept_loop(std::shared_ptr<Server::State> state, Listener listener, ServerTls tls) {
  for (;;) {
    while (state->connections.size() >= state->options->connections_max) {
      co_await state->free_slot.wait(Deadline::in(kSlotPoll));
      if (co_await task_cancelled()) co_return;
    }
    auto stream = co_await listener.accept();
    if (!stream) co_return;
    auto spawned = state->connections.spawn(serve(state, std::move(*stream), tls));
    if (!spawned) log::warn("connection refused", {log::kv("error", spawned.error().message)});
  }
}

}  // namespace

Server::Server(Executor executor, Handler handler, ServerOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(handler), std::move(options))) {}

Server::~Server() {
  *state_->stopping = true;
  state_->accepting.cancel();
  state_->connections.cancel();
}

void Server::listen(Listener listener, ServerTls tls) {
  auto spawned = state_->accepting.spawn(accept_loop(state_, std::move(listener), std::move(tls)));
  if (!spawned) log::error("cannot listen", {log::kv("error", spawned.error().message)});
}

awaitable<void> Server::stop(Deadline grace) {
  const std::shared_ptr<State> state = state_;
  *state->stopping = true;
  state->accepting.cancel();
  auto done = co_await state->accepting.join(grace);
  state->end_idle();
  if (done) done = co_await state->connections.join(grace);
  if (done) co_return;
  log::warn("requests cut off at the end of the grace time", {log::kv("count", state->connections.size())});
  state->connections.cancel();
  done = co_await state->connections.join(Deadline::in(kCancelledEndMax));
  if (!done) log::error("requests did not end", {log::kv("count", state->connections.size())});
}

std::size_t Server::connections() const { return state_->connections.size(); }

}  // namespace berth::net
