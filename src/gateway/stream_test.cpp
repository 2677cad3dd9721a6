#include <doctest/doctest.h>
#include <fmt/format.h>

#include "gateway/testing.h"

using namespace berth;
using namespace berth::gateway;
using namespace berth::gateway::testing;

namespace {

const std::string kPlain = R"({"model":"m","stream":true,"messages":[]})";
const std::string kWithUsage = R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})";
const std::string kUsageEvent = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":4,\"prompt_tokens\":11}}\n\n";
const std::string kDoneEvent = "data: [DONE]\n\n";
const std::string kPing = ": ping\n\n";

std::string delta(int number) {
  return fmt::format("data: {{\"choices\":[{{\"delta\":{{\"content\":\"w{}\"}}}}], \"x\" : 1}}\n\n", number);
}

std::string text_of(const std::vector<std::string>& events) {
  std::string out;
  for (const std::string& event : events) out += event;
  return out;
}

std::string without(std::string text, std::string_view part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part)) text.erase(at, part.size());
  return text;
}

/// Sends a chat, reads until `bytes` of the answer came, and hangs up.
net::awaitable<void> ask_and_leave(World& world,
                                   std::size_t bytes,
                                   FakeEngine& engine,
                                   std::chrono::microseconds& took) {
  net::ClientConnection client = co_await world.connect();
  const net::Request request = chat(kPlain);
  CHECK((co_await client.send(request, net::Deadline::in(kTestMax))).has_value());
  std::size_t got = 0;
  if (bytes > 0) CHECK((co_await client.read_head(net::Deadline::in(kTestMax))).has_value());
  while (got < bytes) {
    auto piece = co_await client.read_some(net::Deadline::in(kTestMax));
    REQUIRE(piece.has_value());
    got += piece->size();
  }
  std::function<bool()> reached = [&engine] { return !engine.bodies.empty(); };
  CHECK(co_await eventually(std::move(reached)));
  const auto left_at = std::chrono::steady_clock::now();
  client.close();
  std::function<bool()> cancelled = [&engine] { return engine.cancelled_at.has_value(); };
  CHECK(co_await eventually(std::move(cancelled)));
  took = std::chrono::duration_cast<std::chrono::microseconds>(*engine.cancelled_at - left_at);
}

net::awaitable<void> wait_silently(FakeEngine& engine, net::Exchange& exchange) {
  const Result<void> waited = co_await net::sleep_for(kTestMax);
  if (!waited) engine.cancelled_at = std::chrono::steady_clock::now();
  (void)exchange;
}

/// Silence before the head, between events and inside of one.
net::awaitable<void> slow_stream(FakeEngine&, net::Exchange& exchange) {
  const std::string event = delta(1);
  (void)(co_await net::sleep_for(net::Millis(70))).has_value();
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream");
  (void)(co_await exchange.start_stream(std::move(head))).has_value();
  for (const std::string_view part : {std::string_view(event).substr(0, 20), std::string_view(event).substr(20)}) {
    (void)(co_await exchange.write(part)).has_value();
    (void)(co_await net::sleep_for(net::Millis(70))).has_value();
  }
  (void)(co_await exchange.write(kDoneEvent)).has_value();
  (void)(co_await exchange.finish()).has_value();
}

net::awaitable<void> slow_failure(FakeEngine&, net::Exchange& exchange) {
  (void)(co_await net::sleep_for(net::Millis(70))).has_value();
  net::Response response = net::make_response(500, "application/json", R"({"error":{"message":"out of memory"}})");
  (void)(co_await exchange.respond(std::move(response))).has_value();
}

/// Writes until it is cancelled.
net::awaitable<void> flood(FakeEngine& engine, net::Exchange& exchange) {
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream");
  Result<void> sent = co_await exchange.start_stream(std::move(head));
  const std::string event = "data: {\"choices\":[{\"text\":\"" + std::string(8000, 'x') + "\"}]}\n\n";
  while (sent) {
    sent = co_await exchange.write(event);
    if (sent) engine.bytes_written += event.size();
  }
  engine.cancelled_at = std::chrono::steady_clock::now();
}

net::awaitable<void> ask_and_read_nothing(World& world, FakeEngine& engine) {
  net::ClientConnection client = co_await world.connect();
  const net::Request request = chat(kPlain);
  CHECK((co_await client.send(request, net::Deadline::in(kTestMax))).has_value());
  // The engine is held back once the kernel's buffers of both hops are full: nothing moves for 100 looks in a row.
  std::size_t last = 0;
  int still = 0;
  std::function<bool()> stuck = [&] {
    still = engine.bytes_written == last && last > 0 ? still + 1 : 0;
    last = engine.bytes_written;
    return still > 100;
  };
  CHECK(co_await eventually(std::move(stuck)));
  MESSAGE("bytes in flight to a client that does not read: " << engine.bytes_written);
  CHECK(engine.bytes_written < 32U * 1024 * 1024);
  CHECK_FALSE(engine.cancelled_at.has_value());
  client.close();
  std::function<bool()> cancelled = [&engine] { return engine.cancelled_at.has_value(); };
  CHECK(co_await eventually(std::move(cancelled)));
}

}  // namespace

TEST_CASE("a stream whose client asked for usage is passed on byte for byte") {
  World world;
  const std::vector<std::string> events = {
      ": hello\n\n", delta(1), "data: {\"a\":\r\ndata: 1}\r\n\r\n", delta(2), kUsageEvent, kDoneEvent};
  FakeEngine engine(world.loop, streams(events));
  world.route("m", {engine.port()});
  const net::Response response = world.ask("POST", "/v1/chat/completions", kWithUsage);
  CHECK(response.status == 200);
  CHECK(response.headers.get("content-type") == "text/event-stream; charset=utf-8");
  CHECK(response.headers.get("x-request-id").has_value());
  CHECK(response.body == text_of(events));
  CHECK(engine.bodies[0] == kWithUsage);
  const auto rows = world.ledger.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].prompt_tokens == 11);
  CHECK(rows[0].completion_tokens == 4);
  CHECK(rows[0].aborted == 0);
  CHECK(world.gateway.metrics().streams_open.load() == 0);
  world.run(engine.stop());
}

TEST_CASE("usage is asked for behind the client's back, counted, and taken out again") {
  World world;
  const std::vector<std::string> events = {delta(1), delta(2), kUsageEvent, kDoneEvent};
  FakeEngine engine(world.loop, streams(events));
  world.route("m", {engine.port()});
  const net::Response response = world.ask("POST", "/v1/completions", kPlain);
  CHECK(response.body == delta(1) + delta(2) + kDoneEvent);
  CHECK(engine.paths[0] == "/v1/completions");
  CHECK(engine.bodies[0] == R"({"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":[]})");
  const auto rows = world.ledger.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].completion_tokens == 4);
  world.run(engine.stop());
}

TEST_CASE("a client that leaves in mid-stream is noticed by the engine at once, and what it got is counted") {
  World world;
  FakeEngine engine(world.loop, streams_and_waits({delta(1), delta(2)}));
  world.route("m", {engine.port()});
  std::chrono::microseconds took{};
  world.run(ask_and_leave(world, delta(1).size() + delta(2).size(), engine, took));
  MESSAGE("engine cancelled after " << took.count() << " us");
  CHECK(took < std::chrono::seconds(1));
  std::function<bool()> booked = [&world] { return !world.ledger.rows().empty(); };
  CHECK(world.loop
            .wait_for([](std::function<bool()> holds) -> net::awaitable<Result<bool>> {
              co_return co_await eventually(std::move(holds));
            }(std::move(booked)))
            .value_or(false));
  const auto rows = world.ledger.rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].aborted == 1);
  CHECK(rows[0].completion_tokens == 2);
  CHECK(world.gateway.metrics().aborted.load() == 1);
  CHECK(world.gateway.metrics().in_flight.load() == 0);
  world.run(engine.stop());
}

TEST_CASE("a client that leaves before the first byte is noticed by the engine too") {
  World world;
  FakeEngine engine(world.loop, wait_silently);
  world.route("m", {engine.port(), engine.port()});
  std::chrono::microseconds took{};
  world.run(ask_and_leave(world, 0, engine, took));
  MESSAGE("engine cancelled after " << took.count() << " us");
  CHECK(took < std::chrono::seconds(1));
  CHECK(engine.bodies.size() == 1);  // no retry for a client that left
  world.run(engine.stop());
}

TEST_CASE("an engine that dies in mid-stream ends the stream with an error event and no [DONE]") {
  World world;
  FakeEngine broken(world.loop, streams({delta(1), delta(2), "data: {\"half"}, false));
  FakeEngine early(world.loop, streams({delta(1)}));
  world.route("m", {broken.port()});
  world.route("early", {early.port()});
  const net::Response response = world.ask("POST", "/v1/chat/completions", kPlain);
  CHECK(response.status == 200);
  INFO(response.body);
  const std::string start = delta(1) + delta(2) + R"(data: {"error":{"message":"the engine broke the stream off: )";
  CHECK(response.body.starts_with(start));
  CHECK(response.body.ends_with("}}\n\n"));
  CHECK(response.body.find("[DONE]") == std::string::npos);
  CHECK(response.body.find("half") == std::string::npos);
  const net::Response cut = world.ask("POST", "/v1/chat/completions", R"({"model":"early","stream":true})");
  CHECK(cut.body.starts_with(delta(1) + R"(data: {"error":{"message":"the engine ended the stream before)"));
  CHECK(broken.bodies.size() == 1);
  CHECK(world.gateway.metrics().streams_broken.load() == 2);
  const auto rows = world.ledger.rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[1].model == "m");
  CHECK(rows[1].aborted == 1);
  CHECK(rows[1].completion_tokens == 2);
  world.run(broken.stop());
  world.run(early.stop());
}

TEST_CASE("silence is filled with pings between events only") {
  Options options;
  options.ping_every = net::Millis(20);
  World world(options);
  FakeEngine engine(world.loop, slow_stream);
  FakeEngine failing(world.loop, slow_failure);
  world.route("m", {engine.port()});
  world.route("failing", {failing.port()});
  const net::Response response = world.ask("POST", "/v1/chat/completions", kPlain);
  INFO(response.body);
  CHECK(response.body.starts_with(kPing));
  CHECK(response.body.find(kPing, response.body.find("data:")) != std::string::npos);
  CHECK(without(response.body, kPing) == delta(1) + kDoneEvent);
  const net::Response late = world.ask("POST", "/v1/chat/completions", R"({"model":"failing","stream":true})");
  CHECK(late.status == 200);
  CHECK(late.body.find(R"(data: {"error":{"message":"out of memory")") != std::string::npos);
  world.run(engine.stop());
  world.run(failing.stop());
}

TEST_CASE("an engine that says nothing for too long is a 504") {
  Options options;
  options.first_byte_max = net::Millis(50);
  World world(options);
  FakeEngine engine(world.loop, wait_silently);
  world.route("m", {engine.port()});
  const net::Response response = world.ask("POST", "/v1/chat/completions", R"({"model":"m"})");
  CHECK(response.status == 504);
  CHECK(response.body.find("engine_timeout") != std::string::npos);
  world.run(engine.stop());
}

TEST_CASE("a client that does not read holds the engine back instead of filling memory") {
  World world;
  FakeEngine engine(world.loop, flood);
  world.route("m", {engine.port()});
  world.run(ask_and_read_nothing(world, engine));
  world.run(engine.stop());
}

TEST_CASE("more requests than the limit are told to come again") {
  Options options;
  options.in_flight_max = 0;
  World world(options);
  FakeEngine engine(world.loop, answers(200, "{}"));
  world.route("m", {engine.port()});
  const net::Response response = world.ask("POST", "/v1/chat/completions", R"({"model":"m"})");
  CHECK(response.status == 503);
  CHECK(response.headers.get("retry-after") == "1");
  CHECK(world.ask("GET", "/v1/models").status == 200);
  world.run(engine.stop());
}
