#include "gateway/detail/call.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "wire/messages.h"

namespace berth::gateway {
namespace {

/// Of what a client sends, engines see these fields and no other.
constexpr std::string_view kForwarded[] = {"accept", "traceparent", "tracestate"};
constexpr std::string_view kForwardedPrefix = "openai-";
constexpr std::size_t kInstancesAskedMax = 16;  // for one request

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

ApiError failure(const Error& error, const Target& target, bool worker_lost = false) {
  const bool late = error.code == Code::kTimeout || worker_lost;
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

/// An instance that no engine's work was lost on is passed over, and the next; a request that an engine may have begun
/// goes to one other and no further, for it may be what ends engines.
net::awaitable<void> Call::forward(const RouteEntry& entry) {
  build_request();
  std::vector<std::string> asked;
  std::optional<Refused> last;
  Target at;
  bool begun = false;
  std::size_t count = 0;
  while (count < kInstancesAskedMax) {
    auto lease = state_.balancer.pick(entry.ready, asked, std::chrono::steady_clock::now());
    if (!lease) break;
    at = lease->target();
    ++count;
    asked.push_back(at.instance);
    if (last) state_.metrics.retries.fetch_add(1, std::memory_order_relaxed);
    last = co_await attempt(at);
    if (!last) co_return;
    if (!last->untouched && std::exchange(begun, true)) break;
    for (const Target& other : entry.ready)
      if (last->worker_lost && other.worker == at.worker) asked.push_back(other.instance);
  }
  ASSERT(last);  // something was ready
  if (!last) co_return;
  aborted_ = forwarded_;
  if (last->untouched) co_return co_await answer_error(all_refused(fields_.model, count, at, last->why));
  co_await answer_error(std::move(last->error));
}

net::awaitable<std::optional<Call::Refused>> Call::attempt(const Target& target) {
  Upstream upstream(state_, target, request_, exchange_.executor());
  const bool seen_before = forwarded_;
  const Result<void> opened = co_await upstream.open();
  Result<const net::Response*> head = fail(Code::kInternal, "not asked");
  if (opened) {
    forwarded_ = true;
    head = co_await wait_head(upstream);
  } else {
    head = opened.error();
  }
  Refused refused;
  bool others_may = true;
  if (head) {
    if (target.direct || !(*head)->headers.get(wire::kRefusedHeader)) {
      co_await relay_answer(upstream, **head);
      co_return std::nullopt;
    }
    refused = co_await read_refusal(upstream, **head, target);
  } else {
    const Error& error = head.error();
    refused = {.error = failure(error, target, upstream.worker_lost()), .why = error.message};
    refused.worker_lost = upstream.worker_lost();
    // A connection that did not come in time cost the client its wait: as dear as an engine that had begun.
    refused.untouched = !opened && error.code != Code::kTimeout;
    others_may = !opened || (error.code == Code::kUnavailable && upstream.unanswered());
  }
  if (exchange_.client_gone() || (!head && head.error().code == Code::kCancelled)) {
    aborted_ = true;
    co_return std::nullopt;
  }
  log::warn("instance did not take a request",
            {log::kv("instance", target.instance),
             log::kv("route", target.route),
             log::kv("request_id", given_.request_id),
             log::kv("error", refused.why)});
  if (!opened || refused.untouched || refused.worker_lost) {
    state_.balancer.eject(target, std::chrono::steady_clock::now() + state_.options.eject_for);
    state_.metrics.ejections.fetch_add(1, std::memory_order_relaxed);
  }
  if (refused.untouched) forwarded_ = seen_before;
  if (others_may) co_return refused;
  aborted_ = true;
  co_await answer_error(std::move(refused.error));
  co_return std::nullopt;
}

net::awaitable<void> Call::relay_answer(Upstream& upstream, const net::Response& head) {
  request_.body = {};
  body_held_.clear();
  const int status = head.status;
  std::string type(head.headers.get("content-type").value_or("application/json"));
  const bool events = fields_.stream && status < 300 && to_lower(type).starts_with("text/event-stream");
  if (events) {
    co_await relay_events(upstream);
  } else {
    co_await relay_whole(upstream, status, std::move(type));
  }
}

net::awaitable<Call::Refused> Call::read_refusal(Upstream& upstream, const net::Response& head, const Target& target) {
  const int status = head.status;
  Refused refused{.untouched = head.headers.get(wire::kRefusedHeader) == wire::kRefusedUntouched};
  const auto body = co_await read_whole(upstream);
  if (body) upstream.keep();
  refused.why = engine_error(status, body.value_or("")).message;
  const Error error{.code = Code::kUnavailable, .message = refused.why};
  refused.error = failure(error, target);
  co_return refused;
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
    const bool late = body.error().code == Code::kTimeout || upstream.worker_lost();
    ApiError broken{.status = late ? 504 : 502, .code = "engine_error"};
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
