#include "api/api.h"

#include <fmt/format.h>
#include <sodium.h>

#include "base/log.h"
#include "base/text.h"

namespace berth::api {
namespace {

using net::awaitable;

std::string new_request_id() {
  std::array<unsigned char, 12> raw{};
  randombytes_buf(raw.data(), raw.size());
  std::string id = "req_";
  for (const auto byte : raw) id += fmt::format("{:02x}", byte);
  return id;
}

net::Response problem(const Error& error, const std::string& request_id) {
  const int status = error.code == Code::kNotSupported ? 405 : http_status(error.code);
  return net::make_response(status, "application/problem+json", problem_json(error, request_id));
}

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

bool loopback_name(std::string_view host) { return host == "localhost" || host == "[::1]" || host.starts_with("127."); }

}  // namespace

struct Api::State {
  RouteDeps deps;
  WorkerLinks& links;
  net::WorkPool& pool;
  const Clock& clock;
  ApiOptions options;
  std::vector<Route> routes;

  [[nodiscard]] bool host_allowed(std::string_view host) const {
    if (options.any_host || loopback_name(host)) return true;
    for (const auto& known : options.hosts)
      if (equals_ignoring_case(known, host)) return true;
    return false;
  }

  Result<Call> make_call(const net::Request& request,
                         const Route& route,
                         std::map<std::string, std::string> params) const {
    Call call;
    call.method = request.method;
    call.path = std::string(request.path());
    call.params = std::move(params);
    call.query = std::string(request.query());
    if (const auto match = request.headers.get("if-match")) call.if_match = std::string(*match);
    call.now = clock.now();
    if (route.scope.empty()) return call;
    const auto key = presented_key(request);
    if (!key) return fail(Code::kUnauthenticated, "a key is needed: Authorization: Bearer KEY");
    const auto principal = deps.auth.check(*key);
    if (!principal) return fail(Code::kUnauthenticated, "the key is not known, expired or revoked");
    if (!principal->may(route.scope))
      return fail(Code::kForbidden, fmt::format("the key \"{}\" lacks the scope {}", principal->name, route.scope));
    call.principal = *principal;
    return call;
  }

  Result<Reply> run(const Route& route, const Call& call) const {
    try {
      return route.handler(call);
    } catch (const std::exception& e) {
      log::error("request failed", {log::kv("path", call.path), log::kv("error", e.what())});
      return fail(Code::kInternal, "internal error, see the server's log for the request id");
    }
  }

  awaitable<void> health(net::Exchange& exchange) const {
    const auto revision = deps.store.revision();
    const int status = revision ? 200 : 503;
    const std::string body = fmt::format(R"({{"status":"{}","checks":{{"store":"{}"}}}})",
                                         revision ? "ok" : "failing",
                                         revision ? "ok" : "cannot be read");
    auto response = net::make_response(status, "application/json", body);
    static_cast<void>(co_await exchange.respond(std::move(response)));
  }

  awaitable<bool> logs(net::Exchange& exchange, const std::string& request_id) const {
    static const std::vector<Route> kLogs = {
        {"GET", "/api/v1/instances/{name}/logs", std::string(kScopeManagement), "log of an instance", nullptr}};
    std::map<std::string, std::string> params;
    const auto found = find_route(kLogs, exchange.request().method, exchange.request().path(), params);
    if (!found) co_return false;
    auto call = make_call(exchange.request(), **found, params);
    if (!call) {
      auto response = problem(call.error(), request_id);
      static_cast<void>(co_await exchange.respond(std::move(response)));
      co_return true;
    }
    constexpr std::uint64_t kTailMax = 10'000;
    const auto tail = parse_u64(call->query_text("tail").value_or("100"));
    const auto view = deps.reconciler.view();
    const reconcile::InstanceObject* instance = nullptr;
    for (const auto& o : view->instances)
      if (o.meta.name == params.at("name") || o.meta.id == params.at("name")) instance = &o;
    Error error = fail(Code::kNotFound, fmt::format("instance \"{}\" does not exist", printable(params.at("name"))));
    if (instance != nullptr && (!tail || *tail > kTailMax))
      error = invalid(fmt::format("tail must be from 0 to {}", kTailMax));
    if (instance == nullptr || !tail || *tail > kTailMax) {
      auto response = problem(error, request_id);
      static_cast<void>(co_await exchange.respond(std::move(response)));
      co_return true;
    }
    const std::string worker = instance->spec.plan.workers.empty() ? "" : instance->spec.plan.workers.front().worker;
    co_await links.logs(
        exchange, instance->meta.id, worker, static_cast<std::uint32_t>(*tail), call->query_flag("follow"));
    co_return true;
  }

  awaitable<void> route(net::Exchange& exchange, const std::string& request_id) const {
    std::map<std::string, std::string> params;
    const auto found = find_route(routes, exchange.request().method, exchange.request().path(), params);
    Result<Reply> reply = found ? fail(Code::kInternal, "not run") : Result<Reply>(found.error());
    if (found) {
      auto call = make_call(exchange.request(), **found, std::move(params));
      if (!call) {
        reply = call.error();
      } else if (auto body = co_await exchange.read_body(kManagementBodyMax); !body) {
        reply = body.error();
      } else {
        call->body = std::move(*body);
        call->request_id = request_id;
        const Route& row = **found;
        std::function<Result<Reply>()> job = [this, &row, &call] { return run(row, *call); };
        reply = co_await pool.run<Reply>(std::move(job));
      }
    }
    auto response = reply ? net::make_response(reply->status, "application/json", std::move(reply->json))
                          : problem(reply.error(), request_id);
    response.headers.add("x-request-id", request_id);
    response.headers.add("cache-control", "no-store");
    response.headers.add("x-content-type-options", "nosniff");
    static_cast<void>(co_await exchange.respond(std::move(response)));
  }
};

Api::Api(RouteDeps deps, WorkerLinks& links, net::WorkPool& pool, const Clock& clock, ApiOptions options)
    : state_(std::make_unique<State>(State{deps, links, pool, clock, std::move(options), management_routes(deps)})) {
  state_->routes.push_back(evaluation_route(deps));
}
Api::~Api() = default;

const std::vector<Route>& Api::routes() const { return state_->routes; }

std::optional<Error> Api::check_origin(const net::Request& request) const {
  const auto host = request.headers.get("host").value_or("");
  if (!state_->host_allowed(host_of(host)))
    return fail(Code::kForbidden,
                fmt::format("the Host \"{}\" is not this server's: start it with --host {}",
                            printable(host),
                            printable(host_of(host))));
  const auto origin = request.headers.get("origin");
  if (!origin || *origin == "null")
    return origin ? std::optional(fail(Code::kForbidden, "requests of an opaque origin are refused")) : std::nullopt;
  const auto scheme = origin->find("://");
  const auto from = scheme == std::string_view::npos ? *origin : origin->substr(scheme + 3);
  if (from != host)
    return fail(Code::kForbidden, fmt::format("requests from pages of {} are refused", printable(*origin)));
  return std::nullopt;
}

awaitable<void> Api::handle(net::Exchange& exchange) {
  const std::string request_id = new_request_id();
  const auto path = exchange.request().path();
  if (path == "/healthz" || path == "/readyz") co_return co_await state_->health(exchange);
  if (path == wire::kControlPath) co_return co_await state_->links.control(exchange);
  if (path == wire::kDataPath) co_return co_await state_->links.data(exchange);
  if (co_await state_->logs(exchange, request_id)) co_return;
  co_await state_->route(exchange, request_id);
}

}  // namespace berth::api
