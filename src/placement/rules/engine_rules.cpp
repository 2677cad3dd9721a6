#include "placement/rules/engine_rules.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "engines/flags.h"
#include "placement/rules/architecture.h"
#include "placement/rules/device_rules.h"
#include "placement/rules/rows.h"

namespace berth::placement {
namespace {

using engines::SupportRow;

std::string os_title(const std::string& os) {
  if (os == "linux") return "Linux";
  if (os == "darwin") return "macOS";
  if (os == "windows") return "Windows";
  return os.empty() ? "an unknown system" : os;
}

/// A path that only a worker can see is named: nobody could tell which file is meant otherwise.
RuleOutcome format_unknown(const fleet::ModelSource& source) {
  if (source.kind != "local" || source.path.empty())
    return RuleOutcome::unknown(Reason::kFormatUnknown, {{"why", ""}, {"why_zh", ""}});
  const std::string path = printable(source.path);
  return RuleOutcome::unknown(
      Reason::kFormatUnknown,
      {{"why", fmt::format(": {} is not on the machine that answers; its facts are not known", path)},
       {"why_zh", fmt::format("：{} 不在应答的机器上，无法读取其信息", path)}});
}

RuleOutcome request_rule(const StaticInput& in, RowState&) {
  const Engine& engine = *in.option.engine;
  if (!engine.supported) return RuleOutcome::reject(Reason::kEngineUnsupported, {{"engine", engine.title}});
  if (!holds(engine.tasks, in.context.request.task))
    return RuleOutcome::reject(
        Reason::kTaskUnsupported,
        {{"engine", engine.title}, {"task", in.context.request.task}, {"with", ""}, {"with_zh", ""}});
  if (const auto unknown = engines::unknown_flags(engine, in.context.request.settings.flags); !unknown.empty())
    return RuleOutcome::warn(Reason::kFlagUnknown, {{"engine", engine.title}, {"flags", join(unknown, ", ")}});
  return RuleOutcome::pass();
}

RuleOutcome format_rule(const StaticInput& in, RowState&) {
  const Engine& engine = *in.option.engine;
  const auto& facts = in.context.request.facts;
  if (engine.formats.empty()) return RuleOutcome::pass();
  if (!facts || facts->format.empty()) return format_unknown(in.context.request.source);
  if (!holds(engine.formats, facts->format))
    return RuleOutcome::reject(
        Reason::kFormatUnsupported,
        {{"engine", engine.title}, {"needs", join(engine.formats, " or ")}, {"has", facts->format}});
  return RuleOutcome::pass();
}

template <class Says>
bool any_says(const Rows& rows, Says&& says) {
  return std::any_of(rows.begin(), rows.end(), [&](const SupportRow* row) { return says(*row); });
}

RuleOutcome engine_os(const StaticInput& in, RowState& state) {
  const auto& worker = in.entry.worker;
  const auto needs = [&] {
    std::set<std::string> titles;
    for (const auto* row : state.rows)
      for (const auto& os : row->os) titles.insert(os_title(os));
    return listed(titles);
  };
  const std::string& title = in.option.engine->title;
  const bool asked = any_says(state.rows, [](const SupportRow& row) { return !row.os.empty(); });
  if (worker.os.empty() && asked) {
    if (!in.context.snapshot.carries("os")) return RuleOutcome::source_lacks();
    return RuleOutcome::unknown(Reason::kOsUnknown, {{"engine", title}, {"needs", needs()}});
  }
  if (keep(state.rows, [&](const SupportRow& row) { return holds(row.os, worker.os); })) return RuleOutcome::pass();
  const std::string has = os_title(worker.os);
  if (!asked)
    return RuleOutcome::reject(Reason::kEngineVersion, {{"engine", title}, {"version", in.version}, {"has", has}});
  return RuleOutcome::reject(Reason::kEngineOs, {{"engine", title}, {"needs", needs()}, {"has", has}});
}

/// The end of the sentence, where the catalog says why there is no build: ": … ", in English and Chinese.
RuleOutcome::Args why_no_build(const Engine& engine, const std::string& vendor) {
  for (const auto& no : engine.unsupported)
    if (no.vendor == vendor)
      return {{"why", ": " + no.why}, {"why_zh", "：" + (no.why_zh.empty() ? no.why : no.why_zh)}};
  return {{"why", ""}, {"why_zh", ""}};
}

RuleOutcome engine_vendor(const StaticInput& in, RowState& state) {
  if (keep(state.rows, [&](const SupportRow& row) { return row_admits(row, in.type); })) {
    if (in.type.cpu && !in.context.request.restriction.devices.empty())
      return RuleOutcome::reject(Reason::kDeviceSelected);
    return RuleOutcome::pass();
  }
  std::set<std::string> offers;
  for (const auto* row : state.rows) offers.insert(row->vendor);
  const std::string& title = in.option.engine->title;
  if (in.type.cpu) return RuleOutcome::reject(Reason::kNeedsDevice, {{"engine", title}, {"needs", listed(offers)}});
  auto args = why_no_build(*in.option.engine, in.type.vendor);
  args.insert(
      args.end(),
      {{"engine", title}, {"has", in.type.vendor}, {"os", os_title(in.entry.worker.os)}, {"needs", listed(offers)}});
  return RuleOutcome::reject(Reason::kEngineVendor, std::move(args));
}

RuleOutcome engine_arch(const StaticInput& in, RowState& state) {
  const std::string& arch = in.entry.worker.arch;
  const auto args = [&]() -> RuleOutcome::Args {
    return {{"engine", in.option.engine->title},
            {"vendor", in.type.vendor},
            {"needs", listed(state.rows, [](const SupportRow& row) { return row.arch; })}};
  };
  if (arch.empty() && any_says(state.rows, [](const SupportRow& row) { return !row.arch.empty(); })) {
    if (!in.context.snapshot.carries("arch")) return RuleOutcome::source_lacks();
    return RuleOutcome::unknown(Reason::kArchUnknown, args());
  }
  if (keep(state.rows, [&](const SupportRow& row) { return holds(row.arch, arch); })) return RuleOutcome::pass();
  auto rejected = args();
  rejected.emplace_back("has", arch);
  return RuleOutcome::reject(Reason::kEngineArch, std::move(rejected));
}

/// 0 pass, 1 warn, 2 reject: same CUDA major or inside the vendor's range warns, another major rejects.
int runtime_grade(const SupportRow& row, const std::string& has) {
  if (!row.runtime_version || engines::compare_versions(has, *row.runtime_version) >= 0) return 0;
  if (engines::major_of(has) == engines::major_of(*row.runtime_version)) return 1;
  if (row.runtime_version_min && engines::compare_versions(has, *row.runtime_version_min) >= 0) return 1;
  return 2;
}

RuleOutcome engine_runtime(const StaticInput& in, RowState& state) {
  const auto* device = device_of(in);
  const bool needed = std::any_of(
      state.rows.begin(), state.rows.end(), [](const SupportRow* row) { return row->runtime_version.has_value(); });
  if (device == nullptr || !needed) return RuleOutcome::pass();
  const auto args = [&, needs = state.rows.front()->runtime_version]() -> RuleOutcome::Args {
    return {{"engine", in.option.engine->title + (in.version.empty() ? "" : " " + in.version)},
            {"framework", in.type.traits.framework},
            {"needs", needs.value_or("any")},
            {"has", device->runtime_version.value_or("")}};
  };
  if (!device->runtime_version) {
    if (!in.context.snapshot.carries("runtime_version")) return RuleOutcome::source_lacks();
    return RuleOutcome::unknown(Reason::kRuntimeUnknown, args());
  }
  int best = 2;
  for (const auto* row : state.rows) best = std::min(best, runtime_grade(*row, *device->runtime_version));
  (void)keep(state.rows, [&](const SupportRow& r) { return runtime_grade(r, *device->runtime_version) == best; });
  if (best == 0) return RuleOutcome::pass();
  return best == 1 ? RuleOutcome::warn(Reason::kRuntimeNewerThanDriver, args())
                   : RuleOutcome::reject(Reason::kRuntimeTooOld, args());
}

/// An engine whose command comes with the request needs nothing of berth's on the worker but a runtime for its image.
RuleOutcome command_present(const StaticInput& in) {
  const auto& s = in.context.request.settings;
  const auto absent = [&](std::string why) {
    return RuleOutcome::reject(Reason::kEngineAbsent, {{"engine", in.option.engine->title}, {"why", std::move(why)}});
  };
  if (!in.context.snapshot.carries("engines") || in.entry.worker.simulated) return RuleOutcome::source_lacks();
  if (s.image) return in.entry.worker.container_runtime ? RuleOutcome::pass() : absent("it has no container runtime");
  if (!s.command.empty()) return RuleOutcome::pass();
  return absent("the request gives neither settings.command nor settings.image");
}

/// What the worker has of the version that is judged. One that does not tell its version counts as any, unless the
/// request pins one.
enum class Present { kYes, kVersionUntold, kOtherVersion, kNo };

Present present(const StaticInput& in) {
  const auto& pinned = in.context.request.restriction.engine_version;
  Present best = Present::kNo;
  if (!in.entry.worker.engines) return best;
  for (const auto& have : *in.entry.worker.engines) {
    if (have.engine != in.option.engine->id) continue;
    if (have.version == in.version) return Present::kYes;
    if (have.version.empty() && !pinned) return Present::kYes;
    if (have.version.empty())
      best = Present::kVersionUntold;
    else if (best == Present::kNo)
      best = Present::kOtherVersion;
  }
  return best;
}

std::string versions_on(const fleet::Worker& worker, const std::string& engine) {
  std::vector<std::string> out;
  if (!worker.engines) return "";
  for (const auto& have : *worker.engines)
    if (have.engine == engine && !have.version.empty()) out.push_back(have.version);
  return join(out, ", ");
}

/// The row by which it would be installed; null with `why` when there is none.
const SupportRow* install_row(const StaticInput& in, const RowState& state, std::string& why) {
  const Engine& engine = *in.option.engine;
  const bool allowed = in.context.policy.allow_install;
  const auto& pinned = in.context.request.restriction.engine_version;
  why = allowed ? "there is no package for this system" : "the policy forbids it";
  if (allowed && pinned && !holds(engine.versions, *pinned)) {
    why = "the catalog has no package of that version";
    return nullptr;
  }
  for (const auto* row : state.rows) {
    if (!allowed || row->install.empty()) continue;
    if (row->install != "container" || in.entry.worker.container_runtime) return row;
    why = "it has no container runtime";
  }
  return nullptr;
}

RuleOutcome engine_present(const StaticInput& in, RowState& state) {
  const auto& worker = in.entry.worker;
  const Engine& engine = *in.option.engine;
  if (engine.recipe.command_from_request) return command_present(in);
  if (!worker.engines && (!in.context.snapshot.carries("engines") || worker.simulated))
    return RuleOutcome::source_lacks();
  const Present there = worker.engines ? present(in) : Present::kNo;
  if (there == Present::kYes) return RuleOutcome::pass();
  std::string why;
  if (const auto* row = install_row(in, state, why)) {
    state.install_bytes = row->install_bytes;
    auto outcome =
        RuleOutcome::warn(Reason::kEngineWillInstall,
                          {{"engine", engine.title}, {"how", row->install}, {"size", human(row->install_bytes)}});
    outcome.outcome = Outcome::kPass;  // a pass that says something
    return outcome;
  }
  const std::string& version = in.version;
  if (there == Present::kVersionUntold)
    return RuleOutcome::unknown(Reason::kEngineVersionUntold, {{"engine", engine.title}, {"version", version}});
  if (there == Present::kOtherVersion)
    return RuleOutcome::reject(
        Reason::kEngineVersionAbsent,
        {{"engine", engine.title}, {"version", version}, {"has", versions_on(worker, engine.id)}, {"why", why}});
  if (const auto& programs = engine.recipe.programs; !programs.empty() && !worker.simulated)
    why += fmt::format("; put {} on the worker's PATH, or start the worker with --launcher-dir", programs.front());
  return RuleOutcome::reject(Reason::kEngineAbsent, {{"engine", engine.title}, {"why", why}});
}

RuleOutcome health(const StaticInput& in, RowState&) {
  if (in.type.cpu || !in.type.positions.empty()) return RuleOutcome::pass();
  return RuleOutcome::reject(Reason::kDeviceUnhealthy, {{"device", in.type.title}});
}

constexpr std::array kStaticRules = {
    StaticRuleRow{RuleId::kRequest, request_rule},
    StaticRuleRow{RuleId::kFormat, format_rule},
    StaticRuleRow{RuleId::kArchitecture, architecture},
    StaticRuleRow{RuleId::kEngineOs, engine_os},
    StaticRuleRow{RuleId::kEngineVendor, engine_vendor},
    StaticRuleRow{RuleId::kEngineArch, engine_arch},
    StaticRuleRow{RuleId::kEngineRuntime, engine_runtime},
    StaticRuleRow{RuleId::kDriver, driver},
    StaticRuleRow{RuleId::kCapability, capability},
    StaticRuleRow{RuleId::kEnginePresent, engine_present},
    StaticRuleRow{RuleId::kHealth, health},
};

}  // namespace

bool row_admits(const SupportRow& row, const DeviceType& type) {
  if (row.vendor.empty() || row.vendor == engines::kAnyVendor) return true;
  if (row.vendor != type.vendor) return false;
  return type.cpu || row.framework.empty() || row.framework == type.traits.framework;
}

Bytes least_install(const Context& context, const Option& option, const WorkerEntry& sample, const DeviceType& type) {
  const auto& there = sample.worker.engines;
  const auto& off = context.policy.rules_off;
  const bool untold = !there || option.engine->recipe.command_from_request ||
                      std::find(off.begin(), off.end(), rule_name(RuleId::kEnginePresent)) != off.end();
  const auto is_it = [&](const auto& have) { return have.engine == option.engine->id; };
  if (untold || std::any_of(there->begin(), there->end(), is_it)) return {};
  std::optional<Bytes> least;
  for (const auto& row : option.engine->rows)
    if (!row.install.empty() && row_admits(row, type))
      least = std::min(least.value_or(row.install_bytes), row.install_bytes);
  return least.value_or(Bytes());
}

std::span<const StaticRuleRow> static_rules() { return kStaticRules; }

}  // namespace berth::placement
