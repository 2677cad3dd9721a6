// What a request or a deployment may say. Names of what never existed are refused here, where the whole fleet is known;
// decide() has an answer for them too, for fleets from files and for GPUStack's clients.
#include <algorithm>
#include <fmt/format.h>
#include <functional>
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

/// The names that are taken: as the reconciler has them at this moment, or as its last picture shows them.
struct Known {
  std::function<bool(std::string_view)> worker;
  std::function<const DeploymentObject*(const std::string& name_or_id)> deployment;
  std::function<void(const std::function<void(const DeploymentObject&)>&)> each_deployment;
};

Known known_in(const View& view) {
  return {.worker =
              [&view](std::string_view name) {
                return std::any_of(view.workers.begin(), view.workers.end(), [&](const WorkerObject& w) {
                  return w.meta.id == name || w.meta.name == name;
                });
              },
          .deployment =
              [&view](const std::string& name) {
                const DeploymentObject* found = nullptr;
                for (const auto& d : view.deployments) {
                  if (d.meta.id == name) return &d;
                  if (d.meta.name == name && (found == nullptr || !d.meta.deleting)) found = &d;
                }
                return found;
              },
          .each_deployment =
              [&view](const std::function<void(const DeploymentObject&)>& visit) {
                for (const auto& d : view.deployments) visit(d);
              }};
}

Result<void> check_names_in(const Known& known, const engines::EngineCatalog& catalog, const fleet::Request& request) {
  std::vector<std::string> ids;
  for (const auto& engine : catalog.engines()) ids.push_back(engine.id);
  if (request.restriction.engine) TRY_VOID(check_one_of("restriction.engine", *request.restriction.engine, ids));
  const auto unknown = [](std::string_view field, std::string_view name) {
    return invalid(fmt::format("{} names the worker \"{}\", which this server does not know: see `berth get workers`",
                               field,
                               printable(name)));
  };
  // Any state will do: a worker that is away still exists.
  for (const auto& name : request.restriction.workers)
    if (!known.worker(name)) return unknown("restriction.workers", name);
  for (const auto& device : request.restriction.devices)
    if (const auto name = std::string_view(device).substr(0, device.find('/')); !known.worker(name))
      return unknown("restriction.devices", name);
  return {};
}

Result<fleet::Request> canonical_of(const engines::EngineCatalog& catalog,
                                    fleet::Request request,
                                    const engines::Caller& caller) {
  TRY_VOID(check_words(catalog, request));
  return engines::canonical(catalog, std::move(request), caller);
}

/// Who asks, and of which catalog.
struct Asked {
  const Known& known;
  const engines::EngineCatalog& catalog;
  const engines::Caller& caller;
};

/// The spec as it is stored. `own`: id of the deployment that it is for, empty for a new one.
Result<fleet::DeploymentSpec> spec_of(const Asked& asked,
                                      const std::string& name,
                                      const std::string& own,
                                      fleet::DeploymentSpec spec) {
  auto& request = spec.request;
  if (request.replaces) return invalid("request.replaces is set by the server, leave it out");
  if (!spec.route.empty() && !is_name(spec.route)) return not_a_name("route", spec.route);
  TRY_VOID(check_source_given(request.source));
  request.deployment = name;
  TRY(request, canonical_of(asked.catalog, std::move(request), asked.caller));
  TRY_VOID(check_names_in(asked.known, asked.catalog, request));
  std::optional<std::string> owner;
  asked.known.each_deployment([&](const DeploymentObject& o) {
    if (o.meta.id != own && !o.meta.deleting && route_of(o.meta.name, o.spec) == route_of(name, spec))
      owner = o.meta.name;
  });
  if (owner)
    return fail(
        Code::kConflict,
        fmt::format(
            "route \"{}\" belongs to deployment \"{}\": give this one another route", route_of(name, spec), *owner));
  return spec;
}

Result<fleet::DeploymentSpec> new_spec(const Asked& asked, const std::string& name, fleet::DeploymentSpec spec) {
  if (!is_name(name)) return not_a_name("name", name);
  if (const auto* there = asked.known.deployment(name); there != nullptr)
    return fail(Code::kConflict,
                fmt::format("deployment \"{}\" exists{}", name, there->meta.deleting ? " and is being deleted" : ""));
  return spec_of(asked, name, "", std::move(spec));
}

Result<fleet::DeploymentSpec> edited_spec(const Asked& asked,
                                          const DeploymentObject* there,
                                          const std::string& name,
                                          fleet::DeploymentSpec spec) {
  if (there == nullptr) return fail(Code::kNotFound, fmt::format("deployment \"{}\" does not exist", printable(name)));
  const auto& meta = there->meta;
  if (meta.deleting) return fail(Code::kConflict, fmt::format("deployment \"{}\" is being deleted", meta.name));
  return spec_of(asked, meta.name, meta.id, std::move(spec));
}

Known known_now(const auto& state) {
  return {.worker =
              [&state](std::string_view name) {
                return std::any_of(state.workers.begin(), state.workers.end(), [&](const auto& w) {
                  return w.first == name || w.second.object.meta.name == name;
                });
              },
          .deployment = [&state](const std::string& name) -> const DeploymentObject* {
            const auto* record = state.find_deployment(name);
            return record == nullptr ? nullptr : &record->object;
          },
          .each_deployment =
              [&state](const std::function<void(const DeploymentObject&)>& visit) {
                for (const auto& [id, record] : state.deployments) visit(record.object);
              }};
}

}  // namespace

Result<fleet::DeploymentSpec> Reconciler::State::check_new(const std::string& name,
                                                           fleet::DeploymentSpec spec,
                                                           const engines::Caller& caller) const {
  const Known known = known_now(*this);
  return new_spec({known, options.catalog, caller}, name, std::move(spec));
}

Result<fleet::DeploymentSpec> Reconciler::State::check_edit(const DeploymentRecord* known,
                                                            const std::string& name,
                                                            fleet::DeploymentSpec spec,
                                                            const engines::Caller& caller) const {
  const Known names = known_now(*this);
  return edited_spec(
      {names, options.catalog, caller}, known == nullptr ? nullptr : &known->object, name, std::move(spec));
}

Result<void> check_revision(const Envelope& meta, std::optional<std::uint64_t> expected) {
  if (!expected || *expected == meta.revision) return {};
  return fail(Code::kConflict,
              fmt::format("deployment \"{}\" has revision {}, not {}", meta.name, meta.revision, *expected));
}

// What follows only asks: it goes by the last picture and waits for no change that is being written.

Result<fleet::Request> Reconciler::canonical(fleet::Request request, const engines::Caller& caller) const {
  return canonical_of(catalog(), std::move(request), caller);
}

Result<void> Reconciler::check_names(const fleet::Request& request) const {
  const auto seen = view();
  return check_names_in(known_in(*seen), catalog(), request);
}

Result<fleet::Request> Reconciler::check_create(const std::string& name,
                                                fleet::DeploymentSpec spec,
                                                const engines::Caller& caller) const {
  const auto seen = view();
  const Known known = known_in(*seen);
  TRY(auto checked, new_spec({known, catalog(), caller}, name, std::move(spec)));
  return std::move(checked.request);
}

Result<fleet::Request> Reconciler::check_update(const std::string& name,
                                                fleet::DeploymentSpec spec,
                                                std::optional<std::uint64_t> expected_revision,
                                                const engines::Caller& caller) const {
  const auto seen = view();
  const Known known = known_in(*seen);
  const auto* there = known.deployment(name);
  TRY(auto checked, edited_spec({known, catalog(), caller}, there, name, std::move(spec)));
  TRY_VOID(check_revision(there->meta, expected_revision));
  // What it holds now is given back when it is replaced.
  checked.request.replaces = there->meta.id;
  return std::move(checked.request);
}

}  // namespace berth::reconcile
