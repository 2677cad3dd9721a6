#include "gateway/gateway.h"

#include <fmt/format.h>
#include <optional>
#include <random>

#include "base/log.h"
#include "base/text.h"
#include "gateway/detail/answers.h"
#include "gateway/detail/call.h"
#include "gateway/detail/state.h"

namespace berth::gateway {
namespace {

constexpr std::string_view kModels = "/v1/models";
constexpr std::size_t kRequestIdBytesMax = 128;

std::optional<Surface> surface_of(std::string_view path) {
  for (const Surface surface : {Surface::kChat, Surface::kCompletions, Surface::kEmbeddings}) {
    if (path == path_of(surface)) return surface;
  }
  return std::nullopt;
}

bool is_model_path(std::string_view path) { return path.starts_with("/v1/models/") && path.size() > 11; }

/// For telling requests apart in logs, not for secrets.
std::string new_request_id() {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return fmt::format("req_{:016x}{:016x}", random(), random());
}

/// The client's own id when it is harmless in headers and logs, else a new one.
std::string request_id_of(const net::Request& request) {
  const auto given = request.headers.get("x-request-id");
  if (!given || given->empty() || given->size() > kRequestIdBytesMax) return new_request_id();
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=";
  if (given->find_first_not_of(kAllowed) != std::string_view::npos) return new_request_id();
  return std::string(*given);
}

/// The key of `Authorization: Bearer KEY`; absent without one or when it is ambiguous.
std::optional<std::string_view> presented_key(const net::Request& request) {
  constexpr std::string_view kScheme = "bearer ";
  if (request.headers.count("authorization") != 1) return std::nullopt;
  const std::string_view value = request.headers.get("authorization").value_or("");
  if (value.size() <= kScheme.size() || !equals_ignoring_case(value.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  return trim(value.substr(kScheme.size()));
}

/// The key, or why it does not open this door.
tl::expected<KeyInfo, ApiError> authenticate(const KeyCheck& keys, const net::Request& request) {
  const auto presented = presented_key(request);
  ApiError refused{.status = 401, .code = "invalid_api_key"};
  refused.should_retry = false;
  if (!presented) {
    refused.message = "no API key was given: send it as 'Authorization: Bearer KEY'";
    return tl::unexpected(std::move(refused));
  }
  auto info = keys.check(*presented);
  if (!info) {
    refused.message = "the API key is not known here, or it has expired or was revoked";
    return tl::unexpected(std::move(refused));
  }
  for (const std::string& scope : info->scopes) {
    if (scope == kInferenceScope) return std::move(*info);
  }
  refused = {.status = 403, .code = "insufficient_scope"};
  refused.message = fmt::format("the API key lacks the scope '{}'", kInferenceScope);
  refused.should_retry = false;
  return tl::unexpected(std::move(refused));
}

net::Response method_refused(std::string_view path, std::string_view allowed) {
  ApiError error{.status = 405, .message = fmt::format("{} answers {} only", path, allowed)};
  error.should_retry = false;
  net::Response response = error_response(error);
  response.headers.set("Allow", allowed);
  return response;
}

net::Response models_answer(const RouteTable& table, std::string_view path) {
  if (path == kModels) return net::make_response(200, "application/json", models_json(table));
  const auto name = net::percent_decode(path.substr(kModels.size() + 1));
  if (!name || !is_utf8(*name)) {
    ApiError error{.status = 400, .message = "the model's name in the path is not valid", .param = "model"};
    error.should_retry = false;
    return error_response(error);
  }
  const auto found = table.routes.find(*name);
  if (found == table.routes.end()) return error_response(model_not_found(*name, table));
  if (found->second.ready.empty()) return error_response(not_ready(*name, found->second));
  return net::make_response(200, "application/json", model_json(*name, found->second));
}

/// What can be said without a body; absent for a request to be forwarded.
std::optional<net::Response> early_answer(const Gateway::State& state,
                                          const net::Request& request,
                                          const std::optional<Surface>& surface,
                                          KeyInfo& key) {
  const std::string_view path = request.path();
  if (!Gateway::owns(path)) {
    ApiError error{.status = 404, .message = fmt::format("there is no {} here", printable(path)), .code = "not_found"};
    error.should_retry = false;
    return error_response(error);
  }
  auto known = authenticate(state.ports.keys, request);
  if (!known) return error_response(known.error());
  key = std::move(*known);
  if (!surface) {
    if (request.method != "GET") return method_refused(path, "GET");
    return models_answer(*state.ports.routes.routes(), path);
  }
  if (request.method != "POST") return method_refused(path, "POST");
  if (state.metrics.in_flight.load(std::memory_order_relaxed) > state.options.in_flight_max) {
    ApiError error{.status = 503, .code = "overloaded", .retry_after = kOverloadRetry};
    error.message = fmt::format("{} requests are under way, the limit: try again", state.options.in_flight_max);
    return error_response(error);
  }
  return std::nullopt;
}

}  // namespace

Gateway::Gateway(Ports ports, Options options) : state_(std::make_unique<State>(ports, options)) {}
Gateway::~Gateway() = default;

bool Gateway::owns(std::string_view path) { return path == kModels || is_model_path(path) || surface_of(path); }

const Metrics& Gateway::metrics() const { return state_->metrics; }

net::awaitable<void> Gateway::handle(net::Exchange& exchange) {
  State& state = *state_;
  state.metrics.requests.fetch_add(1, std::memory_order_relaxed);
  const Held in_flight(state.metrics.in_flight, 1);
  const net::Request& request = exchange.request();
  const std::string request_id = request_id_of(request);
  KeyInfo key;
  const std::optional<Surface> surface = surface_of(request.path());
  auto early = early_answer(state, request, surface, key);
  ASSERT(early || surface);  // every path that is no surface was answered
  if (early || !surface) {
    const Result<void> sent = co_await send_answer(state, exchange, request_id, std::move(*early));
    if (!sent) log::debug("answer not sent", {log::kv("request_id", request_id), log::kv("why", sent.error().message)});
    co_return;
  }
  Call::Given given{.surface = *surface, .key = std::move(key), .request_id = request_id};
  Call call(state, exchange, std::move(given));
  co_await call.run();
  if (!exchange.client_gone()) co_return;
  state.metrics.aborted.fetch_add(1, std::memory_order_relaxed);
  if (!exchange.responded()) state.metrics.count_answer(499);
}

net::awaitable<void> Gateway::refuse(net::Exchange& exchange, const Error& error) {
  ApiError answer{
      .status = http_status(error.code), .message = error.message, .code = std::string(code_name(error.code))};
  answer.should_retry = false;
  const std::string request_id = request_id_of(exchange.request());
  static_cast<void>(co_await send_answer(*state_, exchange, request_id, error_response(answer)));
}

}  // namespace berth::gateway
