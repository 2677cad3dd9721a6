#pragma once
// The rules that need no figures in use: they see a worker, one type of its devices and one engine version.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fleet/worker_class.h"
#include "placement/detail/context.h"

namespace berth::placement {

using Chain = std::array<RuleOutcome, kRuleCount>;

using fleet::device_types;
using fleet::DeviceType;

/// Every rule's outcome and reason, 12 bits each, five to a word; and which inputs the source lacks.
struct Outcomes {
  std::array<std::uint64_t, (kRuleCount + 4) / 5> words{};
  std::uint32_t silent = 0;

  void put(std::size_t rule, const RuleOutcome& o) {
    const std::size_t last = std::min(rule / 5 * 5 + 5, kRuleCount) - 1;
    words[rule / 5] |= (std::uint64_t(o.outcome) << 8 | std::uint64_t(o.reason)) << 12 * (last - rule);
    silent |= std::uint32_t(o.not_carried) << rule;
  }
  friend bool operator==(const Outcomes&, const Outcomes&) = default;
};

/// The rules that are told of a worker or its figures, not by the chain of its class.
constexpr std::array kOwnRules = {RuleId::kWorkerReady,
                                  RuleId::kCordon,
                                  RuleId::kLabels,
                                  RuleId::kSelection,
                                  RuleId::kLayout,
                                  RuleId::kMemory,
                                  RuleId::kRam,
                                  RuleId::kDisk};

/// What the rules up to `health` say of one engine version on one type.
struct StaticChain {
  std::string version;
  std::string known_as;  // the catalog's version that it is judged as
  Chain outcomes;        // worker_ready … selection and layout … disk stay pass; filled by their own callers
  bool blocked = false;
  std::size_t rejected_at = kRuleCount;  // index of the first reject
  std::uint32_t warns = 0;
  Bytes install_bytes;
  Outcomes told;  // of all rules but kOwnRules
};

struct StaticInput {
  Context& context;
  const Option& option;
  const std::string& version;
  const WorkerEntry& entry;
  const DeviceType& type;
};

/// Runs request and format … health in the table's order; below a reject the rest is not_evaluated. An exception in a
/// rule is `unknown`, reason internal_error, for this subject only.
StaticChain static_chain(const StaticInput& input);
/// The first version without reject and warn, else without reject, else the one that gets farthest.
StaticChain best_version(Context& context, const Option& option, const WorkerEntry& entry, const DeviceType& type);

/// The rules about this very worker; they hide nothing.
struct WorkerGate {
  RuleOutcome ready;
  RuleOutcome cordon;
  RuleOutcome labels;
  RuleOutcome selection;

  [[nodiscard]] bool open() const;
};
WorkerGate gate(Context& context, const WorkerEntry& entry);

}  // namespace berth::placement
