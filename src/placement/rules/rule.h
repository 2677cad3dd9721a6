#pragma once
// Rules are data: a table of small named predicates with reason, severity and what they depend on. A rule judges the
// request, a worker, a device or a plan, never the set of candidates (DESIGN §1).

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "fleet/decision.h"

namespace berth::placement {

using fleet::Outcome;

/// In chain order. The first five are independent: a reject there hides nothing. Below a reject of a later one, what
/// follows is not evaluated.
enum class RuleId : std::uint8_t {
  kRequest,
  kWorkerReady,
  kCordon,
  kLabels,
  kSelection,
  kFormat,
  kArchitecture,
  kEngineOs,
  kEngineVendor,
  kEngineArch,
  kEngineRuntime,
  kDriver,
  kCapability,
  kEnginePresent,
  kHealth,
  kLayout,
  kMemory,
  kRam,
  kDisk,
};
constexpr std::size_t kRuleCount = 19;
constexpr std::size_t index(RuleId id) { return static_cast<std::size_t>(id); }

/// Everything a rule can say. One sentence template each, in English and Chinese (reasons.cpp).
enum class Reason : std::uint8_t {
  kNone,
  kInvalidRequest,
  kUnknownEngine,
  kTaskUnsupported,
  kFlagUnknown,
  kUnknownArchitecture,
  kUnsupportedArchitecture,
  kCustomCodeNotTrusted,
  kWorkerNotReady,
  kCordoned,
  kLabelMismatch,
  kOtherCluster,
  kNotSelected,
  kSelectedDeviceMissing,
  kSelectedWorkerMissing,
  kFormatUnsupported,
  kFormatUnknown,
  kEngineOs,
  kOsUnknown,
  kEngineVendor,
  kNeedsDevice,
  kNoWorkerForEngine,
  kDeviceSelected,
  kDevicesAsked,
  kEngineUnsupported,
  kEngineVersion,
  kEngineArch,
  kArchUnknown,
  kRuntimeTooOld,
  kRuntimeNewerThanDriver,
  kRuntimeUnknown,
  kDriverTooOld,
  kDriverUnknown,
  kCapabilityTooLow,
  kTypeNeedsCapability,
  kTypeUnsupported,
  kVariantUnsupported,
  kCapabilityUnknown,
  kEngineAbsent,
  kEngineVersionAbsent,
  kEngineVersionUntold,
  kEngineWillInstall,
  kDeviceUnhealthy,
  kTooFewDevices,
  kUnevenSelection,
  kWorldMismatch,
  kLayoutUnsupported,
  kLayoutNotJudged,
  kNoCpuOffload,
  kHeadsNotDivisible,
  kTooFewLayers,
  kOverWorkersShort,
  kOverWorkersOff,
  kFactsMissing,
  kFreeMemory,
  kMemoryUncertain,
  kSelectionOvercommitted,
  kUtilizationBelowNeed,
  kRamShort,
  kPoolShort,
  kDiskShort,
  kSearchLimit,
  kInternalError,
};

struct RuleOutcome {
  Outcome outcome = Outcome::kPass;
  Reason reason = Reason::kNone;
  RuleId because = RuleId::kRequest;  // for kNotEvaluated
  bool not_carried = false;           // kNotEvaluated because the source never has the input
  bool numbers = false;               // needed and available are set
  Bytes needed;
  Bytes available;
  std::vector<std::pair<const char*, std::string>> args;

  using Args = std::vector<std::pair<const char*, std::string>>;
  static RuleOutcome pass() { return {}; }
  static RuleOutcome reject(Reason reason, Args args = {});
  static RuleOutcome warn(Reason reason, Args args = {});
  static RuleOutcome unknown(Reason reason, Args args = {});
  static RuleOutcome not_evaluated(RuleId because);
  static RuleOutcome source_lacks();
  RuleOutcome&& with(Bytes needed_bytes, Bytes available_bytes) &&;
};

enum class Language { kEnglish, kChinese };

std::string_view rule_name(RuleId id);
/// "worker", "device", "request" or "plan": what the rule's counts count.
std::string_view rule_subject(RuleId id);
/// True for rules whose reject hides none of the others.
constexpr bool independent(RuleId id) { return id >= RuleId::kWorkerReady && id <= RuleId::kSelection; }
std::string_view reason_name(Reason reason);
/// True when `accept: name` may turn this reason into a warn.
bool acceptable(Reason reason);
/// The names of those, in the order of the table: what `accept` may hold.
std::vector<std::string> acceptable_reasons();
/// All names, in the order of the table: each has a page in docs/reasons.
std::vector<std::string> reason_names();
/// The English sentence of that reason before its {placeholders} are filled in; empty for an unknown name.
std::string_view reason_template(std::string_view name);
/// The sentence of an outcome; empty on a bare pass.
std::string sentence(const RuleOutcome& outcome, Language language = Language::kEnglish);
/// The public form with names and text.
fleet::RuleResult to_result(RuleId rule, const RuleOutcome& outcome);

}  // namespace berth::placement
