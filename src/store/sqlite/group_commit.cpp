#include "store/sqlite/group_commit.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>
#include <vector>

#include "store/store.h"

namespace berth::store::sqlite {

GroupCommit::GroupCommit(Run run) : run_(std::move(run)), thread_([this] { loop(); }) {}

GroupCommit::~GroupCommit() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  thread_.join();
}

Result<Committed> GroupCommit::submit(const std::shared_ptr<Pending>& pending, Duration timeout) {
  std::unique_lock lock(mutex_);
  if (closing_) return fail(Code::kUnavailable, "the store is closing: nothing was written");
  if (queue_.size() >= kPendingMax) {
    return fail(Code::kUnavailable,
                fmt::format("{} commits wait for the disk, at most {}: nothing was written, try again later",
                            queue_.size(),
                            kPendingMax));
  }
  queue_.push_back(pending);
  work_.notify_one();
  const bool done = pending->changed.wait_for(lock, timeout, [&] { return pending->state == Pending::State::kDone; });
  if (done) return std::move(pending->result);
  if (pending->state == Pending::State::kRunning) {
    return fail(Code::kTimeout,
                fmt::format("the disk did not answer within {}: the change may or may not be written, read before "
                            "trying again",
                            human(timeout)));
  }
  std::erase(queue_, pending);
  return fail(Code::kTimeout, fmt::format("the disk was busy for {}: nothing was written", human(timeout)));
}

void GroupCommit::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kGroupMax));
    const std::vector<std::shared_ptr<Pending>> group(queue_.begin(), end);
    queue_.erase(queue_.begin(), end);
    for (const auto& pending : group) pending->state = Pending::State::kRunning;
    lock.unlock();
    run_(group);
    lock.lock();
    for (const auto& pending : group) {
      pending->state = Pending::State::kDone;
      pending->changed.notify_all();
    }
  }
}

}  // namespace berth::store::sqlite
