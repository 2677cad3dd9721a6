#include "api/api.h"

#include <algorithm>
#include <fmt/format.h>
#include <sodium.h>

#include "api/documents.h"
#include "api/host.h"
#include "base/log.h"
#include "base/text.h"
#include "wire/json.h"

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
  return net::make_response(http_status(error.code), "application/problem+json", problem_json(error, request_id));
}

net::Response no_such_route(const RouteMatch& match, const net::Request& request, const std::string& request_id) {
  if (match.allowed.empty())
    return problem(fail(Code::kNotFound, fmt::format("there is no route {}", printable(request.path()))), request_id);
  constexpr int kMethodNotAllowed = 405;
  const auto error = fail(Code::kNotSupported,
                          fmt::format("{} is not offered here, only {}", printable(request.method), match.allowed));
  auto response = net::make_response(
      kMethodNotAllowed, "application/problem+json", problem_json(error, request_id, kMethodNotAllowed));
  response.headers.add("allow", match.allowed);
  return response;
}

}  // namespace

struct Api::State {
  RouteDeps deps;
  WorkerLinks& links;
  ApiPools pools;
  const Clock& clock;
  ApiOptions options;
  std::vector<Route> routes;

  [[nodiscard]] bool host_allowed(std::string_view host) const {
    if (is_loopback_host(host)) return true;
    const auto among = [host](const std::vector<std::string>& list) {
      return std::any_of(list.begin(), list.end(), [&](const auto& known) { return is_same_host(known, host); });
    };
    return among(options.hosts) || (options.own_hosts && among(own_hosts()));
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
    if (route.scope.empty()) {
      TRY_VOID(check_query(route, call.query));
      return call;
    }
    const auto key = presented_key(request);
    if (!key) return fail(Code::kUnauthenticated, "a key is needed: Authorization: Bearer KEY");
    const auto principal = deps.auth.check(*key);
    if (!principal) return fail(Code::kUnauthenticated, "the key is not known, expired or revoked");
    if (!principal->may(route.scope))
      return fail(Code::kForbidden, fmt::format("the key \"{}\" lacks the scope {}", principal->name, route.scope));
    call.principal = *principal;
    TRY_VOID(check_query(route, call.query));
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

  /// Alive: it answers and can read. Ready: it can write too, so that what is asked for is kept.
  awaitable<void> health(net::Exchange& exchange, bool ready) const {
    std::function<Result<std::uint64_t>()> job = [this] { return deps.store.revision(); };
    const auto revision = co_await pools.reads.run<std::uint64_t>(std::move(job));
    std::string trouble = revision ? "" : "cannot be read: " + revision.error().message;
    if (revision && ready) {
      trouble = deps.store_trouble();
      if (!trouble.empty()) trouble = "cannot be written: " + trouble;
    }
    const bool ok = trouble.empty();
    const std::string body =
        wire::to_json(HealthDoc{ok ? "ok" : "failing", {{"store", ok ? "ok" : std::move(trouble)}}});
    auto response = net::make_response(ok ? 200 : 503, "application/json", body);
    static_cast<void>(co_await exchange.respond(std::move(response)));
  }

  struct LogsOf {
    std::string instance;
    std::string worker;
    std::uint32_t tail = 0;
    bool follow = false;
  };
  Result<LogsOf> logs_of(const Call& call) const {
    constexpr std::uint64_t kTailMax = 10'000;
    const auto tail = parse_u64(call.query_text("tail").value_or("100"));
    const auto& name = call.params.at("name");
    const auto view = deps.reconciler.view();
    const reconcile::InstanceObject* instance = nullptr;
    for (const auto& o : view->instances)
      if (o.meta.name == name || o.meta.id == name) instance = &o;
    if (instance == nullptr)
      return fail(Code::kNotFound, fmt::format("instance \"{}\" does not exist", printable(name)));
    if (!tail || *tail > kTailMax) return invalid(fmt::format("tail must be from 0 to {}", kTailMax));
    TRY(const bool follow, call.query_flag("follow"));
    const auto& parts = instance->spec.plan.workers;
    return LogsOf{.instance = instance->meta.id,
                  .worker = parts.empty() ? "" : parts.front().worker,
                  .tail = static_cast<std::uint32_t>(*tail),
                  .follow = follow};
  }

  static awaitable<void> answer(net::Exchange& exchange, net::Response response, const std::string& request_id) {
    response.headers.add("x-request-id", request_id);
    response.headers.add("cache-control", "no-store");
    response.headers.add("x-content-type-options", "nosniff");
    static_cast<void>(co_await exchange.respond(std::move(response)));
  }

  awaitable<void> route(net::Exchange& exchange, const std::string& request_id) const {
    auto found = find_route(routes, exchange.request().method, exchange.request().path());
    if (found.route == nullptr) {
      auto response = no_such_route(found, exchange.request(), request_id);
      co_return co_await answer(exchange, std::move(response), request_id);
    }
    const Route& row = *found.route;
    Result<Reply> reply = fail(Code::kInternal, "not run");
    auto call = make_call(exchange.request(), row, std::move(found.params));
    if (call) call->peer = exchange.peer();
    if (!call) {
      reply = call.error();
    } else if (!row.handler) {
      auto wanted = logs_of(*call);
      if (wanted)
        co_return co_await links.logs(exchange, wanted->instance, wanted->worker, wanted->tail, wanted->follow);
      reply = wanted.error();
    } else if (auto body = co_await exchange.read_body(kManagementBodyMax); !body) {
      reply = body.error();
    } else {
      call->body = std::move(*body);
      call->request_id = request_id;
      std::function<Result<Reply>()> job = [this, &row, &call] { return run(row, *call); };
      // What only asks never waits for what is being written.
      const bool asks = row.method == "GET" || row.asks || call->query_flag("dry_run").value_or(false);
      auto& pool = asks ? pools.reads : pools.changes;
      reply = co_await pool.run<Reply>(std::move(job));
    }
    auto response = reply ? net::make_response(reply->status, "application/json", std::move(reply->json))
                          : problem(reply.error(), request_id);
    co_await answer(exchange, std::move(response), request_id);
  }
};

Api::Api(RouteDeps deps, WorkerLinks& links, ApiPools pools, const Clock& clock, ApiOptions options)
    : state_(std::make_unique<State>(State{deps, links, pools, clock, std::move(options), management_routes(deps)})) {
  state_->routes.push_back(evaluation_route(deps));
  state_->routes.push_back({"GET",
                            "/api/v1/instances/{name}/logs",
                            std::string(kScopeManagement),
                            "log of an instance",
                            nullptr,
                            {"tail", "follow"}});
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

awaitable<void> Api::refuse(net::Exchange& exchange, const Error& error) {
  const std::string request_id = new_request_id();
  co_await State::answer(exchange, problem(error, request_id), request_id);
}

awaitable<void> Api::handle(net::Exchange& exchange) {
  const std::string request_id = new_request_id();
  const auto path = exchange.request().path();
  if (path == "/healthz" || path == "/readyz") co_return co_await state_->health(exchange, path == "/readyz");
  if (path == wire::kControlPath) co_return co_await state_->links.control(exchange);
  if (path == wire::kDataPath) co_return co_await state_->links.data(exchange);
  co_await state_->route(exchange, request_id);
}

}  // namespace berth::api
