#include "gateway/detail/answers.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"
#include "gateway/detail/json_scan.h"

namespace berth::gateway {
namespace {

constexpr std::size_t kNamesListedMax = 20;
constexpr std::size_t kEngineTextBytesMax = 2000;
constexpr std::chrono::seconds kNotReadyRetry{5};

std::string_view type_of(const ApiError& error) {
  if (!error.type.empty()) return error.type;
  if (error.status == 429) return "rate_limit_error";
  return error.status < 500 ? "invalid_request_error" : "server_error";
}

void append_or_null(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

bool ready(const RouteEntry& entry) { return !entry.ready.empty(); }

/// Cut at a character, so that it stays UTF-8.
std::string_view shortened(std::string_view text) {
  if (text.size() <= kEngineTextBytesMax) return text;
  std::size_t size = kEngineTextBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

/// Fills message, type, param and code from an object that describes an error, in any of the ways engines write it.
void read_error_object(std::string_view object, ApiError& error) {
  const OnMember on_member = [&error](const JsonMember& member) -> Result<void> {
    if (member.kind != JsonKind::kString) return {};
    auto text = decode_string(member.value);
    if (!text) return {};
    if (member.key == "message") error.message = std::move(*text);
    if (member.key == "type") error.type = std::move(*text);
    if (member.key == "param") error.param = std::move(*text);
    if (member.key == "code") error.code = std::move(*text);
    return {};
  };
  (void)scan_object(object, on_member).has_value();
}

bool speaks_of_context(const ApiError& error) {
  return error.type == "exceed_context_size_error" || error.code == "context_length_exceeded" ||
         error.message.find("maximum context length") != std::string::npos ||
         error.message.find("is too large to process") != std::string::npos ||  // llama-server: more than one batch
         error.message.find("is larger than the max context size") != std::string::npos;
}

}  // namespace

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, type_of(error));
  out += R"(,"param":)";
  append_or_null(out, error.param);
  out += R"(,"code":)";
  append_or_null(out, error.code);
  out += "}}";
  return out;
}

std::string error_event(const ApiError& error) { return fmt::format("data: {}\n\n", error_json(error)); }

net::Response error_response(const ApiError& error) {
  net::Response response = net::make_response(error.status, "application/json", error_json(error));
  if (error.retry_after) response.headers.set("Retry-After", std::to_string(error.retry_after->count()));
  if (!error.should_retry) response.headers.set("x-should-retry", "false");
  if (error.status == 401) response.headers.set("WWW-Authenticate", "Bearer");
  return response;
}

ApiError engine_error(int status, std::string_view body) {
  ApiError error{.status = status};
  bool nested = false;
  const OnMember on_member = [&](const JsonMember& member) -> Result<void> {
    if (member.key != "error") return {};
    nested = true;
    if (member.kind == JsonKind::kObject) read_error_object(member.value, error);
    if (member.kind == JsonKind::kString) error.message = decode_string(member.value).value_or("");
    return {};
  };
  const bool is_json = is_utf8(body) && scan_object(body, on_member).has_value();
  if (is_json && !nested) read_error_object(body, error);
  if (error.message.empty() && !is_json && is_utf8(body)) error.message = printable(shortened(trim(body)));
  if (error.message.empty()) error.message = fmt::format("the engine answered with status {}", status);
  if (speaks_of_context(error)) {
    if (status >= 500) {  // what the client sent is wrong, whatever the engine calls it
      error.status = 400;
      error.type = "invalid_request_error";
    }
    error.code = "context_length_exceeded";
    error.should_retry = false;
  }
  if (status == 401 || status == 403 || status == 407) {
    // The client's key was right; it is ours that the engine did not take.
    error = ApiError{.status = 502, .message = "the engine refused the gateway's credentials", .code = "engine_error"};
  }
  if (status == 429 || status == 503) error.retry_after = kNotReadyRetry;
  return error;
}

std::string model_json(std::string_view name, const RouteEntry& entry) {
  std::string out = R"({"id":)";
  append_json_string(out, name);
  const auto created = std::chrono::duration_cast<std::chrono::seconds>(entry.created.time_since_epoch()).count();
  fmt::format_to(
      std::back_inserter(out), R"(,"object":"model","created":{},"owned_by":"berth","berth":{{"task":)", created);
  append_json_string(out, entry.task);
  fmt::format_to(std::back_inserter(out), R"(,"ready_instances":{}}}}})", entry.ready.size());
  return out;
}

std::string models_json(const RouteTable& table) {
  std::string out = R"({"object":"list","data":[)";
  bool first = true;
  for (const auto& [name, entry] : table.routes) {
    if (!ready(entry)) continue;
    if (!first) out.push_back(',');
    first = false;
    out += model_json(name, entry);
  }
  out += "]}";
  return out;
}

ApiError model_not_found(std::string_view model, const RouteTable& table) {
  std::vector<std::string> names;
  std::vector<std::string> all;
  std::size_t ready_count = 0;
  for (const auto& [name, entry] : table.routes) {
    all.push_back(name);
    if (!ready(entry)) continue;
    if (++ready_count <= kNamesListedMax) names.push_back(name);
  }
  std::string message = fmt::format("the model '{}' does not exist here", printable(model));
  if (const auto near = nearest(model, all)) message += fmt::format("; did you mean '{}'?", *near);
  if (names.empty()) {
    message += "; no model is ready now";
  } else {
    message += "; available: " + join(names, ", ");
    if (ready_count > names.size()) message += fmt::format(" and {} more", ready_count - names.size());
  }
  return {
      .status = 404, .message = std::move(message), .param = "model", .code = "model_not_found", .should_retry = false};
}

ApiError not_ready(std::string_view model, const RouteEntry& entry) {
  std::string message = fmt::format("the model '{}' has no ready instance: {}",
                                    model,
                                    entry.waiting.empty() ? "waiting for its first instance to start" : entry.waiting);
  return {.status = 503,
          .message = std::move(message),
          .param = "model",
          .code = "model_not_ready",
          .retry_after = kNotReadyRetry};
}

ApiError all_refused(std::string_view model, std::size_t asked, const Target& last, std::string_view why) {
  std::string message = fmt::format(
      "the model '{}' takes no request now: {} asked, the last one, {} on worker {}: {}; an engine that ended is "
      "started again by itself: try again in {} s, or look at `berth get instances`",
      model,
      asked == 1 ? "1 instance was" : fmt::format("{} instances were", asked),
      last.instance,
      last.worker,
      why,
      kNotReadyRetry.count());
  return {.status = 503,
          .message = std::move(message),
          .param = "model",
          .code = "model_not_ready",
          .retry_after = kNotReadyRetry};
}

}  // namespace berth::gateway
