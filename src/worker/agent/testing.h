#pragma once
// For the tests of this folder: the server's end of the protocol as a script, and a worker beside it on one loop.

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "net/client.h"
#include "net/frames.h"
#include "net/runtime.h"
#include "net/server.h"
#include "wire/json.h"
#include "wire/messages.h"
#include "worker/agent/agent.h"
#include "worker/testing.h"

namespace berth::worker::testing::agents {

constexpr net::Millis kMax{20'000};
inline net::Deadline soon() { return net::Deadline::in(kMax); }

/// Polls until it holds; false after kMax.
net::awaitable<bool> holds(std::function<bool()> condition);

/// Speaks the server's side: notes what comes, answers as it is set.
class FakeServer {
 public:
  explicit FakeServer(net::Loop& loop, net::ServerTls tls = {});

  struct Heard {
    wire::MessageType type{};
    std::string payload;
    std::size_t connection = 0;  // 0 for the first
  };

  net::awaitable<void> stop() { return server_.stop(net::Deadline::in(net::Millis(0))); }
  /// Breaks the control connection off.
  void drop() {
    if (channel) channel->cancel();
  }
  template <class T>
  net::awaitable<void> send(wire::MessageType type, T message) {
    std::string payload = wire::to_json(message);
    auto sent = co_await channel->write(static_cast<std::uint8_t>(type), std::move(payload), soon());
    if (!sent) send_errors.push_back(sent.error());
  }
  /// Messages of one type, decoded, in the order they came.
  template <class T>
  std::vector<T> of(wire::MessageType type) const {
    std::vector<T> out;
    for (const Heard& one : heard)
      if (one.type == type) out.push_back(wire::from_json<T>(one.payload, wire::Strictness::kStrict).value());
    return out;
  }
  /// The last report of an instance, by whatever message.
  [[nodiscard]] std::optional<wire::InstanceReport> last_report(const std::string& instance) const;
  [[nodiscard]] std::string log_text(std::uint64_t id) const;
  [[nodiscard]] net::Url url() const;

  std::function<std::optional<wire::Refused>(const std::string& authorization)> judge;
  wire::Welcome welcome{.worker_id = "w-1", .worker_key = "wk-1", .heartbeat_ms = 100, .data_connections_idle = 2};
  bool mute = false;  // the next connection is welcomed and then neither read nor written
  std::vector<Heard> heard;
  std::vector<std::string> control_keys;
  std::vector<std::string> data_keys;
  std::vector<Error> send_errors;
  std::shared_ptr<net::FrameChannel> channel;
  std::deque<net::ClientConnection> data;  // idle

 private:
  net::awaitable<void> handle(net::Exchange& exchange);
  net::awaitable<void> control(net::Exchange& exchange);
  net::awaitable<void> take_data(net::Exchange& exchange);

  std::size_t connections_ = 0;
  std::uint16_t port_ = 0;
  bool tls_ = false;
  net::Server server_;
};

/// 8 GiB of memory, and the devices that a test sets.
class FixedMachine final : public Observer {
 public:
  Result<Usage> look() override;
  void set(std::vector<fleet::Device> devices);

 private:
  std::mutex mutex_;
  std::vector<fleet::Device> devices_;
};

/// A worker and its server. Members may be changed before start().
class AgentWorld {
 public:
  explicit AgentWorld(bool simulated, net::ServerTls tls = {});
  ~AgentWorld();

  void start();
  /// Waits for run() to return.
  net::awaitable<Result<void>> ended();
  /// Stops agent and server.
  net::awaitable<void> stop();
  /// Runs the test, then stops everything.
  void run(net::awaitable<void> test);

  Folder folder;
  net::Loop loop;
  FakeServer server;
  std::string fingerprint;  // of the server's certificate, for tests with one
  FixedMachine observer;
  engines::EngineCatalog catalog;
  std::unique_ptr<EngineProbe> probe = make_http_probe();
  SupervisorOptions supervise;
  AgentOptions options;
  fleet::Worker worker;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<Agent> agent;

 private:
  net::awaitable<void> keep_result();
  std::optional<Result<void>> result_;
  net::TaskGroup tasks_{loop.executor()};
};

/// An instruction to run (or stop) an instance of the "fake" engine.
wire::DesiredInstance instruction(const std::string& instance, bool run, std::uint64_t attempt = 1);

}  // namespace berth::worker::testing::agents
