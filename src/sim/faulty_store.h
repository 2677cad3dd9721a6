#pragma once
// A store whose commits fail when told to, and that shows every batch it writes to a checker.

#include <functional>
#include <utility>

#include "store/store.h"

namespace berth::sim {

enum class CommitFault {
  kNone,
  kConflict,     // refused, nothing is written
  kFull,         // kUnavailable, nothing is written
  kLost,         // kTimeout, nothing is written
  kUnconfirmed,  // kTimeout, and it is written
  kDiesBefore,   // the server is no more: ServerDied
  kDiesAfter,    // the same, once it is written
};

/// Thrown out of a commit: nobody hears what became of it, and the server that asked must not be used any more.
struct ServerDied {};

class FaultyStore final : public store::Store {
 public:
  using Drawn = std::function<CommitFault()>;
  using Written = std::function<void(const store::Batch&)>;

  FaultyStore(store::Store& inner, Drawn fault, Written written)
      : inner_(inner), fault_(std::move(fault)), written_(std::move(written)) {}

  Result<store::Committed> commit(store::Batch batch, Duration timeout, store::Shortfall* shortfall) override {
    const CommitFault fault = fault_();
    if (fault == CommitFault::kConflict) return fail(Code::kConflict, "the simulation refuses this commit");
    if (fault == CommitFault::kFull) return fail(Code::kUnavailable, "the disk is full: nothing was written");
    if (fault == CommitFault::kLost) return fail(Code::kTimeout, "the change may or may not be written");
    if (fault == CommitFault::kDiesBefore) throw ServerDied();
    auto done = inner_.commit(batch, timeout, shortfall);
    if (done) written_(batch);
    if (fault == CommitFault::kDiesAfter) throw ServerDied();
    if (done && fault == CommitFault::kUnconfirmed) return fail(Code::kTimeout, "the change may or may not be written");
    return done;
  }
  Result<std::uint64_t> next_epoch() override { return inner_.next_epoch(); }
  Result<store::Object> get(std::string_view kind, std::string_view id) override { return inner_.get(kind, id); }
  Result<store::Object> get_by_name(std::string_view kind, std::string_view name) override {
    return inner_.get_by_name(kind, name);
  }
  Result<store::Page> list(const store::ListQuery& query) override { return inner_.list(query); }
  Result<store::State> read_state(const std::vector<std::string>& kinds) override { return inner_.read_state(kinds); }
  Result<std::vector<store::ClaimRow>> list_claims(const store::ClaimQuery& query) override {
    return inner_.list_claims(query);
  }
  Result<std::vector<store::Event>> list_events(const store::EventQuery& query) override {
    return inner_.list_events(query);
  }
  Result<store::DecisionRow> get_decision(std::string_view id) override { return inner_.get_decision(id); }
  Result<std::vector<store::DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) override {
    return inner_.list_decisions(deployment, limit);
  }
  Result<std::vector<store::UsageSum>> usage(const store::UsageQuery& query) override { return inner_.usage(query); }
  Result<std::vector<store::AuditRow>> list_audit(std::size_t limit) override { return inner_.list_audit(limit); }
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return inner_.changes_since(revision, limit);
  }
  Result<std::uint64_t> revision() override { return inner_.revision(); }
  [[nodiscard]] store::Stats stats() const override { return inner_.stats(); }
  void set_listener(Listener listener) override { inner_.set_listener(std::move(listener)); }

 private:
  store::Store& inner_;
  Drawn fault_;
  Written written_;
};

}  // namespace berth::sim
