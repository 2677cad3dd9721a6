#include "gateway/detail/balancer.h"

#include <algorithm>
#include <fmt/format.h>

namespace berth::gateway {

std::string Balancer::key_of(const Target& target) { return fmt::format("{}#{}", target.instance, target.attempt); }

std::optional<Balancer::Lease> Balancer::pick(const std::vector<Target>& ready,
                                              const std::vector<std::string>& avoid,
                                              Instant now) {
  const std::lock_guard lock(mutex_);
  const Target* best = nullptr;
  Record* best_record = nullptr;
  const auto rank = [now](const Record& record) {
    const Instant ejected = record.ejected_until > now ? record.ejected_until : Instant{};
    return std::tuple(ejected, record.outstanding, record.last_pick);
  };
  if (records_.size() > kTargetsRememberedMax) prune(now);
  for (const Target& target : ready) {
    if (std::find(avoid.begin(), avoid.end(), target.instance) != avoid.end()) continue;
    Record& record = records_[key_of(target)];
    if (best != nullptr && rank(*best_record) <= rank(record)) continue;
    best = &target;
    best_record = &record;
  }
  if (best == nullptr) return std::nullopt;
  ++best_record->outstanding;
  best_record->last_pick = ++picks_;
  return Lease(*this, *best);
}

void Balancer::eject(const Target& target, Instant until) {
  const std::lock_guard lock(mutex_);
  records_[key_of(target)].ejected_until = until;
}

std::size_t Balancer::outstanding(const Target& target) const {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(key_of(target));
  return found == records_.end() ? 0 : found->second.outstanding;
}

void Balancer::release(const Target& target) {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(key_of(target));
  if (found != records_.end() && found->second.outstanding > 0) --found->second.outstanding;
}

void Balancer::prune(Instant now) {
  std::erase_if(records_, [now](const auto& entry) {
    return entry.second.outstanding == 0 && entry.second.ejected_until <= now;
  });
}

}  // namespace berth::gateway
