#pragma once
// What a management route gets and gives. Routes are plain functions on a pool thread: they may block on the store.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth.h"
#include "base/result.h"
#include "base/time.h"
#include "net/http_types.h"

namespace berth::api {

struct Call {
  std::string method;
  std::string path;
  std::map<std::string, std::string> params;  // {name} of the pattern, percent-decoded
  std::string query;
  std::string body;
  std::optional<std::string> if_match;
  Principal principal;
  std::string request_id;
  Time now{};

  [[nodiscard]] std::optional<std::string> query_text(std::string_view name) const {
    return net::query_value(query, name);
  }
  [[nodiscard]] bool query_flag(std::string_view name) const { return query_text(name) == "true"; }
};

struct Reply {
  int status = 200;
  std::string json;  // empty with 204
};

using RouteHandler = std::function<Result<Reply>(const Call&)>;

struct Route {
  std::string method;
  std::string pattern;  // "/api/v1/workers/{name}"
  std::string scope;    // empty: open to all
  std::string summary;
  RouteHandler handler;
};

/// RFC 9457.
std::string problem_json(const Error& error, const std::string& request_id);
/// The route of (method, path) with its parameters. Errors: kNotFound; kNotSupported (405) when only the method
/// differs.
Result<const Route*> find_route(const std::vector<Route>& routes,
                                std::string_view method,
                                std::string_view path,
                                std::map<std::string, std::string>& params);

}  // namespace berth::api
