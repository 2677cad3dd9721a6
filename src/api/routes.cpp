#include "api/routes.h"

#include <algorithm>
#include <fmt/format.h>

#include "api/documents.h"
#include "base/text.h"
#include "hub/local.h"
#include "wire/json.h"

namespace berth::api {
namespace {

using wire::Strictness;

template <class T>
Reply ok(const T& doc, int status = 200) {
  return {.status = status, .json = wire::to_json(doc)};
}

Error missing(std::string_view kind, const std::string& name) {
  return fail(Code::kNotFound, fmt::format("{} \"{}\" does not exist", kind, printable(name)));
}

template <class Objects>
const auto* named(const Objects& list, const std::string& name) {
  const typename Objects::value_type* found = nullptr;
  for (const auto& o : list)
    if (o.meta.id == name || (o.meta.name == name && (found == nullptr || !o.meta.deleting))) found = &o;
  return found;
}

Result<void> fill(const RouteDeps& d, fleet::Request& request) {
  TRY(auto facts, facts_here(d, "source.path", request));
  if (!facts) return {};
  if (request.model.empty()) request.model = facts->name;
  request.facts = std::move(*facts);
  return {};
}

/// For what is only asked, not started: a model that the catalog knows needs no file here.
Result<void> fill_from_catalog(const RouteDeps& d, std::string_view field, fleet::Request& request) {
  if (!fleet::may_name_catalog_model(request)) return {};
  TRY(const auto* models, d.models->get());
  auto done = fleet::complete(*models, request);
  if (done) return {};
  // No object of the API is missing: what was sent is wrong.
  Error error = in(field, std::move(done).error());
  if (error.code == Code::kNotFound) error.code = Code::kInvalid;
  return error;
}

Result<Reply> answer(const RouteDeps& d, const fleet::Request& request) {
  DecisionAnswer answer{.decision = d.reconciler.decide(request), .fixes = {}};
  answer.fixes = d.reconciler.fixes(request, answer.decision);
  return ok(answer);
}

Result<Reply> workers(const RouteDeps& d, const Call&) {
  const auto view = d.reconciler.view();
  List<WorkerDoc> list;
  for (const auto& o : view->workers) list.items.push_back(to_doc(o, *view->snapshot));
  return ok(list);
}

Result<Reply> worker(const RouteDeps& d, const Call& call) {
  const auto view = d.reconciler.view();
  const auto* o = named(view->workers, call.params.at("name"));
  if (o == nullptr) return missing("worker", call.params.at("name"));
  return ok(to_doc(*o, *view->snapshot));
}

Result<Reply> cordon(const RouteDeps& d, const Call& call, bool cordoned) {
  TRY(auto object, d.reconciler.set_cordon(call.params.at("name"), cordoned, call.now));
  d.wake();
  return ok(to_doc(object, *d.reconciler.view()->snapshot));
}

Result<Reply> delete_worker(const RouteDeps& d, const Call& call) {
  TRY_VOID(d.reconciler.delete_worker(call.params.at("name"), call.now));
  d.wake();
  return Reply{.status = 204, .json = ""};
}

Result<Reply> devices(const RouteDeps& d, const Call&) {
  const auto view = d.reconciler.view();
  List<DeviceDoc> list;
  view->snapshot->for_each([&](const fleet::WorkerEntry& e) {
    for (std::size_t i = 0; i < e.worker.devices.size(); ++i)
      list.items.push_back({e.worker.name, e.worker.devices[i], e.capacity[i], e.worker.simulated});
  });
  return ok(list);
}

Result<Reply> deployments(const RouteDeps& d, const Call&) {
  List<DeploymentDoc> list;
  for (const auto& o : d.reconciler.view()->deployments) list.items.push_back(to_doc(o));
  return ok(list);
}

Result<Reply> deployment(const RouteDeps& d, const Call& call) {
  const auto view = d.reconciler.view();
  const auto* o = named(view->deployments, call.params.at("name"));
  if (o == nullptr) return missing("deployment", call.params.at("name"));
  return ok(to_doc(*o));
}

Result<Reply> create_deployment(const RouteDeps& d, const Call& call) {
  TRY(auto body, wire::from_json<NewDeployment>(call.body, Strictness::kStrict));
  TRY(const bool dry_run, call.query_flag("dry_run"));
  TRY_VOID(fill(d, body.spec.request));
  if (dry_run) {
    TRY_VOID(fill_from_catalog(d, "$.spec.request", body.spec.request));
    TRY(const auto request, d.reconciler.check_create(body.name, std::move(body.spec), caller_of(call)));
    return answer(d, request);
  }
  TRY(auto object, d.reconciler.create_deployment(body.name, std::move(body.spec), call.now, caller_of(call)));
  d.wake();
  return ok(to_doc(object), 201);
}

Result<std::optional<std::uint64_t>> if_match(const Call& call) {
  if (!call.if_match) return std::optional<std::uint64_t>();
  std::string_view text = trim(*call.if_match);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  const auto revision = parse_u64(text);
  if (!revision)
    return invalid(fmt::format("If-Match is {}, must be a revision, like \"12\"", printable(*call.if_match)));
  return revision;
}

Result<Reply> update_deployment(const RouteDeps& d, const Call& call) {
  TRY(auto body, wire::from_json<EditDeployment>(call.body, Strictness::kStrict));
  TRY(const bool dry_run, call.query_flag("dry_run"));
  TRY(const auto revision, if_match(call));
  TRY_VOID(fill(d, body.spec.request));
  if (dry_run) {
    TRY_VOID(fill_from_catalog(d, "$.spec.request", body.spec.request));
    TRY(const auto request,
        d.reconciler.check_update(call.params.at("name"), std::move(body.spec), revision, caller_of(call)));
    return answer(d, request);
  }
  TRY(auto object,
      d.reconciler.update_deployment(
          call.params.at("name"), std::move(body.spec), revision, call.now, caller_of(call)));
  d.wake();
  return ok(to_doc(object));
}

Result<Reply> delete_deployment(const RouteDeps& d, const Call& call) {
  TRY_VOID(d.reconciler.delete_deployment(call.params.at("name"), call.now));
  d.wake();
  return Reply{.status = 202, .json = R"({"status":"stopping"})"};
}

Result<Reply> stored_decision(const RouteDeps& d, const std::string& id) {
  TRY(auto row, d.store.get_decision(id));
  return Reply{.status = 200,
               .json = fmt::format(R"({{"id":"{}","deployment":"{}","created_at":"{}","decision":{}}})",
                                   row.id,
                                   row.deployment,
                                   to_rfc3339(row.created_at),
                                   row.body)};
}

Result<Reply> deployment_decision(const RouteDeps& d, const Call& call) {
  const auto view = d.reconciler.view();
  const auto* o = named(view->deployments, call.params.at("name"));
  if (o == nullptr) return missing("deployment", call.params.at("name"));
  if (o->status.decision_id.empty()) return fail(Code::kNotFound, "nothing was decided yet");
  return stored_decision(d, o->status.decision_id);
}

Result<Reply> instances(const RouteDeps& d, const Call& call) {
  const auto wanted = call.query_text("deployment");
  List<InstanceDoc> list;
  for (const auto& o : d.reconciler.view()->instances)
    if (!wanted || o.spec.deployment_name == *wanted || o.spec.deployment == *wanted) list.items.push_back(to_doc(o));
  return ok(list);
}

Result<Reply> instance(const RouteDeps& d, const Call& call) {
  const auto view = d.reconciler.view();
  const auto* o = named(view->instances, call.params.at("name"));
  if (o == nullptr) return missing("instance", call.params.at("name"));
  return ok(to_doc(*o));
}

Result<Reply> delete_instance(const RouteDeps& d, const Call& call) {
  TRY_VOID(d.reconciler.delete_instance(call.params.at("name"), call.now));
  d.wake();
  return Reply{.status = 202, .json = R"({"status":"stopping"})"};
}

Result<Reply> decide(const RouteDeps& d, const Call& call) {
  TRY(auto request, wire::from_json<fleet::Request>(call.body, Strictness::kStrict));
  TRY_VOID(fill(d, request));
  TRY_VOID(fill_from_catalog(d, "$", request));
  TRY(request, d.reconciler.canonical(std::move(request), caller_of(call)));
  TRY_VOID(d.reconciler.check_names(request));
  return answer(d, request);
}

Result<Reply> keys(const RouteDeps& d, const Call&) {
  List<KeyLine> list;
  list.items = d.auth.list();
  return ok(list);
}

Result<Reply> create_key(const RouteDeps& d, const Call& call) {
  constexpr std::uint64_t kSecondsMax = 10ULL * 366 * 24 * 3600;
  TRY(auto body, wire::from_json<NewKeyRequest>(call.body, Strictness::kStrict));
  // Else every key that may make keys would have this right as well.
  const auto wants = [&](std::string_view scope) {
    return std::find(body.scopes.begin(), body.scopes.end(), scope) != body.scopes.end();
  };
  if (wants(kScopeOperator) && !caller_of(call).operator_right)
    return fail(Code::kForbidden,
                fmt::format("scopes: a key with the scope {} is made with such a key, and \"{}\" is none",
                            kScopeOperator,
                            caller_of(call).name));
  std::optional<Duration> lives;
  if (body.expires_in_s) {
    if (*body.expires_in_s == 0 || *body.expires_in_s > kSecondsMax)
      return invalid(fmt::format("expires_in_s is {}, must be from 1 to {}", *body.expires_in_s, kSecondsMax));
    lives = std::chrono::seconds(*body.expires_in_s);
  }
  TRY(auto fresh, d.auth.create(body.name, std::move(body.scopes), lives));
  return ok(NewKeyAnswer{fresh.id, fresh.name, fresh.key, fresh.expires_at}, 201);
}

Result<Reply> delete_key(const RouteDeps& d, const Call& call) {
  TRY_VOID(d.auth.revoke(call.params.at("name")));
  return Reply{.status = 204, .json = ""};
}

Result<Reply> login(const RouteDeps& d, const Call& call) {
  TRY(auto body, wire::from_json<LoginRequest>(call.body, Strictness::kStrict));
  TRY(auto fresh, d.auth.login(body.password, call.peer));
  return ok(NewKeyAnswer{fresh.id, fresh.name, fresh.key, fresh.expires_at});
}

Result<Reply> usage(const RouteDeps& d, const Call&) {
  TRY(auto rows, d.store.usage({}));
  List<UsageDoc> list;
  for (const auto& r : rows)
    list.items.push_back({r.key_id, r.model, r.prompt_tokens, r.completion_tokens, r.requests});
  return ok(list);
}

/// What a name in `?object=` means: events are kept with deployments and workers; those of an instance are its
/// deployment's that begin with its name.
struct EventScope {
  std::string id;
  std::string beginning;
};

EventScope event_scope(const reconcile::View& view, const std::string& wanted) {
  if (const auto* o = named(view.deployments, wanted)) return {o->meta.id, ""};
  if (const auto* o = named(view.workers, wanted)) return {o->meta.id, ""};
  if (const auto* o = named(view.instances, wanted)) return {o->spec.deployment, o->meta.name};
  return {wanted, ""};
}

bool tells_of(const store::Event& event, const std::string& beginning) {
  if (beginning.empty()) return true;
  if (!event.message.starts_with(beginning) || event.message.size() == beginning.size()) return false;
  const char next = event.message[beginning.size()];
  return next == ':' || next == ' ';
}

std::string name_of(const reconcile::View& view, const std::string& id) {
  if (const auto* o = named(view.deployments, id)) return o->meta.name;
  if (const auto* o = named(view.workers, id)) return o->meta.name;
  return id;
}

Result<Reply> events(const RouteDeps& d, const Call& call) {
  constexpr std::size_t kEventsShown = 200;
  const auto view = d.reconciler.view();
  const auto wanted = call.query_text("object").value_or("");
  const auto scope = wanted.empty() ? EventScope{} : event_scope(*view, wanted);
  TRY(auto rows, d.store.list_events({.object_id = scope.id, .limit = kEventsShown}));
  if (rows.empty() && !wanted.empty() && scope.id == wanted && name_of(*view, wanted) == wanted)
    return missing("object", wanted);
  List<EventDoc> list;
  for (const auto& e : rows)
    if (tells_of(e, scope.beginning))
      list.items.push_back({e.id,
                            e.object_kind,
                            e.object_id,
                            name_of(*view, e.object_id),
                            e.type,
                            e.reason,
                            e.message,
                            e.first_at,
                            e.last_at,
                            e.count});
  return ok(list);
}

}  // namespace

Result<std::optional<fleet::ModelFacts>> facts_here(const RouteDeps& d,
                                                    std::string_view field,
                                                    const fleet::Request& request) {
  using Facts = std::optional<fleet::ModelFacts>;
  if (request.facts || request.source.kind != "local") return Facts();
  if (request.source.path.empty())
    return invalid(fmt::format("{} is missing: a local model needs the path of its file or folder", field));
  const auto& path = request.source.path;
  const bool ours = hub::lies_under(path, d.model_roots);
  if (!ours && !d.sees_files()) return Facts();  // it may lie where only a worker sees it
  if (!ours)
    return invalid(
        fmt::format("{}: {} is not under a folder that this server reads models in ({}): start the server with "
                    "--model-root FOLDER, or give the model's facts",
                    field,
                    printable(path),
                    d.model_roots.empty() ? "none is configured" : join(d.model_roots, ", ")));
  auto facts = hub::local_facts(path);
  if (facts) return Facts(std::move(*facts));
  const bool absent = facts.error().code == Code::kNotFound || facts.error().code == Code::kForbidden;
  if (absent && !d.sees_files()) return Facts();  // it may lie where only a worker sees it
  Error error = in(field, std::move(facts).error());
  // Not being let to read a file is no matter of the caller's key.
  if (error.code == Code::kForbidden) error.code = Code::kInvalid;
  return error;
}

engines::Caller caller_of(const Call& call) {
  return {.name = call.principal.name, .operator_right = call.principal.may(kScopeOperator)};
}

std::vector<Route> management_routes(RouteDeps deps) {
  const auto with = [deps](auto handler) { return [deps, handler](const Call& call) { return handler(deps, call); }; };
  const std::string m(kScopeManagement);
  return {
      {"GET", "/api/v1/workers", m, "list workers", with(workers)},
      {"GET", "/api/v1/workers/{name}", m, "one worker", with(worker)},
      {"POST", "/api/v1/workers/{name}/cordon", m, "no new instances", with([](const auto& d, const auto& c) {
         return cordon(d, c, true);
       })},
      {"POST", "/api/v1/workers/{name}/uncordon", m, "new instances again", with([](const auto& d, const auto& c) {
         return cordon(d, c, false);
       })},
      {"DELETE", "/api/v1/workers/{name}", m, "remove a worker", with(delete_worker)},
      {"GET", "/api/v1/devices", m, "list devices", with(devices)},
      {"GET", "/api/v1/deployments", m, "list deployments", with(deployments)},
      {"POST", "/api/v1/deployments", m, "create a deployment", with(create_deployment), {"dry_run"}},
      {"GET", "/api/v1/deployments/{name}", m, "one deployment", with(deployment)},
      {"PUT", "/api/v1/deployments/{name}", m, "change a deployment", with(update_deployment), {"dry_run"}},
      {"DELETE", "/api/v1/deployments/{name}", m, "delete a deployment", with(delete_deployment)},
      {"GET", "/api/v1/deployments/{name}/decision", m, "the decision in force", with(deployment_decision)},
      {"GET", "/api/v1/instances", m, "list instances", with(instances), {"deployment"}},
      {"GET", "/api/v1/instances/{name}", m, "one instance", with(instance)},
      {"DELETE", "/api/v1/instances/{name}", m, "stop an instance", with(delete_instance)},
      {"POST", "/api/v1/decisions", m, "answer a request", with(decide), {}, true},
      {"GET", "/api/v1/decisions/{id}", m, "a stored decision", with([](const auto& d, const auto& c) {
         return stored_decision(d, c.params.at("id"));
       })},
      {"GET", "/api/v1/keys", m, "list keys", with(keys)},
      {"POST", "/api/v1/keys", m, "create a key", with(create_key)},
      {"DELETE", "/api/v1/keys/{name}", m, "revoke a key", with(delete_key)},
      {"GET", "/api/v1/usage", m, "tokens per key and model", with(usage)},
      {"GET", "/api/v1/events", m, "events", with(events), {"object"}},
      {"POST", "/api/v1/login", "", "password for a key", with(login)},
      {"GET", "/api/v1/version", "", "version", with([](const auto& d, const auto&) {
         return Result<Reply>(Reply{
             .status = 200, .json = fmt::format(R"({{"version":"{}","insecure_http":{}}})", d.version, d.plain_http)});
       })},
  };
}

}  // namespace berth::api
