#pragma once
// For the tests of this module: engines that do as told, a worker that dials in, and a gateway on loopback.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/gateway.h"
#include "net/client.h"
#include "net/runtime.h"
#include "net/server.h"

namespace berth::gateway::testing {

constexpr std::string_view kGoodKey = "sk-berth-good";
constexpr std::string_view kWorkerScopeKey = "sk-berth-management";
constexpr net::Millis kTestMax{30'000};

class FixedKeys final : public KeyCheck {
 public:
  [[nodiscard]] std::optional<KeyInfo> check(std::string_view presented_key) const override;
};

/// An engine: an HTTP server whose handler the test gives, with notes of what it saw.
class FakeEngine {
 public:
  using Behaviour = std::function<net::awaitable<void>(FakeEngine&, net::Exchange&)>;

  FakeEngine(net::Loop& loop, Behaviour behaviour);

  [[nodiscard]] std::uint16_t port() const { return port_; }
  net::awaitable<void> handle(net::Exchange& exchange);
  net::awaitable<void> stop();

  std::vector<net::HeaderList> heads;
  std::vector<std::string> paths;
  std::vector<std::string> bodies;
  std::size_t bytes_written = 0;
  std::optional<std::chrono::steady_clock::time_point> cancelled_at;
  bool finished = false;

 private:
  Behaviour behaviour_;
  std::uint16_t port_ = 0;
  net::Server server_;
};

/// Answers with `body`.
FakeEngine::Behaviour answers(int status, std::string body);
/// Streams `events` (whole, as written) one write each. `finish` false: breaks the connection off after them.
FakeEngine::Behaviour streams(std::vector<std::string> events, bool finish = true);
/// Streams the events and then waits until it is cancelled, noting when.
FakeEngine::Behaviour streams_and_waits(std::vector<std::string> events);

/// Accepts connections, reads a little and closes them without a word.
class DeafEngine {
 public:
  explicit DeafEngine(net::Loop& loop);
  [[nodiscard]] std::uint16_t port() const { return port_; }
  net::awaitable<void> stop();
  int accepted = 0;

 private:
  net::awaitable<void> run();
  std::uint16_t port_ = 0;  // set while the listener is made
  net::Listener listener_;
  net::TaskGroup tasks_;
};

/// The gateway with its server, on one loop that the test runs.
class World {
 public:
  explicit World(Options options = {}, DataPool::RequestMore request_more = [](const std::string&, std::uint32_t) {});
  ~World();

  /// Route with these ports of direct engines as instances i-0, i-1 …
  void route(const std::string& name, std::vector<std::uint16_t> ports, std::string task = "generate");
  void publish() { board.publish(table); }

  net::Response ask(std::string method, std::string path, std::string body = {}, net::HeaderList headers = {});
  net::awaitable<net::ClientConnection> connect();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  void run(net::awaitable<void> task) { loop.run_until_done(std::move(task)); }

  net::Loop loop;
  RouteTable table;
  RouteBoard board;
  FixedKeys keys;
  UsageTotals ledger;
  DataPool data;
  Gateway gateway;

 private:
  std::uint16_t port_ = 0;
  net::Server server_;
};

net::HeaderList good_key();
net::Request chat(std::string body);
/// Polls until it holds; false after kTestMax.
net::awaitable<bool> eventually(std::function<bool()> holds);

}  // namespace berth::gateway::testing
