// Every way to lay replicas over several workers, for fleets small enough to try them all.
#include <algorithm>
#include <functional>

#include "placement/detail/across_parts.h"

namespace berth::placement {

void Across::each_plan(const Ledgers& ledgers, bool uncertain, const Visit& visit) {
  each_need(ledgers, uncertain, Mixed::kYes, [&](const Option& option, const Kind& kind, const Need& need) {
    const bool group = need.groups() == 1;
    Need unit = need;
    if (group) unit.shape = {1, need.shape.tensor, 1};  // dealt out by ranks
    const auto offers = offers_for(option, kind, unit, ledgers);
    std::vector<std::uint32_t> take(offers.size());
    const std::function<void(std::size_t, std::uint32_t)> deal = [&](std::size_t i, std::uint32_t left) {
      if (limited_) return;
      if (left > 0 && i < offers.size()) {
        for (std::uint32_t n = 0; n <= std::min(offers[i].groups, left); ++n) {
          take[i] = n;
          deal(i + 1, left - n);
        }
        take[i] = 0;
        return;
      }
      if (left > 0) return;
      std::set<std::uint32_t> sizes;
      Candidate c = candidate(option, need, group ? "tensor_over_workers" : "over_workers");
      c.groups_across = group ? 1 : 0;
      for (std::size_t k = 0; k < i; ++k) {
        if (take[k] == 0) continue;
        sizes.insert(take[k]);
        add_part(c, part_of(offers[k], need, take[k] * unit.shape.tensor));
      }
      const bool even = sizes.size() == 1;
      if (c.more.empty() || (!even && (group || option.over_workers == OverWorkers::kEvenly))) return;
      fill_key(c, ledgers);
      visit(std::move(c));
    };
    deal(0, unit.groups());
  });
}

std::vector<Candidate> Across::Exhaust::run(const Ledgers& ledgers) {
  descend(ledgers);
  return std::move(best_);
}

bool Across::Exhaust::step() {
  if (++steps_ > across_.context_.policy.search_steps_max) across_.limited_ = true;
  return !across_.limited_;
}

void Across::Exhaust::descend(const Ledgers& ledgers) {
  if (!step() || best_.size() == wanted_ || !seen_.insert(key(ledgers)).second) return;
  std::vector<Candidate> plans;
  across_.each_plan(ledgers, uncertain_, [&](Candidate c) {
    if (step()) plans.push_back(std::move(c));
  });
  std::sort(
      plans.begin(), plans.end(), [&](const auto& a, const auto& b) { return across_.search_.order().before(a, b); });
  for (auto& plan : plans) {
    Ledgers rest = ledgers;
    across_.take_off(rest, plan);
    path_.push_back(std::move(plan));
    if (path_.size() > best_.size()) best_ = path_;
    descend(rest);
    path_.pop_back();
    if (across_.limited_ || best_.size() == wanted_) return;
  }
}

std::vector<std::uint64_t> Across::Exhaust::key(const Ledgers& ledgers) const {
  std::vector<std::uint64_t> out = {path_.size()};
  for (const auto& ledger : ledgers) {
    for (const auto& d : ledger.devices) out.push_back(d.value);
    out.push_back(ledger.memory.value);
  }
  return out;
}

}  // namespace berth::placement
