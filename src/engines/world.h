#pragma once
// What world size the parallel sizes of a request mean. The one place that combines them: the engine's way is data
// (WorldRules), and their spelling does not matter, since flags are settings before they come here (flags.h).

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/request.h"

namespace berth::engines {

/// Sizes with 1 for what is not given.
struct World {
  std::uint32_t ranks = 1;        // devices of one replica, everywhere
  std::uint32_t local_ranks = 1;  // of them on one worker, where the request says it; else `ranks`
  std::uint32_t tp = 1;
  std::uint32_t pp = 1;
  std::uint32_t dp = 1;
  std::uint32_t dp_local = 1;
  std::uint32_t ep = 1;      // ranks that share the experts
  std::uint32_t pcp = 1;     // prefill context
  std::uint32_t dcp = 1;     // decode context
  bool fixed = false;        // a size that adds ranks was given: the world is no free choice
  bool part = false;         // the deployment is one part of a larger group: it runs local_ranks, others run the rest
  bool data_inside = false;  // copies lie inside the tensor-parallel group

  /// Devices that one replica of this deployment takes.
  [[nodiscard]] std::uint32_t here() const { return part ? local_ranks : ranks; }
  /// Ranks that share one attention layer: what heads must divide by.
  [[nodiscard]] std::uint32_t attention_tp() const { return data_inside ? tp / dp : tp; }
  friend bool operator==(const World&, const World&) = default;
};

/// Most ranks of one world; beyond is kInvalid.
constexpr std::uint32_t kWorldRanksMax = 65536;

/// The world of restriction and flags, after absorb_flags. Pure; the same for every order and spelling of the flags.
/// Errors: kInvalid naming sizes and values: a size that the engine does not have, copies that are no multiple of
/// those of one worker, a size that does not divide what it lies in, two that exclude each other.
Result<World> world_of(const Engine& engine,
                       const fleet::Restriction& restriction,
                       const std::vector<std::string>& flags);

/// Names that WorldRules may use for sizes: "tensor_parallel", ….
bool is_parallel_size(std::string_view name);

}  // namespace berth::engines
