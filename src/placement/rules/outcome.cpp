// How outcomes are made.
#include "placement/rules/rule.h"

namespace berth::placement {

RuleOutcome RuleOutcome::reject(Reason reason, Args args) {
  RuleOutcome o;
  o.outcome = Outcome::kReject;
  o.reason = reason;
  o.args = std::move(args);
  return o;
}

RuleOutcome RuleOutcome::warn(Reason reason, Args args) {
  RuleOutcome o = reject(reason, std::move(args));
  o.outcome = Outcome::kWarn;
  return o;
}

RuleOutcome RuleOutcome::unknown(Reason reason, Args args) {
  RuleOutcome o = reject(reason, std::move(args));
  o.outcome = Outcome::kUnknown;
  return o;
}

RuleOutcome RuleOutcome::not_evaluated(RuleId because) {
  RuleOutcome o;
  o.outcome = Outcome::kNotEvaluated;
  o.because = because;
  return o;
}

RuleOutcome RuleOutcome::source_lacks() {
  RuleOutcome o;
  o.outcome = Outcome::kNotEvaluated;
  o.not_carried = true;
  return o;
}

RuleOutcome&& RuleOutcome::with(Bytes needed_bytes, Bytes available_bytes) && {
  numbers = true;
  needed = needed_bytes;
  available = available_bytes;
  return std::move(*this);
}

}  // namespace berth::placement
