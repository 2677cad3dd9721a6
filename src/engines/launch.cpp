#include "engines/launch.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/detail/settings.h"
#include "engines/detail/words.h"
#include "engines/flags.h"
#include "engines/paths.h"

namespace berth::engines {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

void put(Values& values, std::string name, std::string text) {
  if (!text.empty()) values.emplace(std::move(name), std::move(text));
}

template <class T>
void put(Values& values, std::string name, const std::optional<T>& value) {
  if (value) put(values, std::move(name), fmt::format("{}", *value));
}

// An engine's own words for berth's values: "f16" → "auto".
void respell(const Recipe& recipe, Values& values) {
  for (const auto& [name, list] : recipe.spellings) {
    const auto value = values.find(name);
    if (value == values.end()) continue;
    if (const auto spelt = list.find(value->second); spelt != list.end()) value->second = spelt->second;
  }
}

Values values_of(const Recipe& recipe,
                 const fleet::Plan& plan,
                 const fleet::PlanWorker& part,
                 const LaunchPlace& place) {
  const auto& s = plan.settings;
  Values v;
  put(v, "model_path", place.model_path);
  put(v, "host", place.host);
  put(v, "port", std::to_string(place.port));
  put(v, "secret_file", place.secret_file);
  put(v, "secret", place.secret);
  put(v, "alias", place.alias);
  put(v, "threads", std::to_string(place.threads));
  put(v, "pooling", place.pooling);
  put(v, "context", s.context);
  put(v, "sequences", s.sequences);
  put(v, "kv_type", s.kv_type);
  put(v, "ubatch", s.ubatch);
  put(v, "offload_layers", plan.offload_layers ? plan.offload_layers : s.offload_layers);
  put(v, "utilization", s.utilization);
  put(v, "tensor_parallel", std::to_string(plan.tensor_parallel));
  put(v, "pipeline_parallel", std::to_string(plan.pipeline_parallel));
  put(v, "data_parallel", std::to_string(plan.data_parallel));
  put(v, "device_count", std::to_string(part.devices.size()));
  if (s.flash_attention) put(v, "flash_attention", std::string(*s.flash_attention ? "on" : "off"));
  if (part.tensor_split.size() > 1) put(v, "tensor_split", fmt::format("{}", fmt::join(part.tensor_split, ",")));
  respell(recipe, v);
  return v;
}

bool holds(const std::string& when, std::size_t devices, const std::string& task) {
  if (when.empty() || when == task) return true;
  if (when == "devices") return devices > 0;
  if (when == "cpu") return devices == 0;
  if (when == "one_device") return devices == 1;
  if (when == "several_devices") return devices > 1;
  return false;
}

Result<void> check_place(const Engine& engine, const fleet::PlanWorker& part, const LaunchPlace& place) {
  if (!engine.recipe.command_from_request && (place.program.empty() || place.program[0] != '/'))
    return invalid(fmt::format("program is \"{}\", must be an absolute path", place.program));
  if (place.model_path.empty() || place.model_path[0] != '/')
    return invalid(fmt::format("model_path is \"{}\", must be an absolute path", place.model_path));
  if (place.port == 0) return invalid("port is 0: an engine must not choose its own");
  for (const auto& id : part.devices)
    if (id.empty() || id.find(',') != std::string::npos)
      return invalid(fmt::format("device id \"{}\" is empty or has a comma", printable(id)));
  bool wants_file = false;
  bool wants_secret = false;
  const auto look = [&](const std::string& text) {
    for (const auto& name : placeholders_in(text)) {
      wants_file = wants_file || name == "secret_file";
      wants_secret = wants_secret || name == "secret";
    }
  };
  for (const auto& argument : engine.recipe.arguments)
    for (const auto& text : argument.args) look(text);
  for (const auto& [name, text] : engine.recipe.environment) look(text);
  if ((wants_file && place.secret_file.empty()) || (wants_secret && place.secret.empty()))
    return invalid(fmt::format("engine {} takes its key by file or environment, but none is given", engine.id));
  return {};
}

Result<void> check_user_flag(const ParsedFlag& flag, const LaunchPlace& place) {
  const auto* setting = detail::find_setting(flag.setting);
  if (setting != nullptr && setting->kept == nullptr)
    return invalid(fmt::format("flag {} means the setting {}, which the plan has already: it must not be given again",
                               flag.name,
                               flag.setting));
  TRY(const auto parts, pieces(flag));
  for (const auto& piece : parts)
    if (piece.path && !is_under(piece.text, place.path_roots))
      return fail(Code::kForbidden,
                  fmt::format("flag {}: {} is outside the folders that engines may read ({})",
                              flag.name,
                              piece.text,
                              place.path_roots.empty() ? "none" : join(place.path_roots, ", ")));
  return {};
}

// The recipe's arguments, but those that a flag of the deployment replaces.
std::vector<std::string> recipe_arguments(const Engine& engine,
                                          const std::vector<ParsedFlag>& user,
                                          std::size_t devices,
                                          const std::string& task,
                                          const Values& values) {
  std::vector<std::string> out;
  for (const auto& argument : engine.recipe.arguments) {
    if (argument.args.empty() || !holds(argument.when, devices, task)) continue;
    const Flag* flag = find_flag(engine, argument.args[0]);
    const std::string& name = flag == nullptr ? argument.args[0] : flag->name;
    if (std::any_of(user.begin(), user.end(), [&](const ParsedFlag& f) { return f.name == name; })) continue;
    std::vector<std::string> words;
    for (const auto& text : argument.args) {
      auto word = expand(text, values);
      if (!word) break;
      words.push_back(std::move(*word));
    }
    if (words.size() == argument.args.size()) out.insert(out.end(), words.begin(), words.end());
  }
  return out;
}

// CUDA takes ids beside places, a slice by its id alone, and never both in one list. A command of the request's may
// count on what CUDA does; the other engines that go by places stop at an id.
bool takes_ids(const Recipe& recipe, const std::string& framework) {
  return recipe.command_from_request && framework == "cuda";
}

// What the variable of visible devices holds: ids, or places in the driver's list.
Result<std::string> visible_list(const Engine& engine,
                                 const std::string& framework,
                                 const fleet::PlanWorker& part,
                                 const LaunchPlace& place) {
  const Recipe& recipe = engine.recipe;
  const auto& places = recipe.index_frameworks;
  const bool by_index = recipe.devices_by_index || std::find(places.begin(), places.end(), framework) != places.end();
  if (!by_index) return join(part.devices, ",");
  std::vector<std::string> out;
  for (const auto& id : part.devices) {
    const auto at = place.device_indices.find(id);
    if (at == place.device_indices.end() && takes_ids(recipe, framework)) return join(part.devices, ",");
    if (at == place.device_indices.end())
      return invalid(fmt::format(
          "device {} has no place in the driver's list (it is a slice, or gone), and {} takes its devices by "
          "place: select a whole device, or an engine that takes ids",
          printable(id),
          engine.title));
    out.push_back(at->second);
  }
  return join(out, ",");
}

// The words of a custom engine, with what only the worker knows filled in.
Result<std::vector<std::string>> command_of(const Engine& engine, const fleet::Settings& settings, Values values) {
  const bool contained = settings.image.has_value();
  if (settings.command.empty() && !contained)
    return invalid(
        fmt::format("engine {} runs what settings.command or settings.image says, and neither is given", engine.id));
  values.erase("secret");  // arguments can be read in the process list
  std::vector<std::string> out;
  for (const auto& text : settings.command) {
    auto word = expand(text, values);
    if (!word)
      return invalid(
          fmt::format("settings.command: \"{}\" names a placeholder that has no value here", printable(text)));
    out.push_back(std::move(*word));
  }
  if (!contained && out.front()[0] != '/')
    return invalid(fmt::format("settings.command[0] is \"{}\", must be an absolute path", printable(out.front())));
  return out;
}

void add_user_flag(const Engine& engine, const ParsedFlag& flag, std::vector<std::string>& argv) {
  if (flag.known && flag.kind == FlagClass::kPath && flag.form == PathForm::kNamedList) {
    argv.push_back(flag.name);
    for (auto& entry : split(flag.value, ',')) argv.emplace_back(entry);
    return;
  }
  // "--flag=-x" is the one form that argparse takes for a value with a dash.
  if (flag.has_value && !flag.value.empty() && flag.value[0] == '-' && !detail::is_number(flag.value)) {
    argv.push_back(flag.name + "=" + flag.value);
    return;
  }
  const std::string text = flag.has_value ? flag.name : flag_text(engine, flag);
  if (!text.empty()) argv.push_back(text);
  if (flag.has_value) argv.push_back(flag.value);
}

}  // namespace

Result<LaunchSpec> launch(const Engine& engine,
                          const fleet::Plan& plan,
                          const fleet::PlanWorker& part,
                          const std::string& framework,
                          const std::string& task,
                          const LaunchPlace& place) {
  TRY_VOID(check_place(engine, part, place));
  TRY(auto user, parse_flags(engine, plan.settings.flags));
  for (auto& flag : user) {
    TRY_VOID(check_user_flag(flag, place));
    TRY(flag.value, with_real_paths(flag, place.real_paths));
  }
  TRY_VOID(check_environment(engine, plan.settings.env));

  const Values values = values_of(engine.recipe, plan, part, place);
  LaunchSpec spec;
  if (engine.recipe.command_from_request) {
    TRY(spec.argv, command_of(engine, plan.settings, values));
    spec.image = plan.settings.image.value_or("");
  } else {
    spec.argv = {place.program};
    spec.argv.insert(spec.argv.end(), place.program_args.begin(), place.program_args.end());
  }
  const auto words = recipe_arguments(engine, user, part.devices.size(), task, values);
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  for (const auto& flag : user) add_user_flag(engine, flag, spec.argv);

  // Later ones win: a deployment never overrides what the recipe or the choice of devices sets.
  spec.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"LANG", "C.UTF-8"}};
  for (const auto& [name, value] : plan.settings.env) spec.environment.insert_or_assign(name, value);
  for (const auto& [name, text] : engine.recipe.environment)
    if (auto value = expand(text, values)) spec.environment.insert_or_assign(name, std::move(*value));
  for (const auto& [name, variable] : engine.recipe.visible_devices) spec.environment.insert_or_assign(variable, "");
  if (const auto at = engine.recipe.visible_devices.find(framework); at != engine.recipe.visible_devices.end()) {
    TRY(auto list, visible_list(engine, framework, part, place));
    spec.environment.insert_or_assign(at->second, std::move(list));
  }

  for (const auto& word : spec.argv)
    if (detail::is_unprintable(word))
      return invalid(fmt::format("argument \"{}\" has a line break or another control character", printable(word)));
  for (const auto& [name, value] : spec.environment)
    if (detail::is_unprintable(value))
      return invalid(fmt::format("variable {} has a line break or another control character", name));
  return spec;
}

}  // namespace berth::engines
