#include "store/detail/check.h"

#include <cstdint>
#include <fmt/format.h>
#include <limits>
#include <set>
#include <utility>

#include "base/text.h"
#include "store/store.h"

namespace berth::store::detail {
namespace {

constexpr std::uint64_t kColumnMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

/// Collects the first thing that is wrong with one operation.
class Checker {
 public:
  explicit Checker(std::size_t index) : index_(index) {}

  Checker& key(std::string_view field, std::string_view value, bool may_be_empty = false) {
    if (value.empty() && !may_be_empty) return report(field, "is empty");
    if (value.size() > kIdMax) return report(field, fmt::format("has {} bytes, at most {}", value.size(), kIdMax));
    if (value.find('\0') != std::string_view::npos) return report(field, "contains a zero byte");
    if (!is_utf8(value)) return report(field, "is not valid UTF-8");
    return *this;
  }
  Checker& document(std::string_view field, std::string_view value) {
    if (value.empty()) return report(field, "is empty, must be a JSON document");
    if (value.size() > kDocumentMax) {
      return report(field, fmt::format("has {} bytes, at most {}", value.size(), kDocumentMax));
    }
    return *this;
  }
  Checker& number(std::string_view field, std::uint64_t value, std::uint64_t max = kColumnMax) {
    if (value > max) return report(field, fmt::format("is {}, at most {}", value, max));
    return *this;
  }
  Checker& require(bool ok, std::string_view field, std::string_view problem) {
    return ok ? *this : report(field, problem);
  }
  [[nodiscard]] Result<void> result() const {
    if (problem_.empty()) return {};
    return fail(Code::kInvalid, problem_);
  }

 private:
  Checker& report(std::string_view field, std::string_view problem) {
    if (problem_.empty()) problem_ = fmt::format("operations[{}].{} {}", index_, field, problem);
    return *this;
  }

  std::size_t index_;
  std::string problem_;
};

void check_op(Checker& c, const Create& op) {
  c.key("kind", op.kind).key("id", op.id).key("name", op.name);
  c.document("spec", op.spec).document("status", op.status);
}
void check_op(Checker& c, const Update& op) {
  c.key("kind", op.kind).key("id", op.id);
  if (op.name) c.key("name", *op.name);
  if (op.spec) c.document("spec", *op.spec);
  if (op.status) c.document("status", *op.status);
}
void check_op(Checker& c, const Put& op) {
  c.key("kind", op.kind).key("id", op.id).key("name", op.name);
  c.document("spec", op.spec).document("status", op.status);
}
void check_op(Checker& c, const Remove& op) { c.key("kind", op.kind).key("id", op.id); }
void check_op(Checker& c, const Expect& op) { c.key("kind", op.kind).key("id", op.id); }
void check_op(Checker& c, const SetClaims& op) {
  c.key("instance", op.instance).number("generation", op.generation);
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const DeviceBytes& claim : op.claims) {
    c.key("claims.worker", claim.worker).key("claims.device", claim.device, true);
    c.number("claims.bytes", claim.bytes.value);
    c.require(seen.emplace(claim.worker, claim.device).second, "claims", "names a device twice");
  }
}
void check_op(Checker& c, const ReleaseClaims& op) { c.key("instance", op.instance); }
void check_op(Checker& c, const CheckCapacity& op) { c.key("worker", op.worker).key("device", op.device, true); }
void check_op(Checker& c, const AddEvent& op) {
  c.key("object_kind", op.object_kind).key("object_id", op.object_id).key("reason", op.reason);
  c.require(op.type == "normal" || op.type == "warning", "type", "must be \"normal\" or \"warning\"");
}
void check_op(Checker& c, const AddDecision& op) {
  const DecisionRow& d = op.decision;
  c.key("id", d.id).key("deployment", d.deployment, true).key("verdict", d.verdict);
  c.key("snapshot_hash", d.snapshot_hash, true).key("request_hash", d.request_hash, true);
  c.key("policy_hash", d.policy_hash, true).key("catalog_hash", d.catalog_hash, true);
  c.document("body", d.body);
}
void check_op(Checker& c, const AddUsage& op) {
  c.key("key_id", op.key_id, true).key("model", op.model);
  c.number("prompt_tokens", op.prompt_tokens).number("completion_tokens", op.completion_tokens);
  c.number("requests", op.requests);
}
void check_op(Checker& c, const AddAudit& op) { c.key("actor", op.actor).key("action", op.action); }

}  // namespace

Result<void> check(const Batch& batch) {
  if (batch.operations.size() > kOperationsMax) {
    return invalid(fmt::format("a batch has {} operations, at most {}", batch.operations.size(), kOperationsMax));
  }
  for (std::size_t i = 0; i < batch.operations.size(); ++i) {
    Checker checker(i);
    std::visit([&](const auto& op) { check_op(checker, op); }, batch.operations[i]);
    TRY_VOID(checker.result());
  }
  return {};
}

std::string clip(std::string_view text) {
  if (text.size() <= kTextMax) return std::string(text);
  std::size_t end = kTextMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

Error not_found(std::string_view kind, std::string_view id) {
  return fail(Code::kNotFound, fmt::format("{} \"{}\" does not exist", kind, printable(id)));
}

Error shortfall_error(const Shortfall& shortfall) {
  const std::string where = shortfall.device.empty()
                                ? fmt::format("RAM of worker \"{}\"", shortfall.worker)
                                : fmt::format("device \"{}\" of worker \"{}\"", shortfall.device, shortfall.worker);
  return fail(Code::kConflict,
              fmt::format("{} has {} bytes available, {} needed: other claims were committed first",
                          where,
                          shortfall.available.value,
                          shortfall.needed.value));
}

Error too_many_objects() {
  return fail(Code::kTooLarge, fmt::format("the store holds more than {} objects of these kinds", kStateObjectsMax));
}

bool too_old(std::uint64_t revision, std::uint64_t current) {
  return revision > current || current - revision > kChangesKept;
}

}  // namespace berth::store::detail
