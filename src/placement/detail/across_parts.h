#pragma once
// Inside of Across: what one replica is put together from.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "placement/across.h"

namespace berth::placement {

constexpr std::uint32_t kRanksAcrossMax = 64;  // tried unasked

/// Devices of one kind on one worker.
struct Across::Offer {
  std::size_t worker = 0;  // in Search::workers()
  const DeviceType* type = nullptr;
  const StaticChain* chain = nullptr;
  Few<std::uint16_t> usable;  // most allocatable first
  std::uint32_t groups = 0;   // for one shape: how many fit, up to those needed
};

/// Offers that one replica may be made of: one engine version, and equal devices; or, for pipeline stages, devices that
/// differ from worker to worker.
struct Across::Kind {
  const fleet::Device* device = nullptr;
  std::string version;
  std::vector<Offer> offers;
  std::size_t devices = 0;
};

/// A shape with what one rank takes.
struct Across::Need {
  Shape shape;
  const estimate::RankEstimate* rank = nullptr;
  Share share;
  bool uncertain = false;
  bool mixed = false;  // devices differ: each gives the same share of itself, which holds what a rank needs on all

  [[nodiscard]] Bytes claim_on(const fleet::Device& device) const {
    return mixed ? share_of(device.memory_total_bytes, Bytes(), share.utilization).claim : share.claim;
  }

  [[nodiscard]] std::uint32_t groups() const { return shape.pipeline * shape.data; }
  [[nodiscard]] Bytes host(std::uint32_t ranks) const {
    const Interval all = rank->host_for(ranks);
    return uncertain ? all.expected : all.high;
  }
};

/// Calls `visit(shape)` for every shape that the request and the engine admit and that has devices enough.
template <class F>
void Across::each_shape(const Option& option, const Kind& kind, F&& visit) {
  const Sizes& sizes = option.sizes;
  if (sizes.shared_context > 1) return;
  const auto fixed = sizes.world();
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(kind.devices, kRanksAcrossMax));
  for (std::uint32_t ranks = std::max(fixed.value_or(2), 2U); ranks <= fixed.value_or(most); ++ranks) {
    if (ranks > kind.devices) return;
    for (const auto& [shape, undivided, taken] : cuts_of(context_, sizes, option, ranks)) {
      if (!sizes.tensor && !sizes.ranks && shape.tensor > kRanksMax) continue;
      if (!undivided) visit(shape);
    }
  }
}

template <class F>
void Across::each_need(const Ledgers& ledgers, bool uncertain, Mixed mixed, F&& visit) {
  for (std::size_t i = 0; i < context_.options.size(); ++i) {
    const Option& option = context_.options[i];
    if (option.over_workers == OverWorkers::kNo) continue;
    const auto kinds = kinds_of(i, ledgers);
    for (const auto& kind : kinds) {
      each_shape(option, kind, [&](const Shape& shape) {
        if (const auto need = need_of(option, kind, shape, uncertain)) visit(option, kind, *need);
      });
    }
    if (mixed == Mixed::kNo || !option.pipeline) continue;
    for (const auto& group : mixable(kinds)) {
      Kind all{group.front()->device, group.front()->version, {}, 0};
      for (const auto* kind : group) all.devices += kind->devices;
      each_shape(option, all, [&](const Shape& shape) {
        if (shape.pipeline < 2 || shape.data > 1) return;
        for (const auto& [kind, need] : mixed_needs(option, group, shape, ledgers, uncertain))
          visit(option, kind, need);
      });
    }
  }
}

/// Depth first through every way to place `wanted`; keeps the longest row of plans.
class Across::Exhaust {
 public:
  Exhaust(Across& across, std::uint32_t wanted, bool uncertain)
      : across_(across), wanted_(wanted), uncertain_(uncertain) {}

  std::vector<Candidate> run(const Ledgers& ledgers);

 private:
  void descend(const Ledgers& ledgers);
  [[nodiscard]] std::vector<std::uint64_t> key(const Ledgers& ledgers) const;
  /// True while the bound is not hit.
  bool step();

  Across& across_;
  std::uint32_t wanted_;
  bool uncertain_;
  std::uint64_t steps_ = 0;
  std::vector<Candidate> path_, best_;
  std::set<std::vector<std::uint64_t>> seen_;
};

}  // namespace berth::placement
