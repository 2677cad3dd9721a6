#include "store/detail/apply.h"

#include <chrono>
#include <fmt/format.h>
#include <set>
#include <utility>

#include "base/text.h"
#include "store/detail/check.h"

namespace berth::store::detail {
namespace {

Error conflict(std::string message) { return fail(Code::kConflict, std::move(message)); }

class Applier {
 public:
  Applier(Tables& tables, const Batch& batch, Shortfall& shortfall)
      : tables_(tables), batch_(batch), shortfall_(shortfall) {}

  Result<Committed> run() {
    TRY(counters_, tables_.counters());
    const Counters before = counters_;
    if (batch_.epoch != 0 && batch_.epoch < counters_.epoch) {
      return conflict(fmt::format(
          "epoch {} of the writer is old, {} leads now: this server lost the lead", batch_.epoch, counters_.epoch));
    }
    Committed done;
    done.revisions.reserve(batch_.operations.size());
    for (const Operation& operation : batch_.operations) {
      TRY(const std::uint64_t revision, std::visit([&](const auto& op) { return on(op); }, operation));
      done.revisions.push_back(revision);
    }
    for (const CheckCapacity* check : checks_) TRY_VOID(check_capacity(*check));
    if (counters_ != before) TRY_VOID(tables_.save_counters(counters_));
    done.revision = counters_.revision;
    return done;
  }

 private:
  Result<std::uint64_t> on(const Create& op) {
    TRY(const auto existing, tables_.object(op.kind, op.id));
    if (existing) return conflict(fmt::format("{} \"{}\" exists already", op.kind, op.id));
    return insert({.kind = op.kind, .id = op.id, .name = op.name, .spec = op.spec, .status = op.status});
  }

  Result<std::uint64_t> on(const Update& op) {
    TRY(const auto found, tables_.object(op.kind, op.id));
    if (!found) return not_found(op.kind, op.id);
    if (op.expected_revision) TRY_VOID(expect_revision(*found, *op.expected_revision));
    Object next = *found;
    if (op.name) next.name = *op.name;
    if (op.spec) next.spec = *op.spec;
    if (op.status) next.status = *op.status;
    if (op.deleting && !next.deleting_at) next.deleting_at = batch_.at;
    return replace(*found, std::move(next));
  }

  Result<std::uint64_t> on(const Put& op) {
    TRY(const auto found, tables_.object(op.kind, op.id));
    if (!found) {
      return insert({.kind = op.kind, .id = op.id, .name = op.name, .spec = op.spec, .status = op.status});
    }
    Object next = *found;
    next.name = op.name;
    next.spec = op.spec;
    next.status = op.status;
    return replace(*found, std::move(next));
  }

  Result<std::uint64_t> on(const Remove& op) {
    TRY(const auto found, tables_.object(op.kind, op.id));
    if (!found) return not_found(op.kind, op.id);
    if (op.expected_revision) TRY_VOID(expect_revision(*found, *op.expected_revision));
    TRY_VOID(tables_.erase_object(op.kind, op.id));
    if (op.kind == "instance") TRY_VOID(tables_.save_claims(op.id, {}));
    return log_change(op.kind, op.id, ChangeKind::kRemoved);
  }

  Result<std::uint64_t> on(const Expect& op) {
    TRY(const auto found, tables_.object(op.kind, op.id));
    if (found) TRY_VOID(expect_revision(*found, op.revision));
    if (!found && op.revision != 0) {
      return conflict(fmt::format("{} \"{}\" is gone, revision {} was expected", op.kind, op.id, op.revision));
    }
    return found ? found->revision : std::uint64_t{0};
  }

  Result<std::uint64_t> on(const SetClaims& op) {
    TRY(const auto instance, tables_.object("instance", op.instance));
    if (!instance) return not_found("instance", op.instance);
    TRY(const auto held, tables_.claims_of(op.instance));
    for (const ClaimRow& claim : held) {
      if (claim.generation <= op.generation) continue;
      return conflict(fmt::format("instance \"{}\" holds claims of generation {}, these are of {}",
                                  op.instance,
                                  claim.generation,
                                  op.generation));
    }
    std::vector<ClaimRow> rows;
    rows.reserve(op.claims.size());
    for (const DeviceBytes& claim : op.claims) {
      rows.push_back({.instance = op.instance,
                      .worker = claim.worker,
                      .device = claim.device,
                      .bytes = claim.bytes,
                      .generation = op.generation});
    }
    TRY_VOID(tables_.save_claims(op.instance, rows));
    claimed_.insert(op.instance);
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const ReleaseClaims& op) {
    TRY_VOID(tables_.save_claims(op.instance, {}));
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const CheckCapacity& op) {
    checks_.push_back(&op);
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const AddEvent& op) {
    TRY_VOID(tables_.add_event({.object_kind = op.object_kind,
                                .object_id = op.object_id,
                                .type = op.type,
                                .reason = op.reason,
                                .message = clip(op.message),
                                .first_at = batch_.at,
                                .last_at = batch_.at}));
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const AddDecision& op) {
    TRY(const bool added, tables_.add_decision(op.decision));
    if (!added) return conflict(fmt::format("decision \"{}\" exists already", op.decision.id));
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const AddUsage& op) {
    TRY_VOID(tables_.add_usage({.key_id = op.key_id,
                                .model = op.model,
                                .hour = std::chrono::floor<std::chrono::hours>(batch_.at),
                                .prompt_tokens = op.prompt_tokens,
                                .completion_tokens = op.completion_tokens,
                                .requests = op.requests}));
    return std::uint64_t{0};
  }

  Result<std::uint64_t> on(const AddAudit& op) {
    TRY_VOID(tables_.add_audit({.at = batch_.at,
                                .actor = op.actor,
                                .action = op.action,
                                .object = clip(op.object),
                                .detail = clip(op.detail)}));
    return std::uint64_t{0};
  }

  static Result<void> expect_revision(const Object& object, std::uint64_t expected) {
    if (object.revision == expected) return {};
    return conflict(fmt::format(
        "{} \"{}\" is at revision {}, not {}: read it again", object.kind, object.id, object.revision, expected));
  }

  Result<void> check_name(const Object& object) {
    TRY(const auto holder, tables_.live_name(object.kind, object.name));
    if (!holder || *holder == object.id) return {};
    return conflict(fmt::format("another {} has the name \"{}\"", object.kind, printable(object.name)));
  }

  Result<std::uint64_t> insert(Object object) {
    TRY_VOID(check_name(object));
    object.generation = 1;
    object.created_at = batch_.at;
    return save(std::move(object));
  }

  Result<std::uint64_t> replace(const Object& before, Object next) {
    if (next == before) return before.revision;
    if (next.name != before.name && !next.deleting_at) TRY_VOID(check_name(next));
    if (next.spec != before.spec) ++next.generation;
    return save(std::move(next));
  }

  Result<std::uint64_t> save(Object object) {
    object.updated_at = batch_.at;
    object.epoch = batch_.epoch;
    object.revision = counters_.revision + 1;
    TRY_VOID(tables_.save_object(object));
    return log_change(object.kind, object.id, ChangeKind::kPut);
  }

  Result<std::uint64_t> log_change(const std::string& kind, const std::string& id, ChangeKind change) {
    ++counters_.revision;
    TRY_VOID(tables_.add_change({.revision = counters_.revision, .kind = kind, .id = id, .change = change}));
    return counters_.revision;
  }

  Result<void> check_capacity(const CheckCapacity& check) {
    TRY(const auto rows, tables_.claims_on(check.worker, check.device));
    Bytes ours;
    Bytes others;
    for (const ClaimRow& row : rows) (claimed_.contains(row.instance) ? ours : others) += row.bytes;
    if (ours + others <= check.capacity) return {};
    shortfall_ = {.worker = check.worker,
                  .device = check.device,
                  .needed = ours,
                  .available = check.capacity.minus_or_zero(others)};
    return shortfall_error(shortfall_);
  }

  Tables& tables_;
  const Batch& batch_;
  Shortfall& shortfall_;
  Counters counters_;
  std::vector<const CheckCapacity*> checks_;
  std::set<std::string> claimed_;
};

}  // namespace

Result<Committed> apply(Tables& tables, const Batch& batch, Shortfall& shortfall) {
  return Applier(tables, batch, shortfall).run();
}

Result<std::uint64_t> raise_epoch(Tables& tables) {
  TRY(Counters counters, tables.counters());
  ++counters.epoch;
  TRY_VOID(tables.save_counters(counters));
  return counters.epoch;
}

}  // namespace berth::store::detail
