#pragma once
// Shapes of engines whose replica is a set of equal ranks, one device each: tensor-parallel groups, pipeline stages of
// such groups, copies of such pipelines. What the request leaves open is enumerated here, once for one worker and for
// several.

#include <cstdint>
#include <optional>
#include <vector>

#include "placement/layouts/layout.h"

namespace berth::placement {

/// Most ranks that berth tries unasked on one worker.
constexpr std::uint32_t kRanksMax = 16;

/// Shapes of exactly `ranks` ranks that the request and the engine admit, largest tensor-parallel group first. Of what
/// is open: groups are powers of two unless the number of ranks was asked for, stages only where the engine has them,
/// copies one. Empty when there is none.
std::vector<Shape> shapes_of(const Sizes& sizes, const Option& option, std::uint32_t ranks);

/// What one rank takes of a device with `total` bytes: ⌈utilization × total⌉, or the need over the total rounded up to
/// 0.01 (DESIGN §1). `below_need`: the utilization that was asked for is too small.
struct Share {
  Bytes claim;
  double utilization = 0;
  bool below_need = false;
};
Share share_of(Bytes total, Bytes need, std::optional<double> asked);
/// The smallest utilization in hundredths that holds `need`; absent when the whole device does not.
std::optional<double> enough_share(Bytes total, Bytes need);

/// shapes_of(), each with the reject when the model cannot be cut that way for this engine; nothing when it can. The
/// answer is the option's: the same sizes, the same cuts.
std::vector<Estimates::Cut>& cuts_of(const Context& context,
                                     const Sizes& sizes,
                                     const Option& option,
                                     std::uint32_t ranks);

}  // namespace berth::placement
