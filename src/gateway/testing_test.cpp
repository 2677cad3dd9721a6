#include "gateway/testing.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace berth::gateway::testing {

std::optional<KeyInfo> FixedKeys::check(std::string_view presented_key) const {
  if (presented_key == kGoodKey) return KeyInfo{.id = "key-1", .scopes = {"inference"}};
  if (presented_key == kWorkerScopeKey) return KeyInfo{.id = "key-2", .scopes = {"management"}};
  return std::nullopt;
}

namespace {

net::Listener open_listener(net::Loop& loop, std::uint16_t& port) {
  auto listener = net::Listener::open(loop.executor(), {.host = "127.0.0.1", .port = 0});
  REQUIRE(listener.has_value());
  port = listener->endpoint().port;
  return std::move(*listener);
}

net::awaitable<void> answer_with(FakeEngine& engine, net::Exchange& exchange, int status, std::string body) {
  net::Response response = net::make_response(status, "application/json", std::move(body));
  const Result<void> sent = co_await exchange.respond(std::move(response));
  engine.finished = sent.has_value();
}

net::awaitable<bool> write_events(FakeEngine& engine, net::Exchange& exchange, std::vector<std::string> events) {
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream");
  Result<void> sent = co_await exchange.start_stream(std::move(head));
  for (const std::string& event : events) {
    if (sent) sent = co_await exchange.write(event);
    if (sent) engine.bytes_written += event.size();
  }
  if (!sent) engine.cancelled_at = std::chrono::steady_clock::now();
  co_return sent.has_value();
}

net::awaitable<void> stream_events(FakeEngine& engine,
                                   net::Exchange& exchange,
                                   std::vector<std::string> events,
                                   bool finish) {
  if (!co_await write_events(engine, exchange, std::move(events)) || !finish) co_return;
  const Result<void> sent = co_await exchange.finish();
  engine.finished = sent.has_value();
}

net::awaitable<void> stream_and_wait(FakeEngine& engine, net::Exchange& exchange, std::vector<std::string> events) {
  if (!co_await write_events(engine, exchange, std::move(events))) co_return;
  const Result<void> waited = co_await net::sleep_for(kTestMax);
  if (!waited) engine.cancelled_at = std::chrono::steady_clock::now();
}

}  // namespace

FakeEngine::FakeEngine(net::Loop& loop, Behaviour behaviour)
    : behaviour_(std::move(behaviour)),
      server_(loop.executor(), [this](net::Exchange& exchange) { return handle(exchange); }) {
  server_.listen(open_listener(loop, port_));
}

net::awaitable<void> FakeEngine::handle(net::Exchange& exchange) {
  heads.push_back(exchange.request().headers);
  paths.emplace_back(exchange.request().target);
  auto body = co_await exchange.read_body();
  bodies.push_back(body.value_or("unreadable"));
  co_await behaviour_(*this, exchange);
}

net::awaitable<void> FakeEngine::stop() { return server_.stop(net::Deadline::in(net::Millis(0))); }

FakeEngine::Behaviour answers(int status, std::string body) {
  return [status, body](FakeEngine& engine, net::Exchange& exchange) {
    return answer_with(engine, exchange, status, body);
  };
}

FakeEngine::Behaviour streams(std::vector<std::string> events, bool finish) {
  return [events, finish](FakeEngine& engine, net::Exchange& exchange) {
    return stream_events(engine, exchange, events, finish);
  };
}

FakeEngine::Behaviour streams_and_waits(std::vector<std::string> events) {
  return [events](FakeEngine& engine, net::Exchange& exchange) { return stream_and_wait(engine, exchange, events); };
}

DeafEngine::DeafEngine(net::Loop& loop) : listener_(open_listener(loop, port_)), tasks_(loop.executor()) {
  REQUIRE(tasks_.spawn(run()).has_value());
}

net::awaitable<void> DeafEngine::run() {
  for (;;) {
    auto stream = co_await listener_.accept();
    if (!stream) co_return;
    ++accepted;
    char byte[64];
    (void)(co_await stream->read_some(byte, net::Deadline::in(kTestMax))).has_value();
    stream->close();
  }
}

net::awaitable<void> DeafEngine::stop() {
  listener_.close();
  tasks_.cancel();
  (void)(co_await tasks_.join(net::Deadline::in(kTestMax))).has_value();
}

World::World(Options options, DataPool::RequestMore request_more)
    : data(std::move(request_more)),
      gateway(Ports{.routes = board, .keys = keys, .ledger = ledger, .data = data}, options),
      server_(loop.executor(), [this](net::Exchange& exchange) { return gateway.handle(exchange); }) {
  server_.listen(open_listener(loop, port_));
}

World::~World() { loop.run_until_done(server_.stop(net::Deadline::in(net::Millis(0)))); }

void World::route(const std::string& name, std::vector<std::uint16_t> ports, std::string task) {
  RouteEntry entry{.task = task, .created = Time(Duration(1'700'000'000'000))};
  for (std::size_t i = 0; i < ports.size(); ++i) {
    Target target{.instance = fmt::format("i-{}", i), .deployment = "d", .worker = "w", .route = name, .task = task};
    target.direct = Direct{.port = ports[i], .secret = "engine-secret"};
    entry.ready.push_back(std::move(target));
  }
  table.routes[name] = std::move(entry);
  publish();
}

net::Response World::ask(std::string method, std::string path, std::string body, net::HeaderList headers) {
  if (headers.empty()) headers = good_key();
  auto response = loop.wait_for(net::fetch(std::move(method),
                                           fmt::format("http://127.0.0.1:{}{}", port_, path),
                                           std::move(headers),
                                           std::move(body),
                                           {.total_max = kTestMax}));
  if (!response) FAIL(response.error().message);
  return std::move(*response);
}

net::awaitable<net::ClientConnection> World::connect() {
  auto stream = co_await net::connect_tcp("127.0.0.1", port_, net::Deadline::in(kTestMax));
  REQUIRE(stream.has_value());
  co_return net::ClientConnection(std::move(*stream), "gateway");
}

net::HeaderList good_key() {
  net::HeaderList headers;
  headers.add("Authorization", fmt::format("Bearer {}", kGoodKey));
  headers.add("Content-Type", "application/json");
  return headers;
}

net::Request chat(std::string body) {
  net::Request request{.method = "POST", .target = "/v1/chat/completions", .headers = good_key()};
  request.body = std::move(body);
  return request;
}

net::awaitable<bool> eventually(std::function<bool()> holds) {
  const net::Deadline deadline = net::Deadline::in(kTestMax);
  while (!holds()) {
    if (deadline.passed()) co_return false;
    (void)(co_await net::sleep_for(net::Millis(1))).has_value();
  }
  co_return true;
}

}  // namespace berth::gateway::testing
