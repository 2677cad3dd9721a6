#include "api/reply.h"

#include <fmt/format.h>

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

std::string problem_json(const Error& error, const std::string& request_id) {
  const int status = http_status(error.code);
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

Result<const Route*> find_route(const std::vector<Route>& routes,
                                std::string_view method,
                                std::string_view path,
                                std::map<std::string, std::string>& params) {
  std::string allowed;
  for (const auto& route : routes) {
    if (!match(route.pattern, path, params)) continue;
    if (route.method == method) return &route;
    allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  if (allowed.empty()) return fail(Code::kNotFound, fmt::format("there is no route {}", printable(path)));
  return fail(Code::kNotSupported, fmt::format("{} is not offered here, only {}", printable(method), allowed));
}

}  // namespace berth::api
