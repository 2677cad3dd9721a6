#pragma once
// For tests of net: a loop, a server on a free loopback port, and a client in one process.

#include <doctest/doctest.h>
#include <string>

#include "net/client.h"
#include "net/runtime.h"
#include "net/server.h"

namespace berth::net {

constexpr Millis kTestMax{30'000};
inline Deadline soon() { return Deadline::in(kTestMax); }

struct TestServer {
  explicit TestServer(Handler handler, ServerOptions options = {}, ServerTls tls = {}, Endpoint at = loopback())
      : server(loop.executor(), std::move(handler), std::move(options)) {
    auto listener = Listener::open(loop.executor(), std::move(at));
    REQUIRE(listener);
    endpoint = listener->endpoint();
    server.listen(std::move(*listener), std::move(tls));
  }

  static Endpoint loopback() { return Endpoint{.host = "127.0.0.1", .port = 0}; }

  /// Runs the test's task to its end, then stops the server.
  void run(awaitable<void> task) {
    loop.run_until_done(std::move(task));
    loop.run_until_done(server.stop(soon()));
    CHECK(server.connections() == 0);
  }

  awaitable<Result<ClientConnection>> dial() {
    CO_TRY(Stream stream, co_await connect(endpoint, ClientTls{}, soon()));
    co_return ClientConnection(std::move(stream), endpoint.is_unix() ? "localhost" : endpoint.text());
  }

  Loop loop;
  Server server;
  Endpoint endpoint;
};

/// Sends raw bytes and returns everything until the peer closes.
inline awaitable<std::string> raw_exchange(TestServer& test, std::string bytes) {
  auto stream = co_await connect(test.endpoint, ClientTls{}, soon());
  REQUIRE(stream);
  auto sent = co_await stream->write_all(bytes, soon());
  REQUIRE(sent);
  std::string all;
  char buffer[4096];
  for (;;) {
    auto got = co_await stream->read_some(buffer, soon());
    if (!got) all += "<" + got.error().message + ">";
    if (!got || *got == 0) co_return all;
    all.append(buffer, *got);
  }
}

}  // namespace berth::net
