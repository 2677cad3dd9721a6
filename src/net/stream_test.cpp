#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdlib>
#include <doctest/doctest.h>
#include <unistd.h>

#include "net/detail/stream_impl.h"
#include "net/detail/test_server.h"
#include "net/frames.h"

namespace berth::net {
namespace {

awaitable<void> hello(Exchange& exchange) {
  Response response = make_response(200, "text/plain", "hello from " + std::string(exchange.request().path()));
  auto done = co_await exchange.respond(std::move(response));
  CHECK(done);
}

std::string scratch_socket(std::string_view name) {
  const char* base = std::getenv("TMPDIR");
  return fmt::format("{}/berth-{}-{}.sock", base == nullptr ? "/tmp" : base, name, ::getpid());
}

awaitable<void> fetch_text(std::string url, ClientTls tls, std::string wanted) {
  FetchOptions options{.tls = std::move(tls)};
  auto response = co_await fetch("GET", std::move(url), {}, "", std::move(options));
  if (wanted.starts_with("error: ")) {
    REQUIRE_FALSE(response);
    CAPTURE(response.error().message);
    CHECK(response.error().message.find(wanted.substr(7)) != std::string::npos);
    co_return;
  }
  REQUIRE_MESSAGE(response, (response ? "" : response.error().message));
  CHECK(response->body == wanted);
}

TEST_CASE("unix sockets serve, are private, and a leftover file does not hinder") {
  const std::string path = scratch_socket("serve");
  for (int round = 0; round < 2; ++round) {
    TestServer test(hello, {}, {}, Endpoint{.unix_path = path});
    CHECK(::access(path.c_str(), W_OK) == 0);
    test.run(fetch_text("unix:" + path + ":/x", {}, "hello from /x"));
  }
}

TEST_CASE("a port in use is said with what to change") {
  Loop loop;
  auto first = Listener::open(loop.executor(), TestServer::loopback());
  REQUIRE(first);
  auto second = Listener::open(loop.executor(), first->endpoint(), "--api-port");
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Code::kConflict);
  CHECK(second.error().message == first->endpoint().text() + " is in use: choose another with --api-port");
  auto nowhere = Listener::open(loop.executor(), Endpoint{.host = "203.0.113.7", .port = 0});
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == Code::kInvalid);
}

int tcp_option(const Stream& stream, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(::getsockopt(stream.impl()->fd(), IPPROTO_TCP, option, &value, &size) == 0);
  return value;
}

awaitable<void> dial_and_probe(std::uint16_t port) {
  auto stream = co_await connect_tcp("127.0.0.1", port, Deadline::in(kConnectMax));
  REQUIRE(stream);
  stream->probe_peer(Millis(30'000));
  CHECK(tcp_option(*stream, TCP_KEEPINTVL) == 5);
  CHECK(tcp_option(*stream, TCP_KEEPCNT) == 4);
#ifdef TCP_KEEPIDLE
  CHECK(tcp_option(*stream, TCP_KEEPIDLE) == 10);
#endif
#ifdef TCP_USER_TIMEOUT
  CHECK(tcp_option(*stream, TCP_USER_TIMEOUT) == 30'000);
#endif
}

TEST_CASE("a connection that may be silent for long is probed and given up in half a minute") {
  Loop loop;
  auto listener = Listener::open(loop.executor(), TestServer::loopback());
  REQUIRE(listener);
  loop.run_until_done(dial_and_probe(listener->endpoint().port));
}

TEST_CASE("TLS needs the pinned certificate") {
  auto pair = make_self_signed({.names = {"localhost", "127.0.0.1", "::1", "node-1.example"}});
  REQUIRE(pair);
  auto other = make_self_signed({});
  REQUIRE(other);
  auto tls = ServerTls::from_pem(*pair);
  REQUIRE(tls);
  CHECK(is_fingerprint(tls->fingerprint()));
  CHECK(certificate_fingerprint(pair->certificate) == tls->fingerprint());
  CHECK_FALSE(ServerTls::from_pem({.certificate = pair->certificate, .key = other->key}));
  CHECK_FALSE(ServerTls::from_pem({.certificate = "nothing", .key = other->key}));
  CHECK_FALSE(ClientTls::make({.fingerprint = "sha256:12"}));
  auto right = ClientTls::make({.fingerprint = tls->fingerprint()});
  auto wrong = ClientTls::make({.fingerprint = *certificate_fingerprint(other->certificate)});
  REQUIRE(right);
  REQUIRE(wrong);
  TestServer test(hello, {}, *tls);
  const std::string url = "https://" + test.endpoint.text() + "/t";
  SUBCASE("the right one") { test.run(fetch_text(url, *right, "hello from /t")); }
  SUBCASE("a wrong one") { test.run(fetch_text(url, *wrong, "error: shows the certificate " + tls->fingerprint())); }
  SUBCASE("one that no CA signed") { test.run(fetch_text(url, {}, "error: is not trusted")); }
  SUBCASE("none, in plain text") { test.run(fetch_text("http://" + test.endpoint.text() + "/t", {}, "error: ")); }
}

awaitable<void> tls_bulk(Exchange& exchange) {
  auto body = co_await exchange.read_body();
  REQUIRE(body);
  Response head;
  auto started = co_await exchange.start_stream(std::move(head));
  REQUIRE(started);
  for (std::size_t at = 0; at < body->size(); at += 70'000) {
    auto written = co_await exchange.write(std::string_view(*body).substr(at, 70'000));
    REQUIRE(written);
  }
  auto finished = co_await exchange.finish();
  CHECK(finished);
}

awaitable<void> send_bulk(std::string url, ClientTls tls) {
  std::string body(3'000'000, 'a');
  for (std::size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>('a' + i % 26);
  FetchOptions options{.tls = std::move(tls)};
  auto response = co_await fetch("POST", std::move(url), {}, body, std::move(options));
  REQUIRE_MESSAGE(response, (response ? "" : response.error().message));
  CHECK((response->body == body));
}

TEST_CASE("megabytes pass through TLS both ways") {
  auto pair = make_self_signed({});
  REQUIRE(pair);
  auto tls = ServerTls::from_pem(*pair);
  REQUIRE(tls);
  auto client = ClientTls::make({.fingerprint = tls->fingerprint()});
  REQUIRE(client);
  TestServer test(tls_bulk, {}, *tls);
  test.run(send_bulk("https://" + test.endpoint.text() + "/", *client));
}

/// Server side of an upgrade to frames: answers each frame with its payload doubled.
awaitable<void> frame_echo(Exchange& exchange) {
  auto stream = co_await exchange.upgrade("test-frames");
  if (!stream) {
    Response response = make_response(426, "text/plain", stream.error().message);
    auto done = co_await exchange.respond(std::move(response));
    CHECK(done);
    co_return;
  }
  FrameChannel channel(std::move(*stream));
  for (;;) {
    auto frame = co_await channel.read(kTestMax);
    if (!frame) co_return;
    auto written = co_await channel.write(frame->type, frame->payload + frame->payload, soon());
    if (!written) co_return;
  }
}

awaitable<void> talk_frames(TestServer& test) {
  const Url url{.host = test.endpoint.host, .port = test.endpoint.port, .target = "/c"};
  auto refused = co_await dial_upgrade(url, {}, "other", {}, soon());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("426") != std::string::npos);
  auto stream = co_await dial_upgrade(url, {}, "test-frames", {}, soon());
  REQUIRE_MESSAGE(stream, (stream ? "" : stream.error().message));
  FrameChannel channel(std::move(*stream));
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{100'000}, std::size_t{2'000'000}}) {
    auto pinged = co_await channel.ping(soon());
    CHECK(pinged);
    auto written = co_await channel.write(7, std::string(size, 'f'), soon());
    REQUIRE(written);
    auto frame = co_await channel.read(kTestMax);
    REQUIRE_MESSAGE(frame, (frame ? "" : frame.error().message));
    CHECK(frame->type == 7);
    CHECK((frame->payload == std::string(2 * size, 'f')));
  }
  auto silent = co_await channel.read(Millis(20));
  REQUIRE_FALSE(silent);
  CHECK(silent.error().code == Code::kTimeout);
  auto reserved = co_await channel.write(kFramePing, "", soon());
  CHECK_FALSE(reserved);
  auto huge = co_await channel.write(1, std::string(kFrameBytesMax + 1, 'x'), soon());
  CHECK_FALSE(huge);
}

TEST_CASE("an upgraded connection carries frames of all sizes") {
  TestServer test(frame_echo);
  test.run(talk_frames(test));
}

awaitable<void> early_and_oversize(TestServer& test) {
  auto stream = co_await connect(test.endpoint, ClientTls{}, soon());
  REQUIRE(stream);
  // The first frame comes in the same packet as the request, and must not be lost.
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: test-frames\r\n\r\n";
  const std::string frame{"\0\0\0\2\1hi", 7};
  auto sent = co_await stream->write_all(head, soon(), frame);
  REQUIRE(sent);
  std::string all;
  char buffer[1024];
  while (!all.ends_with("hihi")) {
    auto got = co_await stream->read_some(buffer, soon());
    REQUIRE(got);
    REQUIRE(*got > 0);
    all.append(buffer, *got);
  }
  const std::string oversize{"\x7f\0\0\0\1", 5};
  sent = co_await stream->write_all(oversize, soon());
  REQUIRE(sent);
  auto end = co_await stream->read_some(buffer, soon());
  REQUIRE(end);
  CHECK(*end == 0);
}

TEST_CASE("bytes behind an upgrade are kept and a declared giant frame ends the channel") {
  TestServer test(frame_echo);
  test.run(early_and_oversize(test));
}

/// The dialled side takes the stream and sends requests over it: data connections of workers.
awaitable<void> reverse(Exchange& exchange, bool& answered) {
  auto stream = co_await exchange.upgrade("test-data");
  REQUIRE(stream);
  ClientConnection connection(std::move(*stream), "worker");
  for (int i = 0; i < 2; ++i) {
    Request request{.target = fmt::format("/r{}", i)};
    auto sent = co_await connection.send(request, soon());
    REQUIRE(sent);
    auto head = co_await connection.read_head(soon());
    REQUIRE(head);
    auto body = co_await connection.read_body(100, soon());
    REQUIRE(body);
    CHECK(*body == fmt::format("hello from /r{}", i));
    CHECK(connection.idle_healthy());
  }
  answered = true;
  connection.close();
}

awaitable<void> dial_and_serve(TestServer& test) {
  const Url url{.host = test.endpoint.host, .port = test.endpoint.port, .target = "/d"};
  auto stream = co_await dial_upgrade(url, {}, "test-data", {}, soon());
  REQUIRE(stream);
  co_await serve_connection(std::move(*stream), hello);
}

TEST_CASE("a connection that was dialled out serves requests in the other direction") {
  bool answered = false;
  TestServer test([&answered](Exchange& exchange) { return reverse(exchange, answered); });
  test.run(dial_and_serve(test));
  CHECK(answered);
}

awaitable<void> end_of_task(Loop& loop) {
  auto listener = Listener::open(loop.executor(), TestServer::loopback());
  REQUIRE(listener);
  auto shared = listener->share(loop.executor());
  REQUIRE(shared);
  const Endpoint endpoint = listener->endpoint();
  listener->close();  // the other core's share goes on
  auto near = co_await connect(endpoint, {}, soon());
  REQUIRE(near);
  auto far = co_await shared->accept();
  REQUIRE(far);
  TaskGroup group(loop.executor());
  auto spawned = group.spawn(serve_connection(std::move(*far), hello));
  REQUIRE(spawned);
  ClientConnection connection(std::move(*near), "a");
  Request request;
  auto sent = co_await connection.send(request, soon());
  REQUIRE(sent);
  auto head = co_await connection.read_head(soon());
  REQUIRE(head);
  auto body = co_await connection.read_body(100, soon());
  REQUIRE(body);
  group.cancel();
  auto joined = co_await group.join(soon());
  CHECK(joined);
  char byte = 0;
  auto end = co_await connection.stream().read_some(std::span(&byte, 1), soon());
  REQUIRE(end);
  CHECK(*end == 0);
  CHECK_FALSE(connection.idle_healthy());
}

TEST_CASE("a cancelled task ends the connection it serves, and a shared listener outlives its first owner") {
  Loop loop;
  loop.run_until_done(end_of_task(loop));
}

awaitable<void> deadlines(Loop& loop) {
  auto listener = Listener::open(loop.executor(), TestServer::loopback());
  REQUIRE(listener);
  auto near = co_await connect(listener->endpoint(), {}, soon());
  REQUIRE(near);
  auto far = co_await listener->accept();
  REQUIRE(far);
  char buffer[16];
  auto late = co_await near->read_some(buffer, Deadline::in(Millis(10)));
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Code::kTimeout);
  auto sent = co_await far->write_all("ab", soon(), "cd", "ef");
  REQUIRE(sent);
  auto got = co_await near->read_some(buffer, soon());
  REQUIRE(got);
  CHECK(std::string_view(buffer, *got) == "abcdef");
  near->unread("xyz");
  got = co_await near->read_some(buffer, soon());
  REQUIRE(got);
  CHECK(std::string_view(buffer, *got) == "xyz");
  CHECK(near->idle_healthy());
  const std::string much(64 * 1024 * 1024, 'm');
  auto stuck = co_await far->write_all(much, Deadline::in(Millis(10)));
  REQUIRE_FALSE(stuck);
  CHECK(stuck.error().code == Code::kTimeout);
  far->cancel();
  auto cancelled = co_await far->read_some(buffer, soon());
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code == Code::kCancelled);
  Endpoint closed = listener->endpoint();
  listener->close();
  auto refused = co_await connect(closed, {}, soon());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kUnavailable);
  CHECK(refused.error().message.find(closed.text()) != std::string::npos);
}

TEST_CASE("operations end at their deadline, on cancel, and say why they failed") {
  Loop loop;
  loop.run_until_done(deadlines(loop));
}

}  // namespace
}  // namespace berth::net
