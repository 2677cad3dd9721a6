#pragma once
// Answers in the shapes that clients of OpenAI's API understand. Pure.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/ports.h"
#include "net/http_types.h"

namespace berth::gateway {

/// After how long a client that was refused for load may try again.
constexpr std::chrono::seconds kOverloadRetry{1};

/// {"error":{"message","type","param","code"}} with its status.
struct ApiError {
  int status = 500;
  std::string message;
  std::string type;   // empty: by the status
  std::string param;  // empty: null
  std::string code;   // empty: null
  std::optional<std::chrono::seconds> retry_after;
  bool should_retry = true;  // false: the same request would fail again (x-should-retry)
};

std::string error_json(const ApiError& error);
/// One SSE event that carries the error.
std::string error_event(const ApiError& error);
net::Response error_response(const ApiError& error);
/// What an engine answered with `status` ≥ 400, made to fit the shape whatever the engine is. Its own text is kept.
ApiError engine_error(int status, std::string_view body);

/// The list of all routes with something ready.
std::string models_json(const RouteTable& table);
std::string model_json(std::string_view name, const RouteEntry& entry);
/// 404 that names the model and what there is instead.
ApiError model_not_found(std::string_view model, const RouteTable& table);
/// 503 that says what the route waits for.
ApiError not_ready(std::string_view model, const RouteEntry& entry);
/// 503 after each of the instances that were asked refused, the last one for `why`; no engine saw the request.
ApiError all_refused(std::string_view model, std::size_t asked, const Target& last, std::string_view why);

}  // namespace berth::gateway
