// What a request or a deployment may say. Names of what never existed are refused here, where the whole fleet is known;
// decide() has an answer for them too, for fleets from files and for GPUStack's clients.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "engines/request.h"
#include "placement/rules/rule.h"
#include "reconcile/state.h"

namespace berth::reconcile {
namespace {

constexpr std::size_t kNameLengthMax = 63;

Error not_a_name(std::string_view field, const std::string& value) {
  return invalid(fmt::format("{} \"{}\" must be 1 to {} of a-z, 0-9, '-', '.', '_', starting with a letter or digit",
                             field,
                             printable(value),
                             kNameLengthMax));
}

Result<void> check_one_of(std::string_view field, const std::string& value, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return {};
  const auto near = nearest(value, known);
  return invalid(fmt::format("{} \"{}\" is not known, must be one of {}{}",
                             field,
                             printable(value),
                             join(known, ", "),
                             near ? fmt::format("; did you mean \"{}\"?", *near) : ""));
}

/// Words that no catalog could ever know, of which decide() could say nothing.
Result<void> check_words(const engines::EngineCatalog& catalog, const fleet::Request& request) {
  std::set<std::string> tasks;
  for (const auto& engine : catalog.engines()) tasks.insert(engine.tasks.begin(), engine.tasks.end());
  if (!tasks.empty()) TRY_VOID(check_one_of("task", request.task, {tasks.begin(), tasks.end()}));
  for (const auto& reason : request.accept) TRY_VOID(check_one_of("accept", reason, placement::acceptable_reasons()));
  return {};
}

Result<void> check_source_given(const fleet::ModelSource& source) {
  if (source.kind.empty())
    return invalid("$.spec.request.source is missing: say where the model is, as kind and path or repo");
  if (source.kind == "local" && source.path.empty())
    return invalid("$.spec.request.source.path is missing: a local model needs the path of its file or folder");
  if (source.repo.empty() && source.file.empty() && source.path.empty())
    return invalid(fmt::format("$.spec.request.source.repo is missing: kind is {}", source.kind));
  return {};
}

const std::string& route_of(const std::string& name, const fleet::DeploymentSpec& spec) {
  return spec.route.empty() ? name : spec.route;
}

}  // namespace

Result<fleet::Request> Reconciler::State::canonical(fleet::Request request, const engines::Caller& caller) const {
  TRY_VOID(check_words(options.catalog, request));
  return engines::canonical(options.catalog, std::move(request), caller);
}

Result<void> Reconciler::State::check_names(const fleet::Request& request) const {
  std::vector<std::string> ids;
  for (const auto& engine : options.catalog.engines()) ids.push_back(engine.id);
  if (request.restriction.engine) TRY_VOID(check_one_of("restriction.engine", *request.restriction.engine, ids));
  // Any state will do: a worker that is away still exists.
  const auto known = [this](std::string_view name) {
    return std::any_of(workers.begin(), workers.end(), [&](const auto& w) {
      return w.first == name || w.second.object.meta.name == name;
    });
  };
  const auto unknown = [](std::string_view field, std::string_view name) {
    return invalid(fmt::format("{} names the worker \"{}\", which this server does not know: see `berth get workers`",
                               field,
                               printable(name)));
  };
  for (const auto& name : request.restriction.workers)
    if (!known(name)) return unknown("restriction.workers", name);
  for (const auto& device : request.restriction.devices)
    if (const auto name = std::string_view(device).substr(0, device.find('/')); !known(name))
      return unknown("restriction.devices", name);
  return {};
}

Result<fleet::DeploymentSpec> Reconciler::State::check_spec(const std::string& name,
                                                            const std::string& own,
                                                            fleet::DeploymentSpec spec,
                                                            const engines::Caller& caller) const {
  auto& request = spec.request;
  if (request.replaces) return invalid("request.replaces is set by the server, leave it out");
  if (!spec.route.empty() && !is_name(spec.route)) return not_a_name("route", spec.route);
  TRY_VOID(check_source_given(request.source));
  request.deployment = name;
  TRY(request, canonical(std::move(request), caller));
  TRY_VOID(check_names(request));
  for (const auto& [id, other] : deployments) {
    const auto& o = other.object;
    if (id == own || o.meta.deleting || route_of(o.meta.name, o.spec) != route_of(name, spec)) continue;
    return fail(Code::kConflict,
                fmt::format("route \"{}\" belongs to deployment \"{}\": give this one another route",
                            route_of(name, spec),
                            o.meta.name));
  }
  return spec;
}

Result<fleet::DeploymentSpec> Reconciler::State::check_new(const std::string& name,
                                                           fleet::DeploymentSpec spec,
                                                           const engines::Caller& caller) const {
  if (!is_name(name)) return not_a_name("name", name);
  if (const auto* known = find_deployment(name); known != nullptr)
    return fail(
        Code::kConflict,
        fmt::format("deployment \"{}\" exists{}", name, known->object.meta.deleting ? " and is being deleted" : ""));
  return check_spec(name, "", std::move(spec), caller);
}

Result<fleet::DeploymentSpec> Reconciler::State::check_edit(const DeploymentRecord* known,
                                                            const std::string& name,
                                                            fleet::DeploymentSpec spec,
                                                            const engines::Caller& caller) const {
  if (known == nullptr) return fail(Code::kNotFound, fmt::format("deployment \"{}\" does not exist", printable(name)));
  const auto& meta = known->object.meta;
  if (meta.deleting) return fail(Code::kConflict, fmt::format("deployment \"{}\" is being deleted", meta.name));
  return check_spec(meta.name, meta.id, std::move(spec), caller);
}

Result<void> check_revision(const Envelope& meta, std::optional<std::uint64_t> expected) {
  if (!expected || *expected == meta.revision) return {};
  return fail(Code::kConflict,
              fmt::format("deployment \"{}\" has revision {}, not {}", meta.name, meta.revision, *expected));
}

Result<fleet::Request> Reconciler::canonical(fleet::Request request, const engines::Caller& caller) const {
  const auto lock = state_->enter();
  return state_->canonical(std::move(request), caller);
}

Result<void> Reconciler::check_names(const fleet::Request& request) const {
  const auto lock = state_->enter();
  return state_->check_names(request);
}

Result<fleet::Request> Reconciler::check_create(const std::string& name,
                                                fleet::DeploymentSpec spec,
                                                const engines::Caller& caller) const {
  const auto lock = state_->enter();
  TRY(auto checked, state_->check_new(name, std::move(spec), caller));
  return std::move(checked.request);
}

Result<fleet::Request> Reconciler::check_update(const std::string& name,
                                                fleet::DeploymentSpec spec,
                                                std::optional<std::uint64_t> expected_revision,
                                                const engines::Caller& caller) const {
  const auto lock = state_->enter();
  const auto* known = std::as_const(*state_).find_deployment(name);
  TRY(auto checked, state_->check_edit(known, name, std::move(spec), caller));
  const auto& meta = known->object.meta;
  TRY_VOID(check_revision(meta, expected_revision));
  // What it holds now is given back when it is replaced.
  checked.request.replaces = meta.id;
  return std::move(checked.request);
}

}  // namespace berth::reconcile
