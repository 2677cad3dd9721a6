#include "api/reply.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "wire/codec.h"

namespace berth::api {
namespace {

struct ProblemItem {
  std::string path;
  std::string message;
};
DESCRIBE(ProblemItem, path, message);

struct Problem {
  std::string type = "about:blank";
  std::string title;
  int status = 500;
  std::string detail;
  std::string code;
  std::string request_id;
  std::vector<ProblemItem> errors;
};
DESCRIBE(Problem, type, title, status, detail, code, request_id, errors);

bool match(std::string_view pattern, std::string_view path, std::map<std::string, std::string>& params) {
  const auto wanted = split(pattern, '/'), got = split(path, '/');
  if (wanted.size() != got.size()) return false;
  std::map<std::string, std::string> found;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string& w = wanted[i];
    if (w.size() > 2 && w.front() == '{') {
      const auto value = net::percent_decode(got[i]);
      if (!value || value->empty()) return false;
      found[w.substr(1, w.size() - 2)] = *value;
    } else if (w != got[i]) {
      return false;
    }
  }
  params = std::move(found);
  return true;
}

}  // namespace

Result<bool> Call::query_flag(std::string_view name) const {
  const auto value = query_text(name);
  if (!value || *value == "false") return false;
  if (*value == "true") return true;
  return invalid(fmt::format("query {} is \"{}\", must be true or false", name, printable(*value)));
}

std::string problem_json(const Error& error, const std::string& request_id, int status) {
  if (status == 0) status = http_status(error.code);
  Problem p{.title = std::string(net::reason_phrase(status)),
            .status = status,
            .detail = error.message,
            .code = std::string(code_name(error.code)),
            .request_id = request_id,
            .errors = {}};
  if (error.message.starts_with("$")) {
    const auto end = error.message.find(' ');
    p.errors.push_back({error.message.substr(0, end), error.message});
  }
  return wire::to_json(p);
}

RouteMatch find_route(const std::vector<Route>& routes, std::string_view method, std::string_view path) {
  RouteMatch found;
  for (const auto& route : routes) {
    if (!match(route.pattern, path, found.params)) continue;
    if (route.method == method) {
      found.route = &route;
      return found;
    }
    found.allowed += (found.allowed.empty() ? "" : ", ") + route.method;
  }
  return found;
}

Result<void> check_query(const Route& route, std::string_view query) {
  std::set<std::string> seen;
  for (const auto& part : split(query, '&')) {
    if (part.empty()) continue;
    const auto key = net::percent_decode(std::string_view(part).substr(0, part.find('=')));
    if (!key || std::find(route.query.begin(), route.query.end(), *key) == route.query.end())
      return invalid(fmt::format("query \"{}\" is not known here: {}",
                                 printable(part),
                                 route.query.empty() ? "this route takes none" : "must be " + join(route.query, ", ")));
    if (!seen.insert(*key).second) return invalid(fmt::format("query \"{}\" is given twice", *key));
    if (!net::query_value(query, *key)) return invalid(fmt::format("query \"{}\" has no value", printable(part)));
  }
  return {};
}

}  // namespace berth::api
