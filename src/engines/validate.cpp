#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "engines/catalog.h"
#include "engines/detail/check.h"
#include "engines/detail/settings.h"
#include "engines/flags.h"
#include "engines/launch.h"
#include "engines/world.h"

namespace berth::engines {
namespace {

constexpr std::array<std::string_view, 10> kLayouts = {"cpu",
                                                       "single_device",
                                                       "several_devices",
                                                       "partial_offload",
                                                       "tensor_parallel",
                                                       "pipeline_parallel",
                                                       "data_parallel",
                                                       "over_workers",
                                                       "over_workers_evenly",
                                                       "declared"};
constexpr std::array<std::string_view, 3> kInstallWays = {"", "container", "package"};

template <class List>
bool holds(const List& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string at(std::string_view list, std::size_t index, std::string_view field) {
  return fmt::format("{}[{}].{}", list, index, field);
}

Result<void> check_version(const std::string& path, const std::optional<std::string>& version) {
  if (!version) return {};
  if (!version->empty() && version->front() >= '0' && version->front() <= '9') return {};
  return invalid(fmt::format("{} is \"{}\", must begin with a number", path, *version));
}

Result<void> check_row(const Engine& engine, std::size_t i) {
  const SupportRow& row = engine.rows[i];
  if (row.vendor.empty()) return invalid(at("rows", i, "vendor") + " is empty: name it, \"cpu\" for none, or any");
  if (row.source.empty()) return invalid(at("rows", i, "source") + " is empty: say where the facts come from");
  if (!holds(kInstallWays, row.install))
    return invalid(
        fmt::format("{} is \"{}\", must be container, package or empty", at("rows", i, "install"), row.install));
  for (const auto& version : row.versions)
    if (!holds(engine.versions, version))
      return invalid(fmt::format("{} has \"{}\", which is not among versions", at("rows", i, "versions"), version));
  TRY_VOID(check_version(at("rows", i, "runtime_version"), row.runtime_version));
  TRY_VOID(check_version(at("rows", i, "runtime_version_min"), row.runtime_version_min));
  TRY_VOID(check_version(at("rows", i, "driver_version_min"), row.driver_version_min));
  TRY_VOID(check_version(at("rows", i, "capability_min"), row.capability_min));
  if (!row.runtime_version_min) return {};
  if (!row.runtime_version) return invalid(at("rows", i, "runtime_version_min") + " needs a runtime_version");
  if (compare_versions(*row.runtime_version_min, *row.runtime_version) > 0)
    return invalid(fmt::format("{} is {}, must be at most runtime_version {}",
                               at("rows", i, "runtime_version_min"),
                               *row.runtime_version_min,
                               *row.runtime_version));
  return {};
}

Result<void> check_spelling(const std::string& path, const std::string& spelling, std::set<std::string>& seen) {
  const bool shaped = spelling.size() > 1 && spelling[0] == '-' && spelling.find_first_of("= _") == std::string::npos;
  if (!shaped) return invalid(fmt::format("{} is \"{}\", must be like --ctx-size or -c", path, spelling));
  if (!seen.insert(spelling).second) return invalid(fmt::format("{} \"{}\" is there twice", path, spelling));
  return {};
}

Result<void> check_flag(const Flag& flag, std::size_t i, std::set<std::string>& seen) {
  TRY_VOID(check_spelling(at("flags", i, "name"), flag.name, seen));
  for (const auto& alias : flag.aliases) TRY_VOID(check_spelling(at("flags", i, "aliases"), alias, seen));
  if (!flag.negation.empty()) {
    TRY_VOID(check_spelling(at("flags", i, "negation"), flag.negation, seen));
    if (flag.type != FlagType::kBool) return invalid(at("flags", i, "negation") + " is for switches (type bool) only");
  }
  if (flag.type == FlagType::kChoice && flag.choices.empty())
    return invalid(at("flags", i, "choices") + " is empty, but the type is choice");
  if (flag.min && flag.max && *flag.min > *flag.max)
    return invalid(fmt::format("{} is {}, must be at most max {}", at("flags", i, "min"), *flag.min, *flag.max));
  if (flag.kind == FlagClass::kPath && flag.type != FlagType::kText)
    return invalid(at("flags", i, "type") + " of a path must be text");
  if (flag.kind != FlagClass::kPath && flag.form != PathForm::kList)
    return invalid(at("flags", i, "form") + " needs kind path");
  if (flag.kind == FlagClass::kOwned && flag.doc.empty())
    return invalid(at("flags", i, "doc") + " is empty: an owned flag says why it is refused");
  if (flag.setting.empty()) return {};
  if (detail::find_setting(flag.setting) == nullptr)
    return invalid(fmt::format(
        "{} is \"{}\", must be one of {}", at("flags", i, "setting"), flag.setting, detail::setting_names()));
  if (flag.kind != FlagClass::kAllowed) return invalid(at("flags", i, "setting") + " needs kind allowed");
  return {};
}

Result<void> check_text(const std::string& path, const std::string& text, bool secret_allowed) {
  for (const auto& name : placeholders_in(text)) {
    if (!is_placeholder(name)) return invalid(fmt::format("{}: {{{}}} is no placeholder", path, name));
    if (name == "secret" && !secret_allowed)
      return invalid(path + ": {secret} would be readable in the process list; use {secret_file} or the environment");
  }
  return {};
}

Result<void> check_recipe(const Engine& engine) {
  const Recipe& recipe = engine.recipe;
  if (engine.supported && recipe.programs.empty() && !recipe.command_from_request)
    return invalid("recipe.programs is empty");
  for (const auto& program : recipe.programs)
    if (program.empty() || program.find('/') != std::string::npos)
      return invalid(fmt::format("recipe.programs has \"{}\", must be a name without a folder", program));
  for (std::size_t i = 0; i < recipe.arguments.size(); ++i) {
    const Argument& argument = recipe.arguments[i];
    if (!argument.when.empty() && !is_condition(argument.when) && !holds(engine.tasks, argument.when))
      return invalid(
          fmt::format("{} is \"{}\", no condition or task", at("recipe.arguments", i, "when"), argument.when));
    if (argument.args.empty()) return invalid(at("recipe.arguments", i, "args") + " is empty");
    for (const auto& text : argument.args) TRY_VOID(check_text(at("recipe.arguments", i, "args"), text, false));
  }
  for (const auto& [name, text] : recipe.environment) TRY_VOID(check_text("recipe.environment." + name, text, true));
  for (const auto& [name, list] : recipe.spellings)
    if (!is_placeholder(name)) return invalid(fmt::format("recipe.spellings: {} is no placeholder", name));
  for (const auto& pattern : recipe.user_environment) {
    // A pattern is judged by the name that it spells without its wildcards: "LD_*" and "*" admit what no one may set.
    const std::string stem = pattern.substr(0, pattern.find_first_of("*?"));
    if (stem.empty() || never_allowed(stem))
      return invalid(
          fmt::format("recipe.user_environment has \"{}\", which admits variables that are never allowed", pattern));
  }
  if (engine.supported && (recipe.health.path.empty() || recipe.health.path[0] != '/'))
    return invalid(fmt::format("recipe.health.path is \"{}\", must begin with /", recipe.health.path));
  return {};
}

Result<void> check_world(const Engine& engine) {
  const WorldRules& world = engine.world;
  const auto known = [](const std::string& path, const std::string& name) -> Result<void> {
    if (is_parallel_size(name)) return {};
    return invalid(fmt::format("{} has \"{}\", which is no parallel size", path, name));
  };
  for (const auto& name : world.powers_of_two) TRY_VOID(known("world.powers_of_two", name));
  for (const auto& group : world.exclusive)
    for (const auto& name : group) TRY_VOID(known("world.exclusive", name));
  for (const auto* by : {&world.data_parallel_inside_by, &world.expert_parallel_by})
    if (const Flag* flag = by->empty() ? nullptr : find_flag(engine, *by);
        !by->empty() && (flag == nullptr || flag->name != *by || flag->type != FlagType::kBool))
      return invalid(fmt::format("world names {}, which is no switch of flags", *by));
  // A size that no plan holds reaches the engine by its flag only.
  const auto has_flag = [&](std::string_view setting) {
    return std::any_of(engine.flags.begin(), engine.flags.end(), [&](const Flag& f) { return f.setting == setting; });
  };
  const std::array<std::pair<std::string_view, bool>, 4> sizes = {
      {{"data_parallel_local", world.data_parallel_local},
       {"expert_parallel", world.expert_parallel != Combine::kAbsent},
       {"prefill_context_parallel", world.prefill_context_parallel != Combine::kAbsent},
       {"decode_context_parallel", world.decode_context_parallel != Combine::kAbsent}}};
  for (const auto& [name, there] : sizes)
    if (there != has_flag(name))
      return invalid(fmt::format(
          "world.{} is {}, but {} flag has it as setting", name, there ? "there" : "absent", there ? "no" : "a"));
  return {};
}

Result<void> check_type_need(const Engine& engine, std::size_t i) {
  const TypeNeed& need = engine.type_needs[i];
  if (need.type.empty() || need.vendor.empty()) return invalid(at("type_needs", i, "type") + " or vendor is empty");
  const int says = (need.capability_min.empty() ? 0 : 1) + (need.variants.empty() ? 0 : 1) + (need.refused ? 1 : 0);
  if (says != 1) return invalid(at("type_needs", i, "capability_min") + ": give it, or variants, or refused");
  for (const auto& version : need.versions)
    if (!holds(engine.versions, version))
      return invalid(
          fmt::format("{} has \"{}\", which is not among versions", at("type_needs", i, "versions"), version));
  if (need.capability_min.empty()) return {};
  return check_version(at("type_needs", i, "capability_min"), need.capability_min);
}

// What is not a row: everything that says where its facts come from.
Result<void> check_facts_of(const Engine& engine) {
  TRY_VOID(check_architectures(engine));
  for (std::size_t i = 0; i < engine.type_needs.size(); ++i) TRY_VOID(check_type_need(engine, i));
  for (std::size_t i = 0; i < engine.unsupported.size(); ++i) {
    const Unsupported& no = engine.unsupported[i];
    if (no.vendor.empty() || no.why.empty() || no.source.empty())
      return invalid(at("unsupported", i, "vendor") + ", why or source is empty");
    for (const auto& row : engine.rows)
      if (row.vendor == no.vendor)
        return invalid(fmt::format("{} is \"{}\", which has a row", at("unsupported", i, "vendor"), no.vendor));
  }
  for (std::size_t i = 0; i < engine.limits.size(); ++i) {
    const VersionLimit& limit = engine.limits[i];
    if (limit.source.empty()) return invalid(at("limits", i, "source") + " is empty: say where the facts come from");
    for (const auto& version : limit.versions)
      if (!holds(engine.versions, version))
        return invalid(fmt::format("{} has \"{}\", which is not among versions", at("limits", i, "versions"), version));
    for (const auto& layout : limit.layouts)
      if (!holds(engine.layouts, layout))
        return invalid(fmt::format("{} has \"{}\", which is not among layouts", at("limits", i, "layouts"), layout));
  }
  for (std::size_t i = 0; i < engine.divides.size(); ++i)
    if (engine.divides[i].pad < 1 || engine.divides[i].source.empty())
      return invalid(at("divides", i, "pad") + " is 0 or source is empty");
  return {};
}

// Of a vendor, rows come best first: a decision tries the first version of each, in that order.
Result<void> check_row_order(const Engine& engine) {
  const auto place = [&](const SupportRow& row) {
    const auto at = row.versions.empty()
                        ? engine.versions.begin()
                        : std::find(engine.versions.begin(), engine.versions.end(), row.versions.front());
    return at - engine.versions.begin();
  };
  for (std::size_t i = 0; i < engine.rows.size(); ++i)
    for (std::size_t j = i + 1; j < engine.rows.size(); ++j)
      if (engine.rows[i].vendor == engine.rows[j].vendor && engine.rows[i].framework == engine.rows[j].framework &&
          place(engine.rows[j]) < place(engine.rows[i]))
        return invalid(fmt::format(
            "{} come before those of rows[{}] in versions: put the better row first", at("rows", j, "versions"), i));
  return {};
}

Result<void> check_engine(const Engine& engine) {
  if (engine.id.empty()) return invalid("id is empty");
  if (engine.title.empty()) return invalid("title is empty");
  if (engine.rows.size() > kRowsMax)
    return invalid(fmt::format("rows has {} entries, at most {}", engine.rows.size(), kRowsMax));
  if (engine.flags.size() > kFlagsKnownMax)
    return invalid(fmt::format("flags has {} entries, at most {}", engine.flags.size(), kFlagsKnownMax));
  if (engine.supported && engine.rows.empty()) return invalid("rows is empty: nothing could run it");
  if (engine.supported && engine.layouts.empty()) return invalid("layouts is empty: nothing could place it");
  for (std::size_t i = 0; i < engine.layouts.size(); ++i)
    if (!holds(kLayouts, engine.layouts[i]))
      return invalid(
          fmt::format("layouts[{}] is \"{}\", must be one of {}", i, engine.layouts[i], fmt::join(kLayouts, ", ")));
  const std::set<std::string> versions(engine.versions.begin(), engine.versions.end());
  if (versions.size() != engine.versions.size()) return invalid("versions names one twice");
  for (std::size_t i = 0; i < engine.rows.size(); ++i) TRY_VOID(check_row(engine, i));
  TRY_VOID(check_row_order(engine));
  TRY_VOID(check_facts_of(engine));
  std::set<std::string> spellings;
  for (std::size_t i = 0; i < engine.flags.size(); ++i) TRY_VOID(check_flag(engine.flags[i], i, spellings));
  TRY_VOID(check_world(engine));
  return check_recipe(engine);
}

}  // namespace

Result<void> validate(const EngineCatalog& catalog) {
  if (catalog.engines().size() > kEnginesMax)
    return invalid(fmt::format("engines has {} entries, at most {}", catalog.engines().size(), kEnginesMax));
  std::set<std::string_view> ids;
  for (std::size_t i = 0; i < catalog.engines().size(); ++i) {
    const Engine& engine = catalog.engines()[i];
    if (auto ok = check_engine(engine); !ok.has_value())
      return in(fmt::format("engines[{}] ({})", i, engine.id), std::move(ok).error());
    if (!ids.insert(engine.id).second)
      return invalid(fmt::format("engines[{}].id \"{}\" is there twice", i, engine.id));
  }
  return {};
}

}  // namespace berth::engines
