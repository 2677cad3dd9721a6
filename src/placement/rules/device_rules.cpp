#include "placement/rules/device_rules.h"

#include <algorithm>
#include <optional>

#include "engines/flags.h"
#include "placement/rules/rows.h"

namespace berth::placement {
namespace {

using engines::SupportRow;

/// The capability that is asked of a device: for what, how much, and why not where it is less.
struct Asked {
  const char* subject;  // the name of `of` in the sentence
  const std::string& of;
  const std::string& needs;
  Reason low;
};

RuleOutcome compare_capability(const StaticInput& in, const fleet::Device& device, const Asked& asked) {
  const auto& has = device.compute_capability;
  if (has && engines::compare_versions(*has, asked.needs) >= 0) return RuleOutcome::pass();
  if (!has && !in.context.snapshot.carries("compute_capability")) return RuleOutcome::source_lacks();
  RuleOutcome::Args args = {{asked.subject, asked.of}, {"needs", asked.needs}, {"device", device.name}};
  if (!has) return RuleOutcome::unknown(Reason::kCapabilityUnknown, std::move(args));
  args.emplace_back("has", *has);
  return RuleOutcome::reject(asked.low, std::move(args));
}

/// Whether the device is one of these chips: by its variant, else by its name; nothing when neither tells.
std::optional<bool> is_variant(const fleet::Device& device, const std::vector<std::string>& globs) {
  if (engines::matches_variant(globs, device.name)) return true;
  if (!device.compute_capability) return std::nullopt;
  return engines::matches_variant(globs, *device.compute_capability);
}

/// Keeps the rows for this chip. Rejects when every row is for others.
RuleOutcome keep_variants(const StaticInput& in, const fleet::Device& device, RowState& state) {
  bool untold = false;
  const bool some = keep(state.rows, [&](const SupportRow& row) {
    const auto is = is_variant(device, row.variants);
    untold = untold || !is;
    return is.value_or(false);
  });
  if (some) return RuleOutcome::pass();
  RuleOutcome::Args args = {{"engine", in.option.engine->title},
                            {"needs", listed(state.rows, [](const SupportRow& row) { return row.variants; })},
                            {"device", device.name}};
  if (untold) {
    if (!in.context.snapshot.carries("compute_capability")) return RuleOutcome::source_lacks();
    return RuleOutcome::unknown(Reason::kCapabilityUnknown, std::move(args));
  }
  args.emplace_back("has", device.compute_capability.value_or(device.name));
  return RuleOutcome::reject(Reason::kVariantUnsupported, std::move(args));
}

RuleOutcome type_need(const StaticInput& in, const fleet::Device& device, const engines::TypeNeed& need) {
  if (!need.capability_min.empty())
    return compare_capability(in, device, {"type", need.type, need.capability_min, Reason::kTypeNeedsCapability});
  RuleOutcome::Args args = {{"engine", in.option.engine->title}, {"type", need.type}, {"device", device.name}};
  if (!need.refused) {
    const auto is = is_variant(device, need.variants);
    if (is.value_or(false)) return RuleOutcome::pass();
    args.emplace_back("needs", join(need.variants, " or "));
    if (!is) {
      if (!in.context.snapshot.carries("compute_capability")) return RuleOutcome::source_lacks();
      return RuleOutcome::unknown(Reason::kCapabilityUnknown, std::move(args));
    }
  }
  return RuleOutcome::reject(Reason::kTypeUnsupported, std::move(args));
}

/// The first type of the model that this device may lack, as far as this version of the engine needs it.
RuleOutcome type_needs(const StaticInput& in, const RowState& state, const fleet::Device& device) {
  if (!in.context.request.facts) return RuleOutcome::pass();
  const auto& facts = *in.context.request.facts;
  RuleOutcome untold;
  for (const auto& need : in.option.engine->type_needs) {
    const bool applies = need.vendor == in.type.vendor && holds(need.versions, state.known_as) &&
                         (facts.quantization == need.type || facts.dtype == need.type);
    if (!applies) continue;
    const auto& flags = in.option.settings.flags;
    const bool off = std::any_of(need.unless.begin(), need.unless.end(), [&](const std::string& flag) {
      return std::find(flags.begin(), flags.end(), flag) != flags.end();
    });
    if (off) continue;
    auto outcome = type_need(in, device, need);
    if (outcome.outcome == Outcome::kReject) return outcome;
    if (untold.outcome == Outcome::kPass) untold = std::move(outcome);
  }
  return untold;
}

}  // namespace

RuleOutcome driver(const StaticInput& in, RowState& state) {
  const auto* device = device_of(in);
  if (device == nullptr) return RuleOutcome::pass();
  const std::string* needs = nullptr;
  for (const auto* row : state.rows) {
    if (!row->driver_version_min) return RuleOutcome::pass();
    if (needs == nullptr || engines::compare_versions(*row->driver_version_min, *needs) < 0)
      needs = &*row->driver_version_min;
  }
  if (needs == nullptr) return RuleOutcome::pass();
  const auto& has = device->driver_version;
  if (!has && !in.context.snapshot.carries("driver_version")) return RuleOutcome::source_lacks();
  const auto new_enough = [&](const SupportRow& row) {
    return engines::compare_versions(*has, row.driver_version_min.value_or("")) >= 0;
  };
  if (has && keep(state.rows, new_enough)) return RuleOutcome::pass();
  RuleOutcome::Args args = {{"engine", in.option.engine->title}, {"needs", *needs}, {"device", device->name}};
  if (!has) return RuleOutcome::unknown(Reason::kDriverUnknown, std::move(args));
  args.emplace_back("has", *has);
  return RuleOutcome::reject(Reason::kDriverTooOld, std::move(args));
}

RuleOutcome capability(const StaticInput& in, RowState& state) {
  const auto* device = device_of(in);
  if (device == nullptr || state.rows.empty()) return RuleOutcome::pass();
  if (auto outcome = keep_variants(in, *device, state); outcome.outcome != Outcome::kPass) return outcome;
  const std::string* least = nullptr;
  for (const auto* row : state.rows) {
    if (!row->capability_min) return type_needs(in, state, *device);
    if (least == nullptr || engines::compare_versions(*row->capability_min, *least) < 0) least = &*row->capability_min;
  }
  auto outcome =
      compare_capability(in, *device, {"engine", in.option.engine->title, *least, Reason::kCapabilityTooLow});
  if (outcome.outcome != Outcome::kPass) return outcome;
  const std::string has = device->compute_capability.value_or("");
  (void)keep(state.rows, [&](const SupportRow& row) {
    return engines::compare_versions(has, row.capability_min.value_or("")) >= 0;
  });
  return type_needs(in, state, *device);
}

}  // namespace berth::placement
