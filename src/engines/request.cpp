#include "engines/request.h"

#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "engines/detail/settings.h"
#include "engines/flags.h"
#include "engines/launch.h"
#include "engines/world.h"

namespace berth::engines {
namespace {

std::string ids_of(const EngineCatalog& catalog) {
  std::vector<std::string> ids;
  for (const auto& engine : catalog.engines()) ids.push_back(engine.id);
  return join(ids, ", ");
}

/// The engine whose words `field` is written in. Another engine would read other things into them.
Result<const Engine*> engine_of(const EngineCatalog& catalog, const fleet::Request& request, std::string_view field) {
  const auto& id = request.restriction.engine;
  if (!id)
    return invalid(
        fmt::format("{0} is given, but restriction.engine is not: name the engine that it is for, one of {1}",
                    field,
                    ids_of(catalog)));
  if (const auto* engine = catalog.find(*id)) return engine;
  return invalid(fmt::format("{} is given for restriction.engine \"{}\", which the catalog does not have: it has {}",
                             field,
                             printable(*id),
                             ids_of(catalog)));
}

Result<void> check_kv_type(const EngineCatalog& catalog, const std::optional<std::string>& type) {
  constexpr std::string_view kSetting = "kv_type";
  std::set<std::string> known;
  for (const auto& engine : catalog.engines()) {
    for (const auto& flag : engine.flags)
      if (flag.setting == kSetting) known.insert(flag.choices.begin(), flag.choices.end());
    // Names of berth's that an engine spells in its own way.
    if (const auto at = engine.recipe.spellings.find(std::string(kSetting)); at != engine.recipe.spellings.end())
      for (const auto& [ours, theirs] : at->second) known.insert(ours);
  }
  if (!type || known.empty() || known.contains(*type)) return {};
  return invalid(fmt::format("settings.kv_type is \"{}\", must be one of {}",
                             printable(*type),
                             join(std::vector<std::string>(known.begin(), known.end()), ", ")));
}

/// What nobody typed is passed on for those only who may do so.
Result<void> check_unknown(const Engine& engine, const std::vector<std::string>& flags, const Caller& caller) {
  if (caller.operator_right) return {};
  const auto unknown = unknown_flags(engine, flags);
  if (unknown.empty()) return {};
  std::vector<std::string> offered;
  for (const auto& flag : engine.flags)
    if (flag.kind != FlagClass::kOwned) offered.push_back(flag.name);
  const auto near = nearest(unknown.front(), offered);
  return fail(Code::kForbidden,
              fmt::format("settings.flags: {} is no flag of {} that berth knows{}; one that it does not know needs a "
                          "key with the scope operator{}",
                          printable(unknown.front()),
                          engine.title,
                          near ? fmt::format(": did you mean {}?", *near) : "",
                          caller.name.empty() ? "" : fmt::format(", which \"{}\" lacks", printable(caller.name))));
}

/// Settings that are the whole of a custom engine and nothing to the others.
Result<void> check_declared(const EngineCatalog& catalog, const fleet::Request& request, const Caller& caller) {
  const auto& s = request.settings;
  for (const auto& [path, there] :
       {std::pair("settings.command", !s.command.empty()), std::pair("settings.image", s.image.has_value())}) {
    if (!there) continue;
    TRY(const auto* engine, engine_of(catalog, request, path));
    if (!engine->recipe.command_from_request)
      return invalid(fmt::format("{} is given, but {} has a command of its own", path, engine->title));
    if (!caller.operator_right)
      return fail(Code::kForbidden,
                  fmt::format("{} runs a program of the deployment's own on a worker: it needs a key with the scope "
                              "operator{}",
                              path,
                              caller.name.empty() ? "" : fmt::format(", which \"{}\" lacks", printable(caller.name))));
  }
  if (!s.needs) return {};
  TRY(const auto* engine, engine_of(catalog, request, "settings.needs"));
  if (engine->memory != MemoryModel::kDeclared)
    return invalid(fmt::format("settings.needs is given, but what {} needs is computed", engine->title));
  return {};
}

}  // namespace

std::vector<std::string> unknown_flags(const EngineCatalog& catalog, const fleet::Request& request) {
  const auto& id = request.restriction.engine;
  const auto* engine = id ? catalog.find(*id) : nullptr;
  return engine == nullptr ? std::vector<std::string>() : unknown_flags(*engine, request.settings.flags);
}

std::vector<std::string> operators_only(const EngineCatalog& catalog, const fleet::Request& request) {
  auto out = unknown_flags(catalog, request);
  if (!request.settings.command.empty()) out.emplace_back("settings.command");
  if (request.settings.image) out.emplace_back("settings.image");
  return out;
}

Result<fleet::Request> canonical(const EngineCatalog& catalog, fleet::Request request, const Caller& caller) {
  if (!request.settings.flags.empty()) {
    TRY(const auto* engine, engine_of(catalog, request, "settings.flags"));
    TRY(request, absorb_flags(*engine, std::move(request)));
    TRY_VOID(check_unknown(*engine, request.settings.flags, caller));
  }
  for (const auto* size : detail::kept_settings()) {
    if (!(request.restriction.*size->kept)) continue;
    TRY(const auto* engine, engine_of(catalog, request, size->path));
    TRY(request, absorb_flags(*engine, std::move(request)));
  }
  if (const auto* engine = request.restriction.engine ? catalog.find(*request.restriction.engine) : nullptr)
    TRY_VOID(world_of(*engine, request.restriction, request.settings.flags).map([](const World&) {}));
  if (!request.settings.env.empty()) {
    TRY(const auto* engine, engine_of(catalog, request, "settings.env"));
    TRY_VOID(check_environment(*engine, request.settings.env));
  }
  TRY_VOID(check_declared(catalog, request, caller));
  TRY_VOID(check_kv_type(catalog, request.settings.kv_type));
  // What is asked of the model, not what it was trained for, decides how its batches are computed.
  if (request.facts && (request.task == "embed" || request.task == "rerank")) request.facts->task = request.task;
  return fleet::canonical(std::move(request));
}

}  // namespace berth::engines
