#include <atomic>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <thread>

#include "gateway/testing.h"

using namespace berth;
using namespace berth::gateway;
using namespace berth::gateway::testing;

namespace {

constexpr const char* kChatPath = "/v1/chat/completions";
const std::string kAnswer = R"({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}})";
const std::string kEvent = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
const std::string kDone = "data: [DONE]\n\n";

/// A worker that dials in: its connections come out of a listener on `server_loop`, which offers them to the pool.
class DialIn {
 public:
  DialIn(net::Loop& server_loop,
         net::Loop& worker_loop,
         DataPool& pool,
         FakeEngine::Behaviour behaviour,
         std::string worker = "w-1")
      : pool_(pool),
        worker_(std::move(worker)),
        engine(worker_loop, std::move(behaviour)),
        worker_tasks(worker_loop.executor()),
        accept_tasks(server_loop.executor()) {
    auto opened = net::Listener::open(server_loop.executor(), {.host = "127.0.0.1", .port = 0});
    REQUIRE(opened.has_value());
    listener_ = std::move(*opened);
    REQUIRE(accept_tasks.spawn(accept()).has_value());
  }

  /// On the worker's loop.
  void dial() { (void)worker_tasks.spawn(serve()).has_value(); }
  net::awaitable<void> stop_accepting() {
    listener_.close();
    accept_tasks.cancel();
    (void)(co_await accept_tasks.join(net::Deadline::in(kTestMax))).has_value();
  }
  net::awaitable<void> stop_worker() {
    worker_tasks.cancel();
    (void)(co_await worker_tasks.join(net::Deadline::in(kTestMax))).has_value();
    co_await engine.stop();
  }

  std::atomic<int> dialled = 0;
  std::function<void()> stops_reading;  // set: the worker reads one byte, calls this, and is silent

 private:
  net::awaitable<void> accept() {
    for (;;) {
      auto stream = co_await listener_.accept();
      if (!stream) co_return;
      pool_.offer(worker_, std::move(*stream));
    }
  }
  net::awaitable<void> serve() {
    auto stream = co_await net::connect_tcp("127.0.0.1", listener_.endpoint().port, net::Deadline::in(kTestMax));
    if (!stream) co_return;
    ++dialled;
    if (stops_reading) {
      char byte = 0;
      (void)(co_await stream->read_some({&byte, 1}, net::Deadline::in(kTestMax))).has_value();
      stops_reading();
      (void)(co_await net::sleep_for(kTestMax)).has_value();
      co_return;
    }
    net::Handler handler = [this](net::Exchange& exchange) { return engine.handle(exchange); };
    co_await net::serve_connection(std::move(*stream), std::move(handler));
  }

  DataPool& pool_;
  std::string worker_;
  net::Listener listener_;

 public:
  FakeEngine engine;
  net::TaskGroup worker_tasks;
  net::TaskGroup accept_tasks;
};

void route_to_worker(World& world) {
  RouteEntry entry;
  entry.ready.push_back({.instance = "inst-9", .deployment = "d", .worker = "w-1", .route = "m"});
  world.table.routes["m"] = std::move(entry);
  world.publish();
}

net::awaitable<void> read_one_event_and_leave(World& world) {
  net::ClientConnection client = co_await world.connect();
  const net::Request request = chat(R"({"model":"m","stream":true})");
  CHECK((co_await client.send(request, net::Deadline::in(kTestMax))).has_value());
  CHECK((co_await client.read_head(net::Deadline::in(kTestMax))).has_value());
  const auto piece = co_await client.read_some(net::Deadline::in(kTestMax));
  CHECK((piece && *piece == kEvent));
  client.close();
}

net::awaitable<void> wait_until(std::function<bool()> holds) { CHECK(co_await eventually(std::move(holds))); }

/// What the thread of another loop runs until `quit`.
net::awaitable<void> live(DialIn& dial_in, const std::atomic<bool>& quit) {
  std::function<bool()> told = [&quit] { return quit.load(); };
  co_await wait_until(std::move(told));
  co_await dial_in.stop_accepting();
  co_await dial_in.stop_worker();
}

}  // namespace

TEST_CASE("an instance behind a worker's own connections is asked for by its id and without any key") {
  DialIn* worker = nullptr;
  int asked_for = 0;
  World world({}, [&](const std::string& id, std::uint32_t count) {
    CHECK(id == "w-1");
    asked_for += static_cast<int>(count);
    for (; count > 0; --count) worker->dial();
  });
  DialIn dial_in(world.loop, world.loop, world.data, answers(200, kAnswer));
  worker = &dial_in;
  route_to_worker(world);
  for (int i = 0; i < 3; ++i) {
    net::HeaderList headers = good_key();
    headers.add("Berth-Instance", "forged");
    const net::Response response = world.ask("POST", kChatPath, R"({"model":"m"})", headers);
    CHECK(response.status == 200);
    CHECK(response.body == kAnswer);
  }
  CHECK(asked_for == 1);  // the same connection each time
  CHECK(dial_in.dialled == 1);
  REQUIRE(dial_in.engine.heads.size() == 3);
  CHECK(dial_in.engine.heads[2].get("berth-instance") == "inst-9");
  CHECK(dial_in.engine.heads[2].count("berth-instance") == 1);
  CHECK_FALSE(dial_in.engine.heads[2].get("authorization").has_value());
  CHECK(world.data.idle("w-1") == 1);

  // The worker's agent starts again: its old connections are dead, new ones are asked for.
  world.run(dial_in.stop_worker());
  DialIn again(world.loop, world.loop, world.data, answers(200, kAnswer));
  worker = &again;
  CHECK(world.ask("POST", kChatPath, R"({"model":"m"})").status == 200);
  CHECK(asked_for == 2);
  world.data.forget("w-1");
  CHECK(world.data.idle("w-1") == 0);
  world.run(dial_in.stop_accepting());
  world.run(again.stop_accepting());
  world.run(again.stop_worker());
}

TEST_CASE("a client that leaves drops the worker's connection, which cancels the engine") {
  DialIn* worker = nullptr;
  World world({}, [&](const std::string&, std::uint32_t) { worker->dial(); });
  DialIn dial_in(world.loop, world.loop, world.data, streams_and_waits({kEvent}));
  worker = &dial_in;
  route_to_worker(world);
  world.run(read_one_event_and_leave(world));
  world.run(wait_until([&] { return dial_in.engine.cancelled_at.has_value(); }));
  CHECK(world.data.idle("w-1") == 0);
  world.run(dial_in.stop_accepting());
  world.run(dial_in.stop_worker());
}

TEST_CASE("a worker that opens no connection in time is a 504 that says so") {
  Options options;
  options.data_wait_max = net::Millis(30);
  World world(options);
  route_to_worker(world);
  const net::Response response = world.ask("POST", kChatPath, R"({"model":"m"})");
  CHECK(response.status == 504);
  CHECK(response.body.find("worker w-1 opened no data connection in time") != std::string::npos);
}

TEST_CASE("who waits for a worker that leaves is told at once") {
  World* at = nullptr;
  World world({}, [&at](const std::string& id, std::uint32_t) { at->data.forget(id); });
  at = &world;
  route_to_worker(world);
  const net::Response response = world.ask("POST", kChatPath, R"({"model":"m"})");
  CHECK(response.status == 503);
  CHECK(response.headers.get("retry-after") == "5");
  CHECK(response.body.find("worker w-1 left") != std::string::npos);
}

namespace {

/// What a worker's relay answers in the place of an engine.
FakeEngine::Behaviour refuses(int status, std::string mark) {
  return [status, mark](FakeEngine&, net::Exchange& exchange) -> net::awaitable<void> {
    return [](net::Exchange& at, int code, std::string value) -> net::awaitable<void> {
      net::Response response = net::make_response(code, "application/json", R"({"error":{"message":"not here"}})");
      response.headers.set("Berth-Refused", value);
      (void)(co_await at.respond(std::move(response))).has_value();
    }(exchange, status, mark);
  };
}

/// Workers with an instance each.
struct Workers {
  explicit Workers(std::vector<FakeEngine::Behaviour> behaviours, Options options = {})
      : world(options, [this](const std::string& id, std::uint32_t) { workers.at(id)->dial(); }) {
    for (FakeEngine::Behaviour& behaviour : behaviours) add(std::move(behaviour));
  }
  ~Workers() {
    for (auto& [id, worker] : workers) {
      world.run(worker->stop_accepting());
      world.run(worker->stop_worker());
    }
    workers.clear();  // they lie on the world's loop
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void add(FakeEngine::Behaviour behaviour) {
    const std::string id = fmt::format("w-{}", workers.size());
    workers[id] = std::make_unique<DialIn>(world.loop, world.loop, world.data, std::move(behaviour), id);
    world.table.routes["m"].ready.push_back({.instance = "i-" + id, .deployment = "d", .worker = id, .route = "m"});
    world.publish();
  }
  [[nodiscard]] std::size_t asked(const std::string& id) { return workers.at(id)->engine.bodies.size(); }

  std::map<std::string, std::unique_ptr<DialIn>> workers;
  World world;
};

}  // namespace

TEST_CASE("what a worker's relay refuses before any work goes to the next instance, and that worker rests") {
  Workers some({refuses(404, "untouched"), refuses(502, "untouched"), answers(200, kAnswer)});
  for (int i = 0; i < 6; ++i) CHECK(some.world.ask("POST", kChatPath, R"({"model":"m"})").status == 200);
  CHECK(some.asked("w-0") == 1);
  CHECK(some.asked("w-1") == 1);
  CHECK(some.asked("w-2") == 6);
  CHECK(some.world.data.idle("w-0") == 1);  // the refusal ended in order
  CHECK(some.world.gateway.metrics().ejections.load() == 2);
  CHECK(some.world.gateway.metrics().retries.load() == 2);
}

TEST_CASE("a stream that its worker refuses after the first pings goes on at another instance") {
  Options options;
  options.ping_every = net::Millis(5);
  const FakeEngine::Behaviour late = [](FakeEngine& engine, net::Exchange& exchange) -> net::awaitable<void> {
    return [](FakeEngine& of, net::Exchange& at) -> net::awaitable<void> {
      (void)(co_await net::sleep_for(net::Millis(30))).has_value();
      const FakeEngine::Behaviour refusal = refuses(502, "unanswered");
      co_await refusal(of, at);
    }(engine, exchange);
  };
  Workers some({late, streams({kEvent, kDone})}, options);
  const net::Response response = some.world.ask("POST", kChatPath, R"({"model":"m","stream":true})");
  CHECK(response.body.starts_with(": ping\n\n"));
  CHECK(response.body.ends_with(kEvent + kDone));
}

TEST_CASE("when every worker's relay refuses, the client is told what to do") {
  Workers some({refuses(404, "untouched"), refuses(502, "untouched")});
  const net::Response response = some.world.ask("POST", kChatPath, R"({"model":"m"})");
  INFO(response.body);
  CHECK(response.status == 503);
  CHECK(response.headers.get("retry-after") == "5");
  CHECK_FALSE(response.headers.get("berth-refused").has_value());
  CHECK(response.body.find("the model 'm' takes no request now: 2 instances were asked") != std::string::npos);
  CHECK(response.body.find("worker w-1: not here") != std::string::npos);
  CHECK(response.body.find("berth get instances") != std::string::npos);
  CHECK(some.world.ledger.rows().empty());
}

TEST_CASE("a request that engines went away with is tried on one other only") {
  Workers some({refuses(502, "unanswered"), refuses(502, "unanswered"), refuses(502, "a word of tomorrow")});
  const net::Response response = some.world.ask("POST", kChatPath, R"({"model":"m"})");
  CHECK(response.status == 502);
  CHECK(response.body.find("instance i-w-1 of model 'm' failed before it answered: not here") != std::string::npos);
  CHECK(some.asked("w-2") == 0);
}

TEST_CASE("a connection accepted on another loop is used there, also for cancellation") {
  net::Loop other;
  DialIn* worker = nullptr;
  World world({}, [&](const std::string&, std::uint32_t) { other.post([&worker] { worker->dial(); }); });
  route_to_worker(world);
  {
    DialIn dial_in(other, other, world.data, streams({kEvent, kEvent, kDone}));
    worker = &dial_in;
    std::atomic<bool> quit = false;
    std::thread thread([&] { other.run_until_done(live(dial_in, quit)); });
    for (int i = 0; i < 20; ++i) {
      const net::Response response = world.ask("POST", kChatPath, R"({"model":"m","stream":true})");
      CHECK(response.status == 200);
      CHECK(response.body == kEvent + kEvent + kDone);
    }
    CHECK(dial_in.dialled == 1);
    quit = true;
    thread.join();
  }
  DialIn waiting(other, other, world.data, streams_and_waits({kEvent}));
  worker = &waiting;
  std::atomic<bool> quit = false;
  std::thread thread([&] { other.run_until_done(live(waiting, quit)); });
  world.run(read_one_event_and_leave(world));
  std::atomic<bool> cancelled = false;
  world.run(wait_until([&] {
    other.post([&] { cancelled = waiting.engine.cancelled_at.has_value(); });
    return cancelled.load();
  }));
  quit = true;
  thread.join();
}

namespace {

Options impatient() {
  Options options;
  options.worker_silence_max = net::Millis(100);
  return options;
}

bool has(const net::Response& response, std::string_view text) { return response.body.find(text) != std::string::npos; }

/// An event every 25 ms, for longer than the patience with a silent worker.
net::awaitable<void> trickle(FakeEngine&, net::Exchange& exchange) {
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream");
  (void)(co_await exchange.start_stream(std::move(head))).has_value();
  for (int i = 0; i < 40; ++i) {
    (void)(co_await exchange.write(kEvent)).has_value();
    (void)(co_await net::sleep_for(net::Millis(25))).has_value();
  }
  (void)(co_await exchange.write(kDone)).has_value();
  (void)(co_await exchange.finish()).has_value();
}

}  // namespace

TEST_CASE("a request on a worker that stops reading goes to another once that worker counts as gone") {
  Workers some({answers(200, kAnswer), answers(200, kAnswer)}, impatient());
  some.workers.at("w-0")->stops_reading = [&] { some.world.data.forget("w-0"); };
  // A second instance of the silent worker is no other.
  std::vector<Target>& ready = some.world.table.routes["m"].ready;
  ready.insert(ready.begin() + 1, {.instance = "i-w-0-b", .deployment = "d", .worker = "w-0", .route = "m"});
  some.world.publish();
  for (int i = 0; i < 3; ++i) CHECK(some.world.ask("POST", kChatPath, R"({"model":"m"})").status == 200);
  CHECK(some.workers.at("w-0")->dialled >= 1);
  CHECK(some.asked("w-1") == 3);
  CHECK(some.world.gateway.metrics().in_flight.load() == 0);
}

TEST_CASE("with no other worker the silence is a 504 that names the worker") {
  Workers some({answers(200, kAnswer)}, impatient());
  some.workers.at("w-0")->stops_reading = [&] { some.world.data.forget("w-0"); };
  const net::Response response = some.world.ask("POST", kChatPath, R"({"model":"m"})");
  CHECK(response.status == 504);
  CHECK(has(response, "worker w-0 is not connected and sent nothing for 100 ms"));
}

TEST_CASE("a stream whose worker falls silent ends in an error event and is not begun again elsewhere") {
  Workers some({}, impatient());
  const FakeEngine::Behaviour begins = streams_and_waits({kEvent});
  const FakeEngine::Behaviour falls_silent = [&](FakeEngine& engine, net::Exchange& exchange) {
    some.world.data.forget("w-0");
    return begins(engine, exchange);
  };
  some.add(falls_silent);
  some.add(streams({kEvent, kDone}));
  const net::Response response = some.world.ask("POST", kChatPath, R"({"model":"m","stream":true})");
  CHECK(response.status == 200);
  CHECK(response.body.starts_with(kEvent + "data: {\"error\":"));
  CHECK(has(response, "worker w-0 is not connected and sent nothing for 100 ms"));
  CHECK_FALSE(has(response, "[DONE]"));
  CHECK(some.asked("w-1") == 0);
}

TEST_CASE("a worker without its control connection keeps the requests that it works on, and one that is back all") {
  Options options;
  options.worker_silence_max = net::Millis(500);
  Workers some({}, options);
  bool back = false;
  const FakeEngine::Behaviour works_on = [&](FakeEngine& engine, net::Exchange& exchange) -> net::awaitable<void> {
    some.world.data.forget("w-0");
    if (back) some.world.data.welcome("w-0");
    return back ? [](net::Exchange& at) -> net::awaitable<void> {
      (void)(co_await net::sleep_for(net::Millis(800))).has_value();
      net::Response response = net::make_response(200, "application/json", kAnswer);
      (void)(co_await at.respond(std::move(response))).has_value();
    }(exchange)
                : trickle(engine, exchange);
  };
  some.add(works_on);
  const net::Response streamed = some.world.ask("POST", kChatPath, R"({"model":"m","stream":true})");
  CHECK(streamed.body.ends_with(kEvent + kDone));
  back = true;
  CHECK(some.world.ask("POST", kChatPath, R"({"model":"m"})").body == kAnswer);
}
