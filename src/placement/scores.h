#pragma once
// Scores of plans as GPUStack gives them, in integers of 1e-9: parts of the key of a policy that has them. The rows of
// the table are its versions. Source: its documentation of placement strategies, and its recorded scores.

#include <cstdint>
#include <span>

#include "placement/ranking.h"

namespace berth::placement {

constexpr std::uint64_t kPoint = 1'000'000'000;
/// No score is more: a claim of a hundred times what there is.
constexpr std::uint64_t kPointsMax = 1'000'000 * kPoint;

/// Binpack: how full the fullest of its devices gets, the host counting for a third. Spread: how little of ours is on
/// the workers and devices. Over workers a mean that weighs the first five times.
std::uint64_t placement_points(const Context& context,
                               const Candidate& candidate,
                               std::span<const KeyOrder::Rated> parts);
/// 0 to 5 points for model files that are on the workers already.
std::uint64_t file_points(const Context& context, std::span<const KeyOrder::Rated> parts);
/// Which step of the list a candidate is of, in GPUStack's order; of layers over several devices, how many those are.
std::uint64_t list_stage(const Candidate& candidate);

}  // namespace berth::placement
