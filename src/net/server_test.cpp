#include "net/server.h"

#include <algorithm>
#include <doctest/doctest.h>

#include "net/detail/test_server.h"

namespace berth::net {
namespace {

/// POST /echo gives the body back; GET /stream three chunks; GET /big 300 KB; GET /throw and /silent misbehave.
awaitable<void> answer(Exchange& exchange) {
  const std::string path(exchange.request().path());
  if (path == "/throw") throw std::runtime_error("on purpose");
  if (path == "/silent") co_return;
  if (path == "/unfinished") {
    Response head;
    auto started = co_await exchange.start_stream(std::move(head));
    REQUIRE(started);
    auto written = co_await exchange.write("half");
    REQUIRE(written);
    co_return;
  }
  if (path == "/stream") {
    Response head = make_response(200, "text/plain", "");
    auto started = co_await exchange.start_stream(std::move(head));
    REQUIRE(started);
    for (const std::string_view piece : {"one ", "two ", "three"}) {
      auto written = co_await exchange.write(piece);
      REQUIRE(written);
    }
    auto finished = co_await exchange.finish();
    REQUIRE(finished);
    co_return;
  }
  std::string text;
  if (path == "/echo") {
    auto body = co_await exchange.read_body();
    if (!body) co_return;  // the server knows which status that is
    text = std::move(*body);
  } else {
    text = path == "/big" ? std::string(300'000, 'b') : "hello " + path;
  }
  Response response = make_response(200, "text/plain", std::move(text));
  auto done = co_await exchange.respond(std::move(response));
  CHECK(done);
}

awaitable<std::string> call(ClientConnection& connection, std::string method, std::string target, std::string body) {
  Request request{.method = std::move(method), .target = std::move(target), .body = std::move(body)};
  auto sent = co_await connection.send(request, soon());
  REQUIRE(sent);
  auto head = co_await connection.read_head(soon());
  REQUIRE_MESSAGE(head, (head ? "" : head.error().message));
  auto text = co_await connection.read_body(1 << 20, soon());
  REQUIRE_MESSAGE(text, (text ? "" : text.error().message));
  co_return std::to_string((*head)->status) + " " + *text;
}

awaitable<void> keep_alive(TestServer& test) {
  auto connection = co_await test.dial();
  REQUIRE(connection);
  for (int i = 0; i < 3; ++i) {
    CHECK(co_await call(*connection, "GET", "/a?x", "") == "200 hello /a");
    CHECK(connection->idle_healthy());
  }
  CHECK(co_await call(*connection, "POST", "/echo", "body") == "200 body");
  CHECK(co_await call(*connection, "POST", "/echo", std::string(500'000, 'x')) == "200 " + std::string(500'000, 'x'));
  CHECK(co_await call(*connection, "GET", "/stream", "") == "200 one two three");
  CHECK(co_await call(*connection, "GET", "/big", "") == "200 " + std::string(300'000, 'b'));
  CHECK(co_await call(*connection, "HEAD", "/big", "") == "200 ");
  CHECK(co_await call(*connection, "POST", "/unread", "small") == "200 hello /unread");
  CHECK(connection->idle_healthy());
  CHECK(test.server.connections() == 1);
}

awaitable<void> chunked_upload(TestServer& test) {
  auto connection = co_await test.dial();
  REQUIRE(connection);
  Request request{.method = "POST", .target = "/echo"};
  auto sent = co_await connection->start(request, std::nullopt, soon());
  REQUIRE(sent);
  for (const std::string_view piece : {"ab", "cde", "f"}) {
    sent = co_await connection->write(piece, soon());
    REQUIRE(sent);
  }
  sent = co_await connection->finish(soon());
  REQUIRE(sent);
  auto head = co_await connection->read_head(soon());
  REQUIRE(head);
  auto body = co_await connection->read_body(100, soon());
  REQUIRE(body);
  CHECK(*body == "abcdef");
  CHECK(connection->idle_healthy());
}

awaitable<void> pipelined(TestServer& test) {
  const std::string text = co_await raw_exchange(test,
                                                 "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
                                                 "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                                                 "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::size_t first = text.find("hello /1");
  const std::size_t second = text.find("\r\n\r\nhi");
  const std::size_t third = text.find("4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
  const std::size_t fourth = text.find("hello /2");
  CAPTURE(text);
  CHECK(first < second);
  CHECK(second < third);
  CHECK(third < fourth);
  CHECK(text.ends_with("hello /2"));
}

awaitable<void> check_status(TestServer& test, std::string request, std::string status) {
  const std::string text = co_await raw_exchange(test, request);
  CAPTURE(request);
  CAPTURE(text);
  CHECK(text.starts_with("HTTP/1.1 " + status));
  // One answer only: nothing after a refusal is taken for a request.
  CHECK(text.find("HTTP/1.1", 8) == std::string::npos);
  CHECK(text.find("<") == std::string::npos);
}

awaitable<void> refusals(TestServer& test) {
  const std::string smuggled = "0\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n";
  co_await check_status(test, "GET /\r\n\r\n", "400");
  co_await check_status(test, "GET / HTTP/1.1\r\n\r\n", "400");
  co_await check_status(
      test,
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
      "400");
  co_await check_status(test, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "400");
  co_await check_status(test, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", "413");
  co_await check_status(
      test,
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(2048, 'x'),
      "413");
  co_await check_status(test, "GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", "417");
  co_await check_status(test, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n", "431");
  co_await check_status(test, "GET / HTTP/1.1\r\nHo", "408");
  co_await check_status(test, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", "408");
}

awaitable<void> broken_stream(TestServer& test) {
  const std::string text = co_await raw_exchange(test, "GET /unfinished HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(text.ends_with("4\r\nhalf\r\n"));  // no last chunk: the client can tell
  const std::string continued = co_await raw_exchange(
      test,
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nhi");
  CHECK(continued.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  const std::string old = co_await raw_exchange(test, "GET /stream HTTP/1.0\r\n\r\n");
  CHECK(old.ends_with("\r\n\r\none two three"));
}

TEST_CASE("a connection serves request after request, streams and large bodies") {
  TestServer test(answer);
  test.run(keep_alive(test));
}

TEST_CASE("a chunked upload arrives whole") {
  TestServer test(answer);
  test.run(chunked_upload(test));
}

TEST_CASE("pipelined requests are answered in order") {
  TestServer test(answer);
  test.run(pipelined(test));
}

TEST_CASE("malformed, too large and too slow requests get their status and the connection ends") {
  TestServer test(answer, {.body_max = 1000, .head_max = Millis(50), .body_stall_max = Millis(50)});
  test.run(refusals(test));
}

TEST_CASE("an unfinished stream is cut, expectations are met, HTTP/1.0 streams until close") {
  TestServer test(answer);
  test.run(broken_stream(test));
}

struct Presence {
  explicit Presence(const Executor& executor) : started(executor), ended(executor) {}
  Signal started;
  Signal ended;
  bool cancelled = false;
  bool gone = false;
  Deadline::Clock::time_point ended_at;
};

/// Waits far longer than the test: only a cancellation ends it.
awaitable<void> wait_long(Exchange& exchange, Presence& presence) {
  if (exchange.request().method == "POST") {
    auto body = co_await exchange.read_body();
    CHECK(body);
  }
  presence.started.notify();
  auto slept = co_await sleep_for(Millis(60'000));
  presence.cancelled = !slept && slept.error().code == Code::kCancelled;
  presence.gone = exchange.client_gone();
  presence.ended_at = Deadline::Clock::now();
  presence.ended.notify();
}

/// How long after it hung up the handler ended.
awaitable<void> hang_up_once(TestServer& test, std::unique_ptr<Presence>& presence, std::string request, Millis& took) {
  presence = std::make_unique<Presence>(test.loop.executor());
  auto stream = co_await connect(test.endpoint, ClientTls{}, soon());
  REQUIRE(stream);
  auto sent = co_await stream->write_all(request, soon());
  REQUIRE(sent);
  CHECK(co_await presence->started.wait(soon()));
  const auto left_at = Deadline::Clock::now();
  stream->close();
  CHECK(co_await presence->ended.wait(soon()));
  CHECK(presence->cancelled);
  CHECK(presence->gone);
  took = std::chrono::duration_cast<Millis>(presence->ended_at - left_at);
}

awaitable<void> hang_up(TestServer& test, std::unique_ptr<Presence>& presence, std::string request) {
  constexpr int kTries = 20;  // a loaded machine may stop this program for longer, but not every time
  Millis took = Millis::max();
  for (int i = 0; i < kTries && took >= Millis(100); ++i) co_await hang_up_once(test, presence, request, took);
  CHECK(took < Millis(100));
}

TEST_CASE("a client that hangs up cancels the handler within 100 ms") {
  std::unique_ptr<Presence> presence;
  TestServer test([&presence](Exchange& exchange) { return wait_long(exchange, *presence); });
  SUBCASE("after a plain request") { test.run(hang_up(test, presence, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")); }
  SUBCASE("after a body") {
    test.run(hang_up(test, presence, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
  }
  SUBCASE("with a pipelined request in the way") {
    const std::string one = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n";
    test.run(hang_up(test, presence, one + one + one));
  }
}

awaitable<void> stop_while_busy(TestServer& test, std::unique_ptr<Presence>& presence) {
  presence = std::make_unique<Presence>(test.loop.executor());
  auto busy = co_await connect(test.endpoint, ClientTls{}, soon());
  auto idle = co_await connect(test.endpoint, ClientTls{}, soon());
  REQUIRE(busy);
  REQUIRE(idle);
  auto sent = co_await busy->write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n", soon());
  REQUIRE(sent);
  CHECK(co_await presence->started.wait(soon()));
  co_await test.server.stop(Deadline::in(Millis(20)));
  CHECK(test.server.connections() == 0);
  CHECK(presence->cancelled);
  CHECK_FALSE(presence->gone);
  auto late = co_await connect(test.endpoint, ClientTls{}, soon());
  CHECK_FALSE(late);
}

TEST_CASE("stopping ends idle connections at once and busy ones after the grace time") {
  std::unique_ptr<Presence> presence;
  TestServer test([&presence](Exchange& exchange) { return wait_long(exchange, *presence); });
  test.run(stop_while_busy(test, presence));
}

awaitable<void> over_the_cap(TestServer& test) {
  auto first = co_await test.dial();
  REQUIRE(first);
  CHECK(co_await call(*first, "GET", "/1", "") == "200 hello /1");
  auto second = co_await test.dial();
  REQUIRE(second);
  Request request{.target = "/2"};
  auto sent = co_await second->send(request, soon());
  REQUIRE(sent);
  auto early = co_await second->read_head(Deadline::in(Millis(50)));
  CHECK_FALSE(early);
  first->close();
  auto third = co_await test.dial();
  REQUIRE(third);
  second->close();
  CHECK(co_await call(*third, "GET", "/3", "") == "200 hello /3");
}

TEST_CASE("connections beyond the cap wait until one is free") {
  TestServer test(answer, {.connections_max = 1});
  test.run(over_the_cap(test));
}

}  // namespace
}  // namespace berth::net
