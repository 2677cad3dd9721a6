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
  std::string peer;  // "address:port" of the client
  Time now{};

  [[nodiscard]] std::optional<std::string> query_text(std::string_view name) const {
    return net::query_value(query, name);
  }
  /// Absent: false. Errors: kInvalid for anything but true and false.
  [[nodiscard]] Result<bool> query_flag(std::string_view name) const;
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
  RouteHandler handler;              // null: answered by Api itself, in a stream
  std::vector<std::string> query{};  // the keys that its query may have; others are refused
  bool asks = false;                 // changes nothing, whatever its method
};

/// RFC 9457. `status` 0: the error's own.
std::string problem_json(const Error& error, const std::string& request_id, int status = 0);

/// `route` null: there is none of that path, or, when `allowed` says what there is, none of that method.
struct RouteMatch {
  const Route* route = nullptr;
  std::map<std::string, std::string> params;
  std::string allowed;  // value of an Allow header
};
RouteMatch find_route(const std::vector<Route>& routes, std::string_view method, std::string_view path);
/// Errors: kInvalid naming the key that the route does not know, or that comes twice.
Result<void> check_query(const Route& route, std::string_view query);

}  // namespace berth::api
