#include "wire/files.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "wire/texts.h"
#include "wire/worker_checks.h"
#include "wire/yaml.h"

namespace berth::wire {
namespace {

struct VendorRow {
  std::string_view vendor;
  std::string_view framework;
};
// What a vendor's cards are driven with, for files that do not say.
constexpr std::array kFrameworks = {VendorRow{"nvidia", "cuda"},
                                    VendorRow{"amd", "rocm"},
                                    VendorRow{"apple", "metal"},
                                    VendorRow{"ascend", "cann"},
                                    VendorRow{"hygon", "dtk"},
                                    VendorRow{"mthreads", "musa"},
                                    VendorRow{"metax", "maca"},
                                    VendorRow{"iluvatar", "corex"},
                                    VendorRow{"cambricon", "neuware"},
                                    VendorRow{"thead", "hggc"}};
struct ArchRow {
  std::string_view spelling;
  std::string_view name;
};
constexpr std::array kArchitectures = {
    ArchRow{"x86_64", "amd64"}, ArchRow{"x86-64", "amd64"}, ArchRow{"x64", "amd64"}, ArchRow{"aarch64", "arm64"}};
constexpr std::array<std::string_view, 3> kSystems = {"linux", "darwin", "windows"};

Error at(const fleet::Worker& w, std::string_view what) {
  return invalid(fmt::format("worker \"{}\": {}", printable(w.name.empty() ? w.id : w.name), what));
}

/// "used_bytes is 9, must be at most memory_total_bytes, 8".
Result<void> check_used(const fleet::Worker& w, const std::string& where, Bytes used, Bytes total) {
  if (total.value == 0) return at(w, where + "memory_total_bytes is 0, must be > 0");
  if (used > total)
    return at(w,
              fmt::format(
                  "{}memory_used_bytes is {}, must be at most memory_total_bytes, {}", where, used.value, total.value));
  return {};
}

/// Places in the list where nobody says them; where ids are given, in the order of the ids, so that the order of the
/// list says nothing.
void number_devices(fleet::Worker& w) {
  const auto told = [](const fleet::Device& d) { return d.index != 0; };
  if (std::any_of(w.devices.begin(), w.devices.end(), told)) return;
  const bool named = std::none_of(w.devices.begin(), w.devices.end(), [](const auto& d) { return d.id.empty(); });
  for (std::size_t i = 0; i < w.devices.size(); ++i) {
    const auto before = std::count_if(
        w.devices.begin(), w.devices.end(), [&](const fleet::Device& d) { return d.id < w.devices[i].id; });
    w.devices[i].index = named ? static_cast<int>(before) : static_cast<int>(i);
  }
}

Result<void> normalise_device(fleet::Worker& w, std::size_t i) {
  auto& d = w.devices[i];
  d.vendor = to_lower(d.vendor);
  if (d.vendor.empty()) return at(w, fmt::format("devices[{}].vendor is empty", i));
  if (d.framework.empty())
    for (const auto& row : kFrameworks)
      if (row.vendor == d.vendor) d.framework = row.framework;
  if (d.framework.empty())
    return at(w, fmt::format("devices[{}].framework is missing for vendor \"{}\"", i, printable(d.vendor)));
  if (d.index < 0) return at(w, fmt::format("devices[{}].index is {}, must be 0 or more", i, d.index));
  if (d.id.empty()) d.id = fmt::format("{}:{}", d.framework, d.index);
  if (d.id.find('/') != std::string::npos)
    return at(w, fmt::format("devices[{}].id \"{}\" must not hold '/'", i, printable(d.id)));
  for (std::size_t k = 0; k < i; ++k)
    if (w.devices[k].id == d.id)
      return at(w, fmt::format("devices[{}] and devices[{}] have the same id \"{}\"", k, i, printable(d.id)));
  if (d.name.empty()) d.name = d.vendor;
  if (auto ok = check_versions(d); !ok) return at(w, fmt::format("devices[{}].{}", i, ok.error().message));
  return check_used(w, fmt::format("devices[{}].", i), d.memory_used_bytes, d.memory_total_bytes);
}

template <class Has>
bool nobody(const FleetFile& file, Has&& has) {
  for (const auto& w : file.workers)
    if (has(w)) return false;
  return true;
}

/// What a file does not tell of a worker, the file does not carry, whatever it tells of another worker: a rule on it is
/// not evaluated. Islands and model files only order plans, so that one worker that tells them is enough.
std::set<std::string> lacking(const FleetFile& file) {
  std::set<std::string> out = file.not_carried;
  for (const auto* input : {"engines", "disk", "runtime_version", "driver_version", "compute_capability"})
    out.emplace(input);
  if (nobody(file, [](const auto& w) { return !w.model_files.empty(); })) out.emplace("files");
  if (nobody(file, [](const auto& w) {
        return std::any_of(w.devices.begin(), w.devices.end(), [](const auto& d) { return d.island.has_value(); });
      }))
    out.emplace("interconnect");
  return out;
}

Result<std::optional<fleet::ModelFacts>> resolve(std::string_view where,
                                                 std::optional<fleet::ModelFacts> facts,
                                                 const std::optional<FactsFrom>& from,
                                                 const ReadFacts& read) {
  if (facts && from) return invalid(fmt::format("{}: give facts or facts_from, not both", where));
  if (!from) return facts;
  auto found = read(*from);
  if (!found) return in(fmt::format("{}.facts_from", where), std::move(found).error());
  return std::optional<fleet::ModelFacts>(std::move(*found));
}

}  // namespace

std::string system_name(std::string_view spelling) {
  std::string name = to_lower(spelling);
  return name == "macos" ? "darwin" : name;
}

std::string arch_name(std::string_view spelling) {
  std::string name = to_lower(spelling);
  for (const auto& row : kArchitectures)
    if (row.spelling == name) return std::string(row.name);
  return name;
}

Result<fleet::Worker> normalised(fleet::Worker w) {
  if (w.name.empty()) w.name = w.id;
  if (w.id.empty()) w.id = w.name;
  if (!is_name(w.name))
    return at(w, "name must be 1 to 63 of a-z, 0-9, '-', '.', '_', starting with a letter or digit");
  w.os = system_name(w.os);
  bool known = false;
  for (const auto os : kSystems) known = known || os == w.os;
  if (!known) return at(w, fmt::format("os is \"{}\", must be linux, darwin or windows", printable(w.os)));
  w.arch = arch_name(w.arch);
  if (w.arch.empty()) return at(w, "arch is missing: amd64 or arm64");
  if (w.arch != "amd64" && w.arch != "arm64")
    return at(w, fmt::format("arch is \"{}\", must be amd64 (x86_64) or arm64 (aarch64)", printable(w.arch)));
  TRY_VOID(check_used(w, "", w.memory_used_bytes, w.memory_total_bytes));
  if (w.devices.size() > fleet::kDevicesMax)
    return at(w, fmt::format("devices has {} entries, at most {}", w.devices.size(), fleet::kDevicesMax));
  number_devices(w);
  for (std::size_t i = 0; i < w.devices.size(); ++i) TRY_VOID(normalise_device(w, i));
  w.labels.emplace("os", w.os);
  w.labels.emplace("arch", w.arch);
  w.labels.emplace("worker-name", w.name);
  return w;
}

Result<FleetFile> normalised(FleetFile file) {
  std::set<std::string> names, ids;
  for (auto& w : file.workers) {
    TRY(w, normalised(std::move(w)));
    if (!names.insert(w.cluster + "/" + w.name).second) return at(w, "two workers of one cluster have this name");
    if (!ids.insert(w.id).second) return at(w, fmt::format("another worker has the id \"{}\" too", printable(w.id)));
  }
  for (const auto& [name, list] : file.occupants) {
    const auto on =
        std::find_if(file.workers.begin(), file.workers.end(), [&](const fleet::Worker& w) { return w.name == name; });
    if (on == file.workers.end()) return invalid(fmt::format("occupants: there is no worker \"{}\"", printable(name)));
    TRY_VOID(check_occupants(*on, list));
  }
  return file;
}

Result<FleetFile> read_fleet_file(std::string_view text) {
  TRY(auto file, from_yaml<FleetFile>(text, Strictness::kStrict));
  TRY_VOID(check_printable(file));
  return normalised(std::move(file));
}

Result<fleet::Worker> read_profile(std::string_view text) {
  TRY(auto worker, from_yaml<fleet::Worker>(text, Strictness::kStrict));
  TRY_VOID(check_printable(worker));
  worker.simulated = true;
  return normalised(std::move(worker));
}

Result<DeploymentFile> read_deployment_file(std::string_view text) {
  TRY(auto file, from_yaml<DeploymentFile>(text, Strictness::kStrict));
  TRY_VOID(check_printable(file));
  return file;
}

Result<ScenarioFile> read_scenario_file(std::string_view text) {
  TRY(auto scenario, from_yaml<ScenarioFile>(text, Strictness::kStrict));
  TRY_VOID(check_printable(scenario.fleet));
  TRY_VOID(check_printable(scenario.request));
  TRY(scenario.fleet, normalised(std::move(scenario.fleet)));
  return scenario;
}

Result<fleet::FleetSnapshot> to_snapshot(const FleetFile& file) {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (const auto& w : file.workers) {
    std::vector<fleet::Occupant> occupants;
    if (const auto found = file.occupants.find(w.name); found != file.occupants.end()) occupants = found->second;
    for (auto& o : occupants) o.claim.worker = w.id;
    TRY(auto entry, fleet::make_entry(w, std::move(occupants)));
    entries.push_back(std::move(entry));
  }
  return fleet::FleetSnapshot::build(std::move(entries), lacking(file), 1);
}

Result<fleet::Request> to_request(DeploymentFile file, const ReadFacts& read) {
  if (!is_name(file.name))
    return invalid(
        fmt::format("name is \"{}\", must be 1 to 63 of a-z, 0-9, '-', '.', '_', starting with a letter or digit",
                    printable(file.name)));
  fleet::Request r;
  r.deployment = file.name;
  r.model = file.model.empty() ? file.name : file.model;
  r.task = file.task;
  r.source = file.source;
  TRY(r.facts, resolve("request", std::move(file.facts), file.facts_from, read));
  for (auto& v : file.variants) {
    fleet::Variant variant{.name = v.name, .source = v.source, .facts = std::nullopt};
    TRY(variant.facts, resolve("variants." + v.name, std::move(v.facts), v.facts_from, read));
    r.variants.push_back(std::move(variant));
  }
  r.replicas = file.replicas;
  r.settings = std::move(file.settings);
  r.restriction = std::move(file.restriction);
  r.strategy = file.strategy;
  r.replaces = file.replaces;
  r.accept = std::move(file.accept);
  r.priority = file.priority;
  r.partial = file.partial;
  return fleet::canonical(std::move(r));
}

}  // namespace berth::wire
