#include "placement/rules/chain.h"

#include <algorithm>
#include <exception>

#include "placement/detail/few.h"
#include "placement/rules/engine_rules.h"

namespace berth::placement {
namespace {

bool same_type(const fleet::Device& a, const fleet::Device& b) {
  return a.vendor == b.vendor && a.framework == b.framework && a.name == b.name &&
         a.memory_total_bytes == b.memory_total_bytes && a.compute_capability == b.compute_capability &&
         a.runtime_version == b.runtime_version && a.driver_version == b.driver_version &&
         a.unified_memory == b.unified_memory && a.partition == b.partition;
}

RuleOutcome guarded(StaticRule rule, const StaticInput& input, RowState& rows) {
  try {
    return rule(input, rows);
  } catch (const std::exception& e) {
    return RuleOutcome::unknown(Reason::kInternalError, {{"text", e.what()}});
  }
}

// A rejected version scores by how far it got; a passing one beats all, fewer warns first.
std::uint64_t grade(const StaticChain& chain) {
  constexpr std::uint64_t kPassing = 1000;
  return chain.blocked ? chain.rejected_at : kPassing + 100 - std::min<std::uint64_t>(chain.warns, 100);
}

}  // namespace

std::vector<DeviceType> device_types(const fleet::Worker& worker) {
  std::vector<DeviceType> types;
  for (std::size_t i = 0; i < worker.devices.size(); ++i) {
    const auto& device = worker.devices[i];
    auto at = std::find_if(types.begin(), types.end(), [&](const DeviceType& t) {
      return same_type(worker.devices[t.positions.empty() ? t.unhealthy.front() : t.positions.front()], device);
    });
    if (at == types.end()) {
      DeviceType type;
      type.traits = {.framework = device.framework, .unified_memory = device.unified_memory};
      type.vendor = device.vendor;
      type.title = device.name;
      types.push_back(std::move(type));
      at = types.end() - 1;
    }
    auto& list = device.health == fleet::Health::kUnhealthy ? at->unhealthy : at->positions;
    list.push_back(static_cast<std::uint16_t>(i));
  }
  DeviceType cpu;
  cpu.cpu = true;
  cpu.vendor = "cpu";
  cpu.title = "CPU";
  cpu.traits = {.framework = "cpu", .unified_memory = false};
  types.push_back(std::move(cpu));
  return types;
}

std::string chain_key(const WorkerEntry& entry, const DeviceType& type) {
  const auto& w = entry.worker;
  std::string key;
  const auto add = [&](std::string_view text) {
    key += text;
    key += '\x1f';
  };
  const auto add_told = [&](const std::optional<std::string>& text) { add(text ? "+" + *text : "-"); };
  add(w.os);
  add(w.arch);
  add_told(w.container_runtime);
  add(w.simulated ? "simulated" : "");
  if (!w.engines) add("untold");
  if (w.engines)
    for (const auto& engine : *w.engines) add(engine.engine + " " + engine.version);
  key += '\x1e';
  if (type.cpu) return key + "cpu";
  const auto& device = w.devices[type.positions.empty() ? type.unhealthy.front() : type.positions.front()];
  add(type.positions.empty() ? "unhealthy" : "");
  add(device.vendor);
  add(device.framework);
  add(device.name);
  add_told(device.runtime_version);
  add_told(device.driver_version);
  add_told(device.compute_capability);
  add_told(device.partition);
  return key;
}

StaticChain static_chain(const StaticInput& input) {
  StaticChain chain;
  chain.version = input.version;
  RowState rows;
  for (const auto& row : input.option.engine->rows) {
    const bool fits_version = row.versions.empty() ||
                              std::find(row.versions.begin(), row.versions.end(), input.version) != row.versions.end();
    if (fits_version) rows.rows.push_back(&row);
  }
  for (const auto& [id, rule] : static_rules()) {
    auto& slot = chain.outcomes[index(id)];
    if (chain.blocked) {
      slot = RuleOutcome::not_evaluated(static_cast<RuleId>(chain.rejected_at));
      continue;
    }
    slot = input.context.accepted(guarded(rule, input, rows));
    if (slot.outcome == Outcome::kWarn) ++chain.warns;
    if (slot.outcome != Outcome::kReject) continue;
    chain.blocked = true;
    chain.rejected_at = index(id);
  }
  chain.install_bytes = rows.install_bytes;
  return chain;
}

namespace {

/// The versions worth trying: the first of each row for this vendor, in the rows' order, which is best first. A row
/// that passes does so for each of its versions, so the others could only say the same. No row: the first version, for
/// the sentence.
Few<const std::string*> candidates(const Option& option, const DeviceType& type) {
  Few<const std::string*> out;
  for (const auto& row : option.engine->rows) {
    if (option.versions.size() < 2) break;
    if (!row_admits(row, type)) continue;
    const std::string* version = row.versions.empty() ? &option.versions.front() : &row.versions.front();
    if (std::none_of(out.begin(), out.end(), [&](const auto* known) { return *known == *version; }))
      out.push_back(version);
  }
  if (out.empty()) out.push_back(&option.versions.front());
  return out;
}

}  // namespace

StaticChain best_version(Context& context, const Option& option, const WorkerEntry& entry, const DeviceType& type) {
  StaticChain best;
  bool first = true;
  for (const auto* candidate : candidates(option, type)) {
    const std::string& version = *candidate;
    const StaticInput input{context, option, version, entry, type};
    StaticChain chain = static_chain(input);
    if (!first && grade(chain) <= grade(best)) continue;
    best = std::move(chain);
    first = false;
    // No version changes what the request or the model's format decides, and nothing beats a clean pass.
    if (best.blocked ? best.rejected_at <= index(RuleId::kFormat) : best.warns == 0) break;
  }
  for (std::size_t i = 0; i < kRuleCount; ++i)
    if (std::find(kOwnRules.begin(), kOwnRules.end(), static_cast<RuleId>(i)) == kOwnRules.end())
      best.told.put(i, best.outcomes[i]);
  return best;
}

}  // namespace berth::placement
