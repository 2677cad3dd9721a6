#include "worker/agent/relay.h"

#include <doctest/doctest.h>

#include "worker/agent/testing.h"

using namespace berth;
using namespace berth::worker;
using namespace berth::worker::testing::agents;
using net::awaitable;

namespace {

/// An engine, a relay before it, and a client in the place of the gateway.
struct RelayWorld {
  using Engine = awaitable<void> (*)(RelayWorld&, net::Exchange&);

  explicit RelayWorld(Engine behaviour)
      : engine(loop.executor(), [this, behaviour](net::Exchange& exchange) { return behaviour(*this, exchange); }),
        relay([this](const std::string& instance) -> std::optional<Endpoint> {
          if (instance != "i-1") return std::nullopt;
          return Endpoint{.port = engine_port, .secret = "s3cret"};
        }),
        front(loop.executor(), [this](net::Exchange& exchange) { return relay.serve(exchange); }),
        gate(loop.executor()) {
    engine_port = listen(engine);
    front_port = listen(front);
  }

  std::uint16_t listen(net::Server& server) {
    auto listener = net::Listener::open(loop.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
    REQUIRE(listener);
    const std::uint16_t port = listener->endpoint().port;
    server.listen(std::move(*listener));
    return port;
  }

  awaitable<net::ClientConnection> dial() {
    auto stream = co_await net::connect_tcp("127.0.0.1", front_port, soon());
    REQUIRE(stream);
    co_return net::ClientConnection(std::move(*stream), "gateway");
  }

  void run(awaitable<void> test) {
    loop.run_until_done(std::move(test));
    loop.run_until_done(front.stop(soon()));
    loop.run_until_done(engine.stop(net::Deadline::in(net::Millis(0))));
  }

  net::Loop loop;
  net::Server engine;
  Relay relay;
  net::Server front;
  net::Signal gate;  // lets the engine go on
  std::uint16_t engine_port = 0;
  std::uint16_t front_port = 0;
  std::vector<net::Request> asked;
  std::vector<std::string> bodies;
  bool cancelled = false;
};

net::Request chat(std::string body) {
  net::Request request{.method = "POST", .target = "/v1/chat/completions?x=1"};
  request.headers.add("Content-Type", "application/json");
  request.headers.add("Berth-Instance", "i-1");
  request.headers.add("Berth-Worker", "w-1");
  request.headers.add("Authorization", "Bearer of-the-user");
  request.body = std::move(body);
  return request;
}

awaitable<void> answers(RelayWorld& world, net::Exchange& exchange) {
  world.asked.push_back(exchange.request());
  auto body = co_await exchange.read_body();
  world.bodies.push_back(body.value_or("<" + (body ? "" : body.error().message) + ">"));
  net::Response response = net::make_response(201, "application/json", R"({"ok":true})");
  response.headers.add("X-Engine", "yes");
  response.headers.add("Berth-Refused", "untouched");
  static_cast<void>(co_await exchange.respond(std::move(response)));
}

awaitable<void> streams(RelayWorld& world, net::Exchange& exchange) {
  net::Response head{.status = 200};
  head.headers.add("Content-Type", "text/event-stream");
  REQUIRE(co_await exchange.start_stream(std::move(head)));
  REQUIRE(co_await exchange.write("data: one\n\n"));
  const bool opened = co_await world.gate.wait(soon());
  world.cancelled = !opened;
  if (!opened) co_return;
  REQUIRE(co_await exchange.write("data: two\n\n"));
  static_cast<void>(co_await exchange.finish());
}

awaitable<void> hangs_up(RelayWorld& world, net::Exchange& exchange) {
  world.asked.push_back(exchange.request());
  net::Response head{.status = 200};
  static_cast<void>(co_await exchange.start_stream(std::move(head)));
  static_cast<void>(co_await exchange.write("half"));
}

}  // namespace

TEST_CASE("a request reaches the engine with its secret and without berth's own headers") {
  RelayWorld world(answers);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    for (int round = 0; round < 2; ++round) {
      const net::Request request = chat(R"({"a":1})");
      REQUIRE(co_await client.send(request, soon()));
      const auto head = co_await client.read_head(soon());
      REQUIRE(head);
      CHECK((*head)->status == 201);
      CHECK((*head)->headers.get("x-engine") == "yes");
      CHECK_FALSE((*head)->headers.get("berth-refused").has_value());
      CHECK(co_await client.read_body(1'000, soon()) == R"({"ok":true})");
      CHECK(w.relay.kept() == 1);
    }
  }(world));
  REQUIRE(world.asked.size() == 2);
  const net::Request& seen = world.asked.front();
  CHECK(seen.target == "/v1/chat/completions?x=1");
  CHECK(seen.headers.get("authorization") == "Bearer s3cret");
  CHECK(seen.headers.count("authorization") == 1);
  CHECK(seen.headers.get("content-type") == "application/json");
  CHECK_FALSE(seen.headers.get("berth-instance").has_value());
  CHECK_FALSE(seen.headers.get("berth-worker").has_value());
  CHECK(seen.headers.get("host") == "127.0.0.1:" + std::to_string(world.engine_port));
  CHECK(world.bodies == std::vector<std::string>{R"({"a":1})", R"({"a":1})"});
}

TEST_CASE("an instance that is not ready here is 404, and the connection goes on") {
  RelayWorld world(answers);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    net::Request request = chat("{}");
    request.headers.set("Berth-Instance", "i-\"other");
    REQUIRE(co_await client.send(request, soon()));
    auto head = co_await client.read_head(soon());
    REQUIRE(head);
    CHECK((*head)->status == 404);
    CHECK((*head)->headers.get("berth-refused") == "untouched");
    const auto body = co_await client.read_body(1'000, soon());
    REQUIRE(body);
    CHECK(body->find(R"("code":"instance_not_ready")") != std::string::npos);
    const net::Request good = chat("{}");
    REQUIRE(co_await client.send(good, soon()));
    head = co_await client.read_head(soon());
    REQUIRE(head);
    CHECK((*head)->status == 201);
  }(world));
}

TEST_CASE("a stream is passed on piece by piece while the engine still computes") {
  RelayWorld world(streams);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    const net::Request request = chat("{}");
    REQUIRE(co_await client.send(request, soon()));
    REQUIRE(co_await client.read_head(soon()));
    auto piece = co_await client.read_some(soon());
    REQUIRE(piece);
    CHECK(*piece == "data: one\n\n");
    w.gate.notify();
    piece = co_await client.read_some(soon());
    REQUIRE(piece);
    CHECK(*piece == "data: two\n\n");
    piece = co_await client.read_some(soon());
    REQUIRE(piece);
    CHECK(piece->empty());
  }(world));
  CHECK_FALSE(world.cancelled);
}

TEST_CASE("a gateway that hangs up cancels the engine's request at once") {
  RelayWorld world(streams);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    const net::Request request = chat("{}");
    REQUIRE(co_await client.send(request, soon()));
    REQUIRE(co_await client.read_head(soon()));
    REQUIRE(co_await client.read_some(soon()));
    client.close();
    REQUIRE(co_await holds([&w] { return w.cancelled; }));
    CHECK(w.relay.kept() == 0);
  }(world));
}

TEST_CASE("a body larger than what is read whole passes through in pieces") {
  RelayWorld world(answers);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    const net::Request request = chat(std::string(3 * kReplayBytesMax + 17, 'x'));
    REQUIRE(co_await client.send(request, soon()));
    const auto head = co_await client.read_head(soon());
    REQUIRE(head);
    CHECK((*head)->status == 201);
    REQUIRE(co_await client.read_body(1'000, soon()));
    net::Request chunked = chat("");
    REQUIRE(co_await client.start(chunked, std::nullopt, soon()));
    REQUIRE(co_await client.write("first ", soon()));
    REQUIRE(co_await client.write("second", soon()));
    REQUIRE(co_await client.finish(soon()));
    REQUIRE(co_await client.read_head(soon()));
  }(world));
  REQUIRE(world.bodies.size() == 2);
  CHECK(world.bodies.front().size() == 3 * kReplayBytesMax + 17);
  CHECK(world.bodies.back() == "first second");
}

TEST_CASE("an answer that the engine breaks off is broken off for the gateway too") {
  RelayWorld world(hangs_up);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto client = co_await w.dial();
    const net::Request request = chat("{}");
    REQUIRE(co_await client.send(request, soon()));
    REQUIRE(co_await client.read_head(soon()));
    CHECK_FALSE(co_await client.read_body(1'000, soon()));
  }(world));
}

namespace {

/// Reads a little of each connection and closes it.
awaitable<void> hang_up_on_all(net::Listener& listener, int& asked) {
  for (;;) {
    auto stream = co_await listener.accept();
    if (!stream) co_return;
    char buffer[4096];
    if (co_await stream->read_some(buffer, soon())) ++asked;
    stream->close();
  }
}

}  // namespace

TEST_CASE("an engine that goes away without a byte is 502, and was asked") {
  RelayWorld world(answers);
  int asked = 0;
  world.run([](RelayWorld& w, int& count) -> awaitable<void> {
    auto listener = net::Listener::open(w.loop.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
    REQUIRE(listener);
    w.engine_port = listener->endpoint().port;
    net::TaskGroup tasks(w.loop.executor());
    REQUIRE(tasks.spawn(hang_up_on_all(*listener, count)));
    for (const std::size_t size : {std::size_t{2}, kReplayBytesMax + 1}) {
      auto client = co_await w.dial();
      const net::Request request = chat(std::string(size, 'x'));
      REQUIRE(co_await client.send(request, soon()));
      const auto head = co_await client.read_head(soon());
      REQUIRE(head);
      CHECK((*head)->status == 502);
      CHECK((*head)->headers.get("berth-refused") == "unanswered");
    }
    tasks.cancel();
    listener->close();
    REQUIRE(co_await tasks.join(soon()));
  }(world, asked));
  CHECK(asked == 2);
}

TEST_CASE("an engine that cannot be reached is 502") {
  RelayWorld world(answers);
  world.run([](RelayWorld& w) -> awaitable<void> {
    auto reserved = net::Listener::open(w.loop.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
    REQUIRE(reserved);
    w.engine_port = reserved->endpoint().port;
    reserved->close();
    auto client = co_await w.dial();
    const net::Request request = chat("{}");
    REQUIRE(co_await client.send(request, soon()));
    const auto head = co_await client.read_head(soon());
    REQUIRE(head);
    CHECK((*head)->status == 502);
    CHECK((*head)->headers.get("berth-refused") == "untouched");
  }(world));
}

namespace {

/// Takes one request per connection and closes it without a word that it would.
awaitable<void> serve_once(net::Listener& listener, int& served) {
  for (;;) {
    auto stream = co_await listener.accept();
    if (!stream) co_return;
    char buffer[4096];
    const auto got = co_await stream->read_some(buffer, soon());
    if (!got || *got == 0) continue;
    const auto sent = co_await stream->write_all("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", soon());
    if (sent) ++served;
    stream->close();
  }
}

}  // namespace

TEST_CASE("a kept connection that the engine has closed meanwhile costs no request") {
  RelayWorld world(answers);
  int served = 0;
  world.run([](RelayWorld& w, int& count) -> awaitable<void> {
    auto listener = net::Listener::open(w.loop.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
    REQUIRE(listener);
    w.engine_port = listener->endpoint().port;
    net::TaskGroup tasks(w.loop.executor());
    REQUIRE(tasks.spawn(serve_once(*listener, count)));
    auto client = co_await w.dial();
    for (int round = 0; round < 20; ++round) {
      const net::Request request = chat("{}");
      REQUIRE(co_await client.send(request, soon()));
      const auto head = co_await client.read_head(soon());
      REQUIRE(head);
      CHECK((*head)->status == 200);
      CHECK(co_await client.read_body(1'000, soon()) == "ok");
    }
    tasks.cancel();
    listener->close();
    REQUIRE(co_await tasks.join(soon()));
  }(world, served));
  CHECK(served == 20);
}
