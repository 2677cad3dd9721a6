#include "gateway/detail/call.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"

namespace berth::gateway {
namespace {

/// Of what a client sends, engines see these fields and no other.
constexpr std::string_view kForwarded[] = {"accept", "traceparent", "tracestate"};
constexpr std::string_view kForwardedPrefix = "openai-";

std::string_view task_of(Surface surface) { return surface == Surface::kEmbeddings ? "embed" : "generate"; }

ApiError body_error(const Error& error) {
  switch (error.code) {
    case Code::kTooLarge:
      return {.status = 413, .message = error.message, .code = "request_too_large", .should_retry = false};
    case Code::kTimeout:
      return {.status = 408, .message = error.message};
    case Code::kUnavailable:
      return {.status = 503, .message = error.message, .code = "overloaded", .retry_after = kOverloadRetry};
    default:
      return {.status = 400, .message = error.message};
  }
}

ApiError failure(const Error& error, const Target& target) {
  const bool late = error.code == Code::kTimeout;
  return {.status = late ? 504 : 502,
          .message = fmt::format("instance {} of model '{}' {}: {}",
                                 target.instance,
                                 target.route,
                                 late ? "did not answer in time" : "failed before it answered",
                                 error.message),
          .code = late ? "engine_timeout" : "engine_error"};
}

}  // namespace

net::awaitable<Result<void>> send_answer(Gateway::State& state,
                                         net::Exchange& exchange,
                                         std::string request_id,
                                         net::Response response) {
  response.headers.set("x-request-id", request_id);
  state.metrics.count_answer(response.status);
  state.metrics.bytes_out.fetch_add(response.body.size(), std::memory_order_relaxed);
  co_return co_await exchange.respond(std::move(response));
}

Call::Call(Gateway::State& state, net::Exchange& exchange, Given given)
    : state_(state), exchange_(exchange), given_(std::move(given)), body_held_(state.metrics.body_bytes_held) {}

Call::~Call() {
  if (!forwarded_) return;
  Usage usage{.key_id = given_.key.id, .model = fields_.model, .aborted = aborted_, .counted = counts_.has_value()};
  usage.prompt_tokens = counts_ ? counts_->prompt : 0;
  usage.completion_tokens = counts_ ? counts_->completion : pieces_;
  state_.metrics.prompt_tokens.fetch_add(usage.prompt_tokens, std::memory_order_relaxed);
  state_.metrics.completion_tokens.fetch_add(usage.completion_tokens, std::memory_order_relaxed);
  state_.ports.ledger.add(usage);
}

net::awaitable<void> Call::run() {
  const Result<void> read = co_await read_body();
  if (!read) {
    if (exchange_.client_gone() || read.error().code == Code::kCancelled) co_return;
    co_return co_await answer_error(body_error(read.error()));
  }
  auto fields = read_control_fields(request_.body);
  if (!fields) {
    BodyProblem& problem = fields.error();
    ApiError refused{.status = 400, .message = std::move(problem.message), .param = std::move(problem.param)};
    refused.should_retry = false;
    co_return co_await answer_error(std::move(refused));
  }
  fields_ = std::move(*fields);
  if (given_.surface == Surface::kEmbeddings) fields_.stream = false;

  const std::shared_ptr<const RouteTable> table = state_.ports.routes.routes();
  const auto found = table->routes.find(fields_.model);
  if (found == table->routes.end()) co_return co_await answer_error(model_not_found(fields_.model, *table));
  const RouteEntry& entry = found->second;
  if (entry.task != task_of(given_.surface)) {
    std::string message = fmt::format("the model '{}' is deployed for the task '{}' and does not serve {}",
                                      fields_.model,
                                      entry.task,
                                      path_of(given_.surface));
    ApiError wrong{.status = 400, .message = std::move(message), .param = "model", .code = "wrong_task"};
    wrong.should_retry = false;
    co_return co_await answer_error(std::move(wrong));
  }
  if (entry.ready.empty()) co_return co_await answer_error(not_ready(fields_.model, entry));
  co_await forward(entry);
}

net::awaitable<Result<void>> Call::read_body() {
  const std::size_t most = state_.options.body_max;
  const auto too_large = [most] {
    return fail(Code::kTooLarge, fmt::format("the request body is larger than {} bytes, the limit", most));
  };
  if (exchange_.body_length().value_or(0) > most) co_return too_large();
  for (;;) {
    CO_TRY(const std::string_view piece, co_await exchange_.read_some());
    if (piece.empty()) break;
    if (request_.body.size() + piece.size() > most) co_return too_large();
    body_held_.add(piece.size());
    if (state_.metrics.body_bytes_held.load(std::memory_order_relaxed) > state_.options.bodies_held_max) {
      co_return fail(Code::kUnavailable, "too many request bodies are held in memory, try again");
    }
    request_.body.append(piece);
  }
  state_.metrics.bytes_in.fetch_add(request_.body.size(), std::memory_order_relaxed);
  co_return Result<void>{};
}

void Call::build_request() {
  request_.method = "POST";
  request_.target = path_of(given_.surface);
  request_.headers.set("Content-Type", "application/json");
  const net::HeaderList& from = exchange_.request().headers;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const net::HeaderList::View field = from[i];
    const std::string name = to_lower(field.name);
    bool allowed = name.starts_with(kForwardedPrefix);
    for (const std::string_view known : kForwarded) allowed = allowed || name == known;
    if (allowed) request_.headers.add(name, field.value);
  }
  request_.headers.set("x-request-id", given_.request_id);
  if (fields_.stream && !fields_.wants_usage()) switch_usage_on(request_.body, fields_.usage);
}

net::awaitable<void> Call::forward(const RouteEntry& entry) {
  build_request();
  std::string avoid;
  for (bool last = false;; last = true) {
    auto lease = state_.balancer.pick(entry.ready, avoid, std::chrono::steady_clock::now());
    if (!lease) co_return;  // never on the first round, and later only after an answer
    avoid = lease->target().instance;
    if (last) state_.metrics.retries.fetch_add(1, std::memory_order_relaxed);
    const bool no_other = last || entry.ready.size() < 2;
    if (co_await attempt(lease->target(), no_other)) co_return;
  }
}

net::awaitable<bool> Call::attempt(const Target& target, bool last) {
  Upstream upstream(state_, target, request_, exchange_.executor());
  const Result<void> opened = co_await upstream.open();
  Error error;
  if (opened) {
    forwarded_ = true;
    const auto head = co_await wait_head(upstream);
    if (head) {
      request_.body = {};
      body_held_.clear();
      const int status = (*head)->status;
      std::string type((*head)->headers.get("content-type").value_or("application/json"));
      const bool events = fields_.stream && status < 300 && to_lower(type).starts_with("text/event-stream");
      if (events) {
        co_await relay_events(upstream);
      } else {
        co_await relay_whole(upstream, status, std::move(type));
      }
      co_return true;
    }
    error = head.error();
  } else {
    error = opened.error();
  }
  if (exchange_.client_gone() || error.code == Code::kCancelled) {
    aborted_ = true;
    co_return true;
  }
  log::warn("engine did not answer",
            {log::kv("instance", target.instance),
             log::kv("route", target.route),
             log::kv("request_id", given_.request_id),
             log::kv("error", error.message)});
  const bool refused_work = !opened || (error.code == Code::kUnavailable && upstream.unanswered());
  if (!opened) {
    state_.balancer.eject(target, std::chrono::steady_clock::now() + state_.options.eject_for);
    state_.metrics.ejections.fetch_add(1, std::memory_order_relaxed);
  }
  if (refused_work && !last) co_return false;
  aborted_ = true;
  co_await answer_error(failure(error, target));
  co_return true;
}

net::awaitable<Result<const net::Response*>> Call::wait_head(Upstream& upstream) {
  const net::Deadline latest = net::Deadline::in(state_.options.first_byte_max);
  for (;;) {
    const net::Deadline step = fields_.stream ? latest.sooner(net::Deadline::in(state_.options.ping_every)) : latest;
    auto head = co_await upstream.read_head(step);
    const bool waiting = !head && head.error().code == Code::kTimeout && !latest.passed();
    if (!waiting) co_return head;
    // The prompt takes long: from here on the client has its answer begun, and errors come as events.
    CO_TRY_VOID(co_await start_events());
    const Result<void> sent = co_await exchange_.write(kPing);
    if (lost_client(sent)) co_return fail(Code::kCancelled, "the client left");
  }
}

net::awaitable<Result<std::string>> Call::read_whole(Upstream& upstream) {
  std::string body;
  for (;;) {
    CO_TRY(const std::string_view piece, co_await upstream.read_some(net::Deadline::in(state_.options.stall_max)));
    if (piece.empty()) co_return std::move(body);
    if (body.size() + piece.size() > state_.options.answer_max) {
      co_return fail(Code::kTooLarge, fmt::format("the answer is larger than {} bytes", state_.options.answer_max));
    }
    body.append(piece);
  }
}

net::awaitable<void> Call::relay_whole(Upstream& upstream, int status, std::string content_type) {
  auto body = co_await read_whole(upstream);
  if (!body) {
    aborted_ = true;
    if (exchange_.client_gone() || body.error().code == Code::kCancelled) co_return;
    ApiError broken{.status = body.error().code == Code::kTimeout ? 504 : 502, .code = "engine_error"};
    broken.message = "the engine broke its answer off: " + body.error().message;
    co_return co_await answer_error(std::move(broken));
  }
  upstream.keep();
  if (status >= 300) {
    forwarded_ = false;  // nothing was computed
    co_return co_await answer_error(engine_error(status, *body));
  }
  counts_ = read_answer(*body).usage;
  if (events_begun_) {
    ApiError odd{.status = 502, .message = "the engine did not answer with a stream", .code = "engine_error"};
    co_return co_await answer_error(std::move(odd));
  }
  net::Response response = net::make_response(status, content_type, std::move(*body));
  const Result<void> sent = co_await send_answer(state_, exchange_, given_.request_id, std::move(response));
  lost_client(sent);
}

net::awaitable<void> Call::answer_error(ApiError error) {
  if (!events_begun_) {
    net::Response response = error_response(error);
    const Result<void> sent = co_await send_answer(state_, exchange_, given_.request_id, std::move(response));
    lost_client(sent);
    co_return;
  }
  state_.metrics.streams_broken.fetch_add(1, std::memory_order_relaxed);
  const std::string event = error_event(error);
  Result<void> sent = co_await exchange_.write(event);
  if (sent) sent = co_await exchange_.finish();
  lost_client(sent);
}

net::awaitable<Result<void>> Call::start_events() {
  if (events_begun_) co_return Result<void>{};
  events_begun_ = true;
  net::Response head;
  head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("X-Accel-Buffering", "no");
  head.headers.add("x-request-id", given_.request_id);
  state_.metrics.count_answer(head.status);
  const Result<void> sent = co_await exchange_.start_stream(std::move(head));
  if (lost_client(sent)) co_return fail(Code::kCancelled, "the client left");
  co_return Result<void>{};
}

bool Call::lost_client(const Result<void>& sent) {
  if (sent) return false;
  aborted_ = true;
  return true;
}

}  // namespace berth::gateway
