#pragma once
// Which of a route's ready instances takes the next request: the one with the fewest requests under way, in turn among
// equals; one that could not be reached is left out for a while. Any thread.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/ports.h"

namespace berth::gateway {

constexpr std::size_t kTargetsRememberedMax = 4096;

class Balancer {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  /// One request under way; gives its place back when it ends.
  class Lease {
   public:
    Lease(Balancer& owner, Target target) : owner_(&owner), target_(std::move(target)) {}
    ~Lease() {
      if (owner_ != nullptr) owner_->release(target_);
    }
    Lease(Lease&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), target_(std::move(other.target_)) {}
    Lease& operator=(Lease&&) = delete;

    [[nodiscard]] const Target& target() const { return target_; }

   private:
    Balancer* owner_;
    Target target_;
  };

  /// Absent when nothing but `avoid` (instances) is there. When all are ejected, the one whose time ends first: a try
  /// is better than a refusal.
  std::optional<Lease> pick(const std::vector<Target>& ready, const std::vector<std::string>& avoid, Instant now);
  void eject(const Target& target, Instant until);
  [[nodiscard]] std::size_t outstanding(const Target& target) const;

 private:
  struct Record {
    std::size_t outstanding = 0;
    std::uint64_t last_pick = 0;
    Instant ejected_until{};
  };

  void release(const Target& target);
  void prune(Instant now);
  static std::string key_of(const Target& target);

  mutable std::mutex mutex_;
  std::map<std::string, Record> records_;
  std::uint64_t picks_ = 0;
};

}  // namespace berth::gateway
