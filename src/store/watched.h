#pragma once
// A store that remembers whether its last commit could be written: what /readyz says.

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "store/store.h"

namespace berth::store {

class Watched : public Store {
 public:
  explicit Watched(std::unique_ptr<Store> inner) : inner_(std::move(inner)) {}

  /// Why the last commit that reached the disk failed; empty when it did not.
  [[nodiscard]] std::string trouble() const {
    const std::scoped_lock lock(mutex_);
    return trouble_;
  }

  Result<Committed> commit(Batch batch, Duration timeout = kCommitTimeout, Shortfall* shortfall = nullptr) override {
    auto done = inner_->commit(std::move(batch), timeout, shortfall);
    const std::scoped_lock lock(mutex_);
    if (done)
      trouble_.clear();
    else if (is_of_disk(done.error().code))
      trouble_ = done.error().message;
    return done;
  }
  Result<std::uint64_t> next_epoch() override { return inner_->next_epoch(); }
  Result<Object> get(std::string_view kind, std::string_view id) override { return inner_->get(kind, id); }
  Result<Object> get_by_name(std::string_view kind, std::string_view name) override {
    return inner_->get_by_name(kind, name);
  }
  Result<Page> list(const ListQuery& query) override { return inner_->list(query); }
  Result<State> read_state(const std::vector<std::string>& kinds) override { return inner_->read_state(kinds); }
  Result<std::vector<ClaimRow>> list_claims(const ClaimQuery& query) override { return inner_->list_claims(query); }
  Result<std::vector<Event>> list_events(const EventQuery& query) override { return inner_->list_events(query); }
  Result<DecisionRow> get_decision(std::string_view id) override { return inner_->get_decision(id); }
  Result<std::vector<DecisionRow>> list_decisions(std::string_view deployment, std::size_t limit) override {
    return inner_->list_decisions(deployment, limit);
  }
  Result<std::vector<UsageSum>> usage(const UsageQuery& query) override { return inner_->usage(query); }
  Result<std::vector<AuditRow>> list_audit(std::size_t limit) override { return inner_->list_audit(limit); }
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return inner_->changes_since(revision, limit);
  }
  Result<std::uint64_t> revision() override { return inner_->revision(); }
  [[nodiscard]] Stats stats() const override { return inner_->stats(); }
  void set_listener(Listener listener) override { inner_->set_listener(std::move(listener)); }

 private:
  /// A conflict or an invalid batch says nothing about the disk.
  static bool is_of_disk(Code code) {
    return code == Code::kUnavailable || code == Code::kInternal || code == Code::kTimeout;
  }

  std::unique_ptr<Store> inner_;
  mutable std::mutex mutex_;
  std::string trouble_;
};

}  // namespace berth::store
