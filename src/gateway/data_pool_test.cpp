#include <atomic>
#include <doctest/doctest.h>
#include <fmt/format.h>
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
  DialIn(net::Loop& server_loop, net::Loop& worker_loop, DataPool& pool, FakeEngine::Behaviour behaviour)
      : pool_(pool),
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

 private:
  net::awaitable<void> accept() {
    for (;;) {
      auto stream = co_await listener_.accept();
      if (!stream) co_return;
      pool_.offer("w-1", std::move(*stream));
    }
  }
  net::awaitable<void> serve() {
    auto stream = co_await net::connect_tcp("127.0.0.1", listener_.endpoint().port, net::Deadline::in(kTestMax));
    if (!stream) co_return;
    ++dialled;
    net::Handler handler = [this](net::Exchange& exchange) { return engine.handle(exchange); };
    co_await net::serve_connection(std::move(*stream), std::move(handler));
  }

  DataPool& pool_;
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
  CHECK(response.status == 502);
  CHECK(response.body.find("worker w-1 left") != std::string::npos);
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
