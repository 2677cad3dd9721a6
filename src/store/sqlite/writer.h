#pragma once
// A group of batches in one transaction: each in a savepoint of its own, one COMMIT, one fsync.

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "store/sqlite/db.h"
#include "store/sqlite/group_commit.h"
#include "store/store.h"

namespace berth::store::sqlite {

/// run() belongs to the thread of GroupCommit; the rest is thread-safe.
class Writer {
 public:
  explicit Writer(Db& db) : db_(db) {}

  /// Answers every member. A refused batch leaves the others alone; when the whole transaction fails for want of
  /// space, each is tried alone, so that a large one does not take small ones with it.
  void run(Group group);

  [[nodiscard]] Stats stats() const;
  void set_listener(Store::Listener listener);

 private:
  Result<void> together(Group group);
  Result<Committed> one(Pending& pending);
  /// In a savepoint. The outer error means that the transaction itself is gone.
  Result<Result<Committed>> guarded(Pending& pending);
  void account(Group group, const std::vector<Result<Committed>>& results, std::uint64_t revision);

  Db& db_;
  std::optional<Error> broken_;  // set by a failed fsync: what the disk holds is unknown from then on
  mutable std::mutex mutex_;
  Stats stats_;
  Store::Listener listener_;
  std::uint64_t announced_ = 0;
};

}  // namespace berth::store::sqlite
