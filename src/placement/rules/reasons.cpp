#include <array>

#include "base/assert.h"
#include "placement/rules/reason_table.h"
#include "placement/rules/rule.h"

namespace berth::placement {
namespace {

struct RuleRow {
  RuleId id;
  std::string_view name;
  std::string_view subject;
};

constexpr std::array<RuleRow, kRuleCount> kRules = {{
    {RuleId::kRequest, "request", "request"},
    {RuleId::kWorkerReady, "worker_ready", "worker"},
    {RuleId::kCordon, "cordon", "worker"},
    {RuleId::kLabels, "labels", "worker"},
    {RuleId::kSelection, "selection", "worker"},
    {RuleId::kFormat, "format", "request"},
    {RuleId::kArchitecture, "architecture", "device"},
    {RuleId::kEngineOs, "engine_os", "worker"},
    {RuleId::kEngineVendor, "engine_vendor", "device"},
    {RuleId::kEngineArch, "engine_arch", "worker"},
    {RuleId::kEngineRuntime, "engine_runtime", "device"},
    {RuleId::kDriver, "driver", "device"},
    {RuleId::kCapability, "capability", "device"},
    {RuleId::kEnginePresent, "engine_present", "worker"},
    {RuleId::kHealth, "health", "device"},
    {RuleId::kLayout, "layout", "plan"},
    {RuleId::kMemory, "memory", "device"},
    {RuleId::kRam, "ram", "worker"},
    {RuleId::kDisk, "disk", "worker"},
}};

const ReasonRow& row_of(Reason reason) {
  const auto at = static_cast<std::size_t>(reason);
  ASSERT(at < kReasons.size());
  ASSERT(kReasons[at].reason == reason);
  return kReasons[at];
}

std::string argument(const RuleOutcome& o, std::string_view name) {
  if (o.numbers && name == "needed") return human(o.needed);
  if (o.numbers && name == "available") return human(o.available);
  if (o.numbers && name == "short") return human(o.needed.minus_or_zero(o.available));
  for (const auto& [key, value] : o.args)
    if (name == key) return value;
  return "?";
}

}  // namespace

std::string_view rule_name(RuleId id) { return kRules[index(id)].name; }
std::string_view rule_subject(RuleId id) { return kRules[index(id)].subject; }
std::string_view reason_name(Reason reason) { return row_of(reason).name; }
bool acceptable(Reason reason) { return row_of(reason).acceptable; }

std::vector<std::string> reason_names() {
  std::vector<std::string> out;
  for (const auto& row : kReasons)
    if (row.reason != Reason::kNone) out.emplace_back(row.name);
  return out;
}

std::string_view reason_template(std::string_view name) {
  for (const auto& row : kReasons)
    if (row.name == name) return row.en;
  return {};
}

std::vector<std::string> acceptable_reasons() {
  std::vector<std::string> out;
  for (const auto& row : kReasons)
    if (row.acceptable) out.emplace_back(row.name);
  return out;
}

std::string sentence(const RuleOutcome& o, Language language) {
  if (o.outcome == Outcome::kNotEvaluated)
    return o.not_carried ? "the source does not carry this"
                         : "not evaluated because of " + std::string(rule_name(o.because));
  const auto& row = row_of(o.reason);
  const std::string_view text = language == Language::kChinese ? row.zh : row.en;
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto open = text.find('{', at);
    out += text.substr(at, open == std::string_view::npos ? open : open - at);
    if (open == std::string_view::npos) break;
    const auto close = text.find('}', open);
    out += argument(o, text.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  return out;
}

fleet::RuleResult to_result(RuleId rule, const RuleOutcome& o) {
  fleet::RuleResult r;
  r.rule = rule_name(rule);
  r.outcome = o.outcome;
  if (o.outcome == Outcome::kPass && o.reason == Reason::kNone) return r;
  if (o.outcome == Outcome::kNotEvaluated) {
    r.because = o.not_carried ? "not_carried" : std::string(rule_name(o.because));
    return r;
  }
  r.reason = reason_name(o.reason);
  if (o.numbers) {
    r.needed = o.needed;
    r.available = o.available;
  }
  for (const auto& [key, value] : o.args) r.args.emplace(key, value);
  r.text = sentence(o);
  return r;
}

}  // namespace berth::placement
