#include "worker/agent/relay.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "wire/messages.h"

namespace berth::worker {
namespace {

using net::Deadline;

/// About this connection and not the request, or berth's own: never passed on. Framing fields are the writers' own.
bool passes(std::string_view name) {
  constexpr std::array<std::string_view, 10> kOwn = {"connection",
                                                     "keep-alive",
                                                     "te",
                                                     "trailer",
                                                     "upgrade",
                                                     "proxy-connection",
                                                     "proxy-authenticate",
                                                     "proxy-authorization",
                                                     "expect",
                                                     "server"};
  constexpr std::string_view kOurs = "berth-";
  if (name.size() >= kOurs.size() && equals_ignoring_case(name.substr(0, kOurs.size()), kOurs)) return false;
  return std::none_of(kOwn.begin(), kOwn.end(), [&](std::string_view own) { return equals_ignoring_case(name, own); });
}

net::HeaderList filtered(const net::HeaderList& from) {
  net::HeaderList out;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (passes(from[i].name)) out.add(from[i].name, from[i].value);
  return out;
}

net::Request request_for(const net::Request& asked, const Endpoint& engine) {
  net::Request request{.method = asked.method, .target = asked.target};
  request.headers = filtered(asked.headers);
  request.headers.remove("host");  // an engine that checks names knows itself by its address
  request.headers.remove("authorization");
  request.headers.remove("x-api-key");
  if (!engine.secret.empty()) request.headers.set("Authorization", "Bearer " + engine.secret);
  return request;
}

/// All of it constants of this file: nothing to escape.
struct Refusal {
  int status = 502;
  std::string_view code;
  std::string_view message;
  std::string_view mark;  // Berth-Refused; empty: the gateway passes it on as an answer
};

constexpr Refusal kNotReady{.status = 404,
                            .code = "instance_not_ready",
                            .message = "the instance named in Berth-Instance is not ready here",
                            .mark = wire::kRefusedUntouched};
constexpr Refusal kTooLarge{
    .status = 413, .code = "too_large", .message = "the request body is larger than this worker passes on", .mark = ""};
constexpr Refusal kNoAnswer{
    .status = 502, .code = "engine_unavailable", .message = "the engine of this instance does not answer", .mark = ""};

net::awaitable<void> refuse(net::Exchange& exchange, Refusal refusal) {
  net::Response response = net::make_response(
      refusal.status,
      "application/json",
      fmt::format(
          R"({{"error":{{"message":"{}","type":"berth_worker","code":"{}"}}}})", refusal.message, refusal.code));
  if (!refusal.mark.empty()) response.headers.set(wire::kRefusedHeader, refusal.mark);
  const auto sent = co_await exchange.respond(std::move(response));
  if (!sent) log::debug("refusal not sent", {log::kv("error", sent.error().message)});
}

/// The answer, piece by piece. True when it ended in order and the engine's connection may be kept.
net::awaitable<bool> pass_answer(net::Exchange& exchange, net::ClientConnection& engine, const net::Response& answer) {
  net::Response head{.status = answer.status, .reason = answer.reason};
  head.headers = filtered(answer.headers);
  if (!co_await exchange.start_stream(std::move(head))) co_return false;
  for (;;) {
    const auto piece = co_await engine.read_some(Deadline::in(kEngineSilenceMax));
    if (!piece) co_return false;  // the stream is broken off, so that the gateway can tell
    if (piece->empty()) break;
    if (!co_await exchange.write(*piece)) co_return false;
  }
  const auto finished = co_await exchange.finish();
  co_return finished.has_value() && engine.reusable();
}

}  // namespace

std::optional<net::ClientConnection> Relay::take(const std::string& instance, std::uint16_t port) {
  const auto at = kept_.find(instance);
  if (at == kept_.end()) return std::nullopt;
  if (at->second.port != port) at->second.idle.clear();
  std::optional<net::ClientConnection> found;
  while (!found && !at->second.idle.empty()) {
    net::ClientConnection last = std::move(at->second.idle.back());
    at->second.idle.pop_back();
    if (last.idle_healthy()) found = std::move(last);
  }
  if (at->second.idle.empty()) kept_.erase(at);
  return found;
}

void Relay::keep(const std::string& instance, std::uint16_t port, net::ClientConnection connection) {
  if (!kept_.contains(instance) && kept_.size() >= kEnginesKeptMax) return;
  Kept& kept = kept_[instance];
  if (kept.port != port) kept.idle.clear();
  kept.port = port;
  if (kept.idle.size() < kEngineIdleMax) kept.idle.push_back(std::move(connection));
}

void Relay::prune() {
  std::erase_if(kept_, [this](const auto& entry) {
    const auto engine = find_(entry.first);
    return !engine || engine->port != entry.second.port;
  });
}

std::size_t Relay::kept() const {
  std::size_t count = 0;
  for (const auto& [instance, kept] : kept_) count += kept.idle.size();
  return count;
}

net::awaitable<Result<net::ClientConnection>> Relay::connect(std::uint16_t port) {
  CO_TRY(net::Stream stream, co_await net::connect_tcp("127.0.0.1", port, Deadline::in(kEngineConnectMax)));
  co_return net::ClientConnection(std::move(stream), fmt::format("127.0.0.1:{}", port));
}

net::awaitable<Result<Relay::Asked>> Relay::head_of(net::ClientConnection connection, Progress& progress) {
  const auto head = co_await connection.read_head(Deadline::in(kEngineSilenceMax));
  progress.answered = !connection.unanswered();
  if (!head) co_return head.error();
  co_return Asked{.connection = std::move(connection), .head = *head};
}

/// A whole request; on a kept connection that turns out to be closed it goes out again on a fresh one.
net::awaitable<Result<Relay::Asked>> Relay::ask(const std::string& instance,
                                                std::uint16_t port,
                                                const net::Request& request,
                                                Progress& progress) {
  if (auto kept = take(instance, port)) {
    progress.sent = true;
    const auto sent = co_await kept->send(request, Deadline::in(kEngineSendMax));
    if (sent) {
      auto asked = co_await head_of(std::move(*kept), progress);
      if (asked || asked.error().code != Code::kUnavailable || progress.answered) co_return asked;
    } else if (sent.error().code != Code::kUnavailable) {
      co_return sent.error();
    }
  }
  CO_TRY(net::ClientConnection fresh, co_await connect(port));
  progress.sent = true;
  CO_TRY_VOID(co_await fresh.send(request, Deadline::in(kEngineSendMax)));
  co_return co_await head_of(std::move(fresh), progress);
}

/// A large body goes through in pieces, and cannot be sent twice: always on a fresh connection.
net::awaitable<Result<Relay::Asked>> Relay::ask_streaming(net::Exchange& exchange,
                                                          std::uint16_t port,
                                                          const net::Request& request,
                                                          Progress& progress) {
  CO_TRY(net::ClientConnection fresh, co_await connect(port));
  progress.sent = true;
  CO_TRY_VOID(co_await fresh.start(request, exchange.body_length(), Deadline::in(kEngineSendMax)));
  for (;;) {
    CO_TRY(const std::string_view piece, co_await exchange.read_some());
    if (piece.empty()) break;
    CO_TRY_VOID(co_await fresh.write(piece, Deadline::in(kEngineSendMax)));
  }
  CO_TRY_VOID(co_await fresh.finish(Deadline::in(kEngineSendMax)));
  co_return co_await head_of(std::move(fresh), progress);
}

net::awaitable<Result<Relay::Asked>> Relay::forward(net::Exchange& exchange,
                                                    const std::string& instance,
                                                    const Endpoint& engine,
                                                    Progress& progress) {
  net::Request request = request_for(exchange.request(), engine);
  const auto length = exchange.body_length();
  if (!length || *length > kReplayBytesMax) {
    co_return co_await ask_streaming(exchange, engine.port, request, progress);
  }
  CO_TRY(request.body, co_await exchange.read_body(kReplayBytesMax));
  co_return co_await ask(instance, engine.port, request, progress);
}

net::awaitable<void> Relay::serve(net::Exchange& exchange) {
  const std::string instance(exchange.request().headers.get(wire::kInstanceHeader).value_or(""));
  const std::optional<Endpoint> engine = find_(instance);
  if (!engine) {
    co_return co_await refuse(exchange, kNotReady);
  }
  Progress progress;
  auto asked = co_await forward(exchange, instance, *engine, progress);
  if (!asked) {
    if (exchange.client_gone() || asked.error().code == Code::kCancelled) co_return;
    if (asked.error().code == Code::kTooLarge) {
      co_return co_await refuse(exchange, kTooLarge);
    }
    log::warn("engine did not answer", {log::kv("instance", instance), log::kv("error", asked.error().message)});
    Refusal refusal = kNoAnswer;
    if (!progress.sent) {
      refusal.mark = wire::kRefusedUntouched;
    } else if (asked.error().code == Code::kUnavailable && !progress.answered) {
      refusal.mark = wire::kRefusedUnanswered;
    }
    co_return co_await refuse(exchange, refusal);
  }
  const bool reusable = co_await pass_answer(exchange, asked->connection, *asked->head);
  if (reusable) keep(instance, engine->port, std::move(asked->connection));
}

}  // namespace berth::worker
