#include "placement/rules/chain.h"

#include <algorithm>
#include <exception>

#include "placement/detail/few.h"
#include "placement/rules/engine_rules.h"

namespace berth::placement {
namespace {

RuleOutcome guarded(StaticRule rule, const StaticInput& input, RowState& rows) {
  try {
    return rule(input, rows);
  } catch (const std::exception& e) {
    return RuleOutcome::unknown(Reason::kInternalError, {{"text", e.what()}});
  }
}

bool is_installed(const StaticInput& input) {
  const auto& there = input.entry.worker.engines;
  return there && std::any_of(there->begin(), there->end(), [&](const fleet::EngineInstall& have) {
           return have.engine == input.option.engine->id && have.version == input.version;
         });
}

/// The version that an installed one is judged as: of those that have a row for such a device, itself, else the newest
/// that is older, else the oldest.
const std::string& judged_as(const StaticInput& input) {
  const std::string* best = nullptr;
  const std::string* oldest = nullptr;
  for (const auto& row : input.option.engine->rows) {
    if (!row_admits(row, input.type)) continue;
    if (row.versions.empty()) return input.version;
    for (const auto& known : row.versions) {
      const auto order = engines::compare_versions(known, input.version);
      if (order == 0) return known;
      if (oldest == nullptr || engines::compare_versions(known, *oldest) < 0) oldest = &known;
      if (order < 0 && (best == nullptr || engines::compare_versions(known, *best) > 0)) best = &known;
    }
  }
  if (oldest == nullptr) return input.version;
  return best != nullptr ? *best : *oldest;
}

// A rejected version scores by how far it got; a passing one beats all, fewer warns first.
std::uint64_t grade(const StaticChain& chain) {
  constexpr std::uint64_t kPassing = 1000;
  return chain.blocked ? chain.rejected_at : kPassing + 100 - std::min<std::uint64_t>(chain.warns, 100);
}

}  // namespace

StaticChain static_chain(const StaticInput& input) {
  StaticChain chain;
  chain.version = input.version;
  RowState rows;
  // Nobody knows a version that is pinned and nowhere to be seen; one that is there is judged by its neighbour.
  rows.known_as = is_installed(input) ? judged_as(input) : input.version;
  chain.known_as = rows.known_as;
  for (const auto& row : input.option.engine->rows) {
    const bool fits_version = row.versions.empty() ||
                              std::find(row.versions.begin(), row.versions.end(), rows.known_as) != row.versions.end();
    if (fits_version) rows.rows.push_back(&row);
  }
  for (const auto& [id, rule] : static_rules()) {
    auto& slot = chain.outcomes[index(id)];
    if (chain.blocked) {
      slot = RuleOutcome::not_evaluated(static_cast<RuleId>(chain.rejected_at));
      continue;
    }
    const auto& off = input.context.policy.rules_off;
    if (std::find(off.begin(), off.end(), rule_name(id)) != off.end()) continue;
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
/// that passes does so for each of its versions, so the others could only say the same, but of the model's
/// architecture: the first version that may run it is tried, too. No row: the first version, for the sentence.
Few<const std::string*> candidates(const Option& option, const DeviceType& type) {
  Few<const std::string*> out;
  const auto add = [&](const std::string* version) {
    if (std::none_of(out.begin(), out.end(), [&](const auto* known) { return *known == *version; }))
      out.push_back(version);
  };
  for (const auto& row : option.engine->rows) {
    if (option.versions.size() < 2) break;
    if (!row_admits(row, type)) continue;
    const auto& versions = row.versions.empty() ? option.versions : row.versions;
    add(&versions.front());
    const auto runs = std::find_if(
        versions.begin(), versions.end(), [&](const auto& version) { return option.architecture->may_run(version); });
    if (runs != versions.end()) add(&*runs);
  }
  if (out.empty()) out.push_back(&option.versions.front());
  return out;
}

/// The versions of the engine that this worker has, newest first, where the request pins none; a plan names the one
/// that really runs. Those that do not tell theirs are left out.
Few<const std::string*> installed(const Context& context, const Option& option, const WorkerEntry& entry) {
  Few<const std::string*> out;
  if (context.request.restriction.engine_version || !entry.worker.engines) return out;
  for (const auto& have : *entry.worker.engines)
    if (have.engine == option.engine->id && !have.version.empty()) out.push_back(&have.version);
  std::sort(out.begin(), out.end(), [](const std::string* a, const std::string* b) {
    const auto order = engines::compare_versions(*a, *b);
    return order != 0 ? order > 0 : *a < *b;
  });
  return out;
}

}  // namespace

StaticChain best_version(Context& context, const Option& option, const WorkerEntry& entry, const DeviceType& type) {
  StaticChain best;
  bool first = true;
  const auto there = installed(context, option, entry);
  const auto try_all = [&](const Few<const std::string*>& versions) {
    for (const auto* version : versions) {
      StaticChain chain = static_chain({context, option, *version, entry, type});
      if (!first && grade(chain) <= grade(best)) continue;
      best = std::move(chain);
      first = false;
      // No version changes what the request or the model's format decides, and nothing beats a clean pass.
      if (best.blocked ? best.rejected_at <= index(RuleId::kFormat) : best.warns == 0) return;
    }
  };
  try_all(there);
  // What is there is used as it is; another version only where it could be installed.
  const bool open =
      there.empty() || (best.blocked && best.rejected_at > index(RuleId::kFormat) && context.policy.allow_install);
  if (open) try_all(candidates(option, type));
  for (std::size_t i = 0; i < kRuleCount; ++i)
    if (std::find(kOwnRules.begin(), kOwnRules.end(), static_cast<RuleId>(i)) == kOwnRules.end())
      best.told.put(i, best.outcomes[i]);
  return best;
}

}  // namespace berth::placement
