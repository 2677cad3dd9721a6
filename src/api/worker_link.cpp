#include "api/worker_link.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <deque>
#include <fmt/format.h>
#include <map>
#include <utility>

#include "api/reply.h"
#include "base/log.h"
#include "base/text.h"
#include "net/frames.h"
#include "net/loopback.h"
#include "wire/json.h"

namespace berth::api {
namespace {

using net::awaitable;
using net::Deadline;
using wire::MessageType;

constexpr net::Millis kSendMax{15'000};
constexpr net::Millis kRoomPoll{20};

struct LogReader {
  explicit LogReader(net::Executor executor) : ready(std::move(executor)) {}
  std::deque<wire::LogChunk> chunks;
  std::size_t left_out = 0;  // bytes, since the last chunk that was kept
  net::Signal ready;
};

struct Session {
  explicit Session(net::FrameChannel c) : channel(std::move(c)) {}
  net::FrameChannel channel;
  bool inventory_seen = false;
  bool same_host = false;  // 127.0.0.1 is the same for this worker and for the gateway
  std::map<std::uint64_t, std::shared_ptr<LogReader>> logs;

  /// The gateway dials 127.0.0.1 for whoever has a secret: one from another machine would lead to a stranger's port.
  void keep_near(wire::InstanceReport& report) const {
    if (!same_host) report.secret.clear();
  }
};

template <class T>
awaitable<Result<void>> send(std::shared_ptr<Session> session, MessageType type, T message) {
  std::string payload = wire::to_json(message);
  co_return co_await session->channel.write(
      static_cast<std::uint8_t>(type), std::move(payload), Deadline::in(kSendMax));
}

/// In words alone: a worker shows them as they are.
awaitable<void> turn_away(net::Exchange& exchange, int status, std::string_view words) {
  auto response = net::make_response(status, "text/plain; charset=utf-8", std::string(words));
  constexpr int kBusy = 503;
  if (status == kBusy) response.headers.set("Retry-After", "1");
  static_cast<void>(co_await exchange.respond(std::move(response)));
}

constexpr std::string_view kNoKey =
    "this is neither a join token nor a worker's key: make one with `berth worker token`";

awaitable<void> refuse(net::Exchange& exchange, Error error) {
  auto response = net::make_response(http_status(error.code), "application/problem+json", problem_json(error, ""));
  static_cast<void>(co_await exchange.respond(std::move(response)));
}

bool loopback(const std::string& peer) {
  return peer.starts_with("127.") || peer.starts_with("[::1]") || peer.starts_with("unix");
}

}  // namespace

std::optional<std::string> presented_key(const net::Request& request) {
  if (const auto value = request.headers.get("authorization")) {
    constexpr std::string_view kBearer = "bearer ";
    if (value->size() <= kBearer.size() || !equals_ignoring_case(value->substr(0, kBearer.size()), kBearer))
      return std::nullopt;
    return std::string(trim(value->substr(kBearer.size())));
  }
  if (const auto value = request.headers.get("x-api-key")) return std::string(*value);
  return std::nullopt;
}

struct WorkerLinks::State : std::enable_shared_from_this<State> {
  explicit State(LinkDeps d) : deps(std::move(d)), loopback(net::loopback_id()), tasks(deps.executor) {}

  LinkDeps deps;
  std::string loopback;
  std::map<std::string, std::shared_ptr<Session>> sessions;  // by worker id
  std::atomic<int> near = 0, far = 0;                        // sessions from this machine and from elsewhere
  std::uint64_t next_log = 1;
  std::size_t admitting = 0;
  net::TaskGroup tasks;

  awaitable<void> send_desired(std::string worker) {
    const auto at = sessions.find(worker);
    if (at == sessions.end() || !at->second->inventory_seen) co_return;
    auto session = at->second;
    wire::Desired desired = deps.reconciler.desired(worker);
    auto sent = co_await send(session, MessageType::kDesired, std::move(desired));
    if (!sent) session->channel.cancel();
  }

  awaitable<void> take(std::string worker, std::shared_ptr<Session> session, net::Frame frame) {
    const Time now = deps.clock.now();
    const auto type = static_cast<MessageType>(frame.type);
    if (type == MessageType::kLogChunk) {
      auto chunk = wire::from_json<wire::LogChunk>(frame.payload, wire::Strictness::kLenient);
      if (chunk) deliver(*session, std::move(*chunk));
      co_return;
    }
    // Nothing is dropped: while the reconciler is behind, this worker's connection is not read.
    while (!deps.reconciler.has_room(worker))
      if (!(co_await net::sleep_for(kRoomPoll)) || !session->channel.is_open()) co_return;
    if (type == MessageType::kInventory) {
      auto m = wire::from_json<wire::Inventory>(frame.payload, wire::Strictness::kLenient);
      if (!m) co_return bad(worker, m.error());
      session->inventory_seen = true;
      for (auto& report : m->instances) session->keep_near(report);
      deps.reconciler.inventory(worker, std::move(*m), now);
    } else if (type == MessageType::kHeartbeat) {
      auto m = wire::from_json<wire::Heartbeat>(frame.payload, wire::Strictness::kLenient);
      if (!m) co_return bad(worker, m.error());
      for (auto& report : m->instances) session->keep_near(report);
      deps.reconciler.heartbeat(worker, std::move(*m), now);
    } else if (type == MessageType::kReport) {
      auto m = wire::from_json<wire::InstanceReport>(frame.payload, wire::Strictness::kLenient);
      if (!m) co_return bad(worker, m.error());
      session->keep_near(*m);
      deps.reconciler.report(worker, std::move(*m), now);
    } else {
      co_return;  // a newer peer may say more
    }
    deps.wake();
    if (type == MessageType::kInventory) co_await send_desired(worker);
  }

  static void bad(const std::string& worker, const Error& error) {
    log::warn("worker message refused", {log::kv("worker", worker), log::kv("error", error.message)});
  }

  static void deliver(Session& session, wire::LogChunk chunk) {
    const auto at = session.logs.find(chunk.id);
    if (at == session.logs.end()) return;
    auto& reader = *at->second;
    if (reader.chunks.size() < kLogChunksQueuedMax || chunk.end) {
      if (reader.left_out > 0)
        chunk.text = fmt::format(
            "[berth: {} bytes of the log were left out here, they came faster than they were "
            "read]\n{}",
            std::exchange(reader.left_out, 0U),
            chunk.text);
      reader.chunks.push_back(std::move(chunk));
    } else {
      reader.left_out += chunk.text.size();
    }
    reader.ready.notify();
  }

  awaitable<Result<void>> run(std::shared_ptr<Session> session, std::string worker) {
    while (true) {
      auto frame = co_await session->channel.read(kWorkerSilenceMax);
      if (!frame) co_return frame.error();
      co_await take(worker, session, std::move(*frame));
    }
  }

  /// Whether a worker may show this key at all.
  [[nodiscard]] bool admits(const std::string& key) const {
    if (deps.reconciler.worker_by_digest(deps.auth.digest(key))) return true;
    const auto principal = deps.auth.check(key);
    return principal && principal->may(kScopeJoin);
  }

  /// Who is this? A join key makes a worker, a worker's own key finds it. Returns id and, after a join, the new key.
  struct Joined {
    std::string worker;
    std::string key;
  };
  Result<Joined> admit(const std::string& key, const wire::Hello& hello) const {
    const std::string digest = deps.auth.digest(key);
    if (const auto known = deps.reconciler.worker_by_digest(digest)) {
      wire::Hello own = hello;
      own.worker_id = *known;
      TRY(auto id, deps.reconciler.join(own, "", deps.clock.now()));
      return Joined{id, ""};
    }
    const auto principal = deps.auth.check(key);
    if (!principal || !principal->may(kScopeJoin)) return fail(Code::kUnauthenticated, std::string(kNoKey));
    Joined joined{.worker = "", .key = Auth::fresh_key("wk")};
    TRY(joined.worker, deps.reconciler.join(hello, deps.auth.digest(joined.key), deps.clock.now()));
    return joined;
  }
};

WorkerLinks::WorkerLinks(LinkDeps deps) : state_(std::make_shared<State>(std::move(deps))) {}
WorkerLinks::~WorkerLinks() = default;

awaitable<void> WorkerLinks::control(net::Exchange& exchange) {
  auto state = state_;
  const auto key = presented_key(exchange.request());
  if (!key || !state->admits(*key)) co_return co_await turn_away(exchange, 401, kNoKey);
  if (state->admitting >= kAdmittingMax)
    co_return co_await turn_away(exchange, 503, "too many workers are joining at this moment");
  const std::string peer = exchange.peer();
  ++state->admitting;
  auto stream = co_await exchange.upgrade(std::string(wire::kControlUpgrade));
  auto session = stream ? std::make_shared<Session>(net::FrameChannel(std::move(*stream))) : nullptr;
  Result<net::Frame> first = fail(Code::kUnavailable, "no connection");
  if (session) {
    awaitable<Result<net::Frame>> hello_frame = session->channel.read(kHelloMax, kHelloBytesMax);
    first = co_await net::within(Deadline::in(kHelloMax), std::move(hello_frame));
  }
  --state->admitting;
  if (!first || first->type != static_cast<std::uint8_t>(MessageType::kHello)) co_return;
  auto hello = wire::from_json<wire::Hello>(first->payload, wire::Strictness::kLenient);
  Result<State::Joined> joined = fail(Code::kInvalid, "hello was not understood");
  if (hello) {
    std::function<Result<State::Joined>()> job = [state, &key, &hello] { return state->admit(*key, *hello); };
    joined = co_await state->deps.pool.run<State::Joined>(std::move(job));
  }
  if (!joined) {
    wire::Refused refused{.code = std::string(code_name(joined.error().code)), .message = joined.error().message};
    static_cast<void>(co_await send(session, MessageType::kRefused, std::move(refused)));
    co_return;
  }
  const std::string worker = joined->worker;
  session->same_host = loopback(peer) && !hello->loopback.empty() && hello->loopback == state->loopback;
  state->sessions[worker] = session;
  state->deps.on_here(worker);
  auto& count = session->same_host ? state->near : state->far;
  ++count;
  wire::Welcome welcome{.worker_id = worker,
                        .worker_key = joined->key,
                        .heartbeat_ms = static_cast<std::uint32_t>(controllers::kHeartbeatEvery.count()),
                        .same_host = session->same_host};
  auto welcomed = co_await send(session, MessageType::kWelcome, std::move(welcome));
  if (welcomed) {
    auto ended = co_await state->run(session, worker);
    log::info("worker connection ended", {log::kv("worker", worker), log::kv("why", ended.error().message)});
  }
  const auto at = state->sessions.find(worker);
  const bool replaced = at != state->sessions.end() && at->second != session;  // by a connection that is there
  if (at != state->sessions.end() && !replaced) state->sessions.erase(at);
  --count;
  for (auto& [id, reader] : session->logs) reader->ready.notify();
  session->logs.clear();
  session->channel.close();
  const Time now = state->deps.clock.now();
  state->deps.reconciler.disconnected(worker, now);
  if (!replaced) state->deps.on_gone(worker);
  state->deps.wake();
}

awaitable<void> WorkerLinks::data(net::Exchange& exchange) {
  auto state = state_;
  const auto key = presented_key(exchange.request());
  std::optional<std::string> worker;
  if (key) worker = state->deps.reconciler.worker_by_digest(state->deps.auth.digest(*key));
  if (!worker) co_return co_await turn_away(exchange, 401, "a worker's own key is needed");
  auto stream = co_await exchange.upgrade(std::string(wire::kDataUpgrade));
  if (!stream) co_return;
  state->deps.on_data(*worker, std::move(*stream));
}

bool WorkerLinks::all_on_this_machine() const { return state_->near > 0 && state_->far == 0; }

void WorkerLinks::notify(std::set<std::string> workers) {
  boost::asio::post(state_->deps.executor, [state = state_, workers = std::move(workers)] {
    for (const auto& worker : workers) {
      if (auto ok = state->tasks.spawn(state->send_desired(worker)); !ok)
        log::warn("desired state not sent", {log::kv("worker", worker), log::kv("error", ok.error().message)});
    }
  });
}

void WorkerLinks::end(std::set<std::string> workers) {
  boost::asio::post(state_->deps.executor, [state = state_, workers = std::move(workers)] {
    for (const auto& worker : workers)
      if (const auto at = state->sessions.find(worker); at != state->sessions.end()) at->second->channel.cancel();
  });
}

void WorkerLinks::request_data(const std::string& worker, std::uint32_t count) {
  boost::asio::post(state_->deps.executor, [state = state_, worker, count] {
    const auto at = state->sessions.find(worker);
    if (at == state->sessions.end()) return;
    wire::OpenData open{.count = count};
    auto asked = [](std::shared_ptr<Session> session, wire::OpenData message) -> awaitable<void> {
      auto sent = co_await send(session, MessageType::kOpenData, message);
      if (!sent) session->channel.cancel();
    };
    if (auto ok = state->tasks.spawn(asked(at->second, open)); !ok)
      log::warn("data connections not asked for", {log::kv("worker", worker)});
  });
}

awaitable<void> WorkerLinks::logs(
    net::Exchange& exchange, std::string instance_id, std::string worker_id, std::uint32_t tail, bool follow) {
  auto state = state_;
  const auto at = state->sessions.find(worker_id);
  if (at == state->sessions.end())
    co_return co_await refuse(exchange,
                              fail(Code::kUnavailable, "the instance's worker is not connected: its log is there"));
  auto session = at->second;
  if (session->logs.size() >= kLogReadersMax)
    co_return co_await refuse(exchange, fail(Code::kRateLimited, "too many log readers on this worker"));
  const std::uint64_t id = state->next_log++;
  auto reader = std::make_shared<LogReader>(exchange.executor());
  session->logs.emplace(id, reader);
  wire::LogRequest request{.id = id, .instance = instance_id, .tail_lines = tail, .follow = follow};
  auto asked = co_await send(session, MessageType::kLogRequest, request);
  bool begun = false, ended = !asked;
  while (!ended) {
    while (!reader->chunks.empty() && !ended) {
      auto chunk = std::move(reader->chunks.front());
      reader->chunks.pop_front();
      if (!begun && !chunk.error.empty()) {
        session->logs.erase(id);
        co_return co_await refuse(exchange, fail(Code::kNotFound, chunk.error));
      }
      if (!begun) {
        auto head = net::make_response(200, "text/plain; charset=utf-8", "");
        ended = !(co_await exchange.start_stream(std::move(head)));
        begun = true;
      }
      if (!ended && !chunk.text.empty()) ended = !(co_await exchange.write(chunk.text));
      ended = ended || chunk.end;
    }
    if (ended || !session->channel.is_open() || !session->logs.contains(id)) break;
    const bool woken = co_await reader->ready.wait(Deadline::in(net::Millis(1000)));
    if (!woken && (exchange.client_gone() || exchange.draining())) break;
  }
  if (session->logs.erase(id) > 0 && follow) {
    request.cancel = true;
    static_cast<void>(co_await send(session, MessageType::kLogRequest, request));
  }
  if (!begun) co_return co_await refuse(exchange, fail(Code::kUnavailable, "the worker's connection ended"));
  static_cast<void>(co_await exchange.finish());
}

void WorkerLinks::stop() {
  for (auto& [worker, session] : state_->sessions) session->channel.cancel();
  state_->tasks.cancel();
}

}  // namespace berth::api
