#pragma once
// The queue before the disk: commits that arrive while one fsync runs share the next one.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "base/result.h"
#include "base/time.h"
#include "store/batch.h"

namespace berth::store::sqlite {

constexpr std::size_t kGroupMax = 256;  // batches of one transaction: bounds how long the first waits for the last

/// One commit under way. The writer fills `result` and `shortfall`; nobody reads them before it is done.
struct Pending {
  Batch batch;
  bool raise_epoch = false;  // instead of a batch; the new epoch is in result.revision
  Result<Committed> result = Committed{};
  Shortfall shortfall;

  enum class State { kQueued, kRunning, kDone };
  State state = State::kQueued;
  std::condition_variable changed;
};

using Group = std::span<const std::shared_ptr<Pending>>;

/// One thread that takes what waits and hands it to `run`, which must answer every member of the group.
class GroupCommit {
 public:
  using Run = std::function<void(Group)>;

  explicit GroupCommit(Run run);
  /// Finishes what was accepted, then joins.
  ~GroupCommit();
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  /// Blocks until done. Errors of its own: kUnavailable when kPendingMax wait or the store closes, kTimeout.
  Result<Committed> submit(const std::shared_ptr<Pending>& pending, Duration timeout);

 private:
  void loop();

  Run run_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::shared_ptr<Pending>> queue_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace berth::store::sqlite
