#pragma once
// Dealing the layers of a llama.cpp model over devices in a row: contiguous runs, the output layer on the last device.
// What a device takes goes by its run alone (and by whether it is the first or holds the output), so a run's bytes are
// asked of the estimator as one of three: what lies before, the run, what lies behind.

#include <cstdint>
#include <optional>
#include <span>

#include "placement/detail/context.h"
#include "placement/detail/few.h"

namespace berth::placement {

/// Above this many devices only greedy orders are tried (DESIGN §2).
constexpr std::size_t kExactDealMax = 12;

struct DealInput {
  const estimate::LlamaModel& model;
  const DeviceTraits& traits;
  std::span<const Bytes> rooms;     // what each device can hold
  std::uint32_t count = 0;          // layers to deal, counted as -ngl does
  bool uncertain = false;           // expected bytes instead of high
  bool all = false;                 // each device must get a layer
  Estimates::Runs* runs = nullptr;  // of that count, where they are kept
};

/// Layers by device in the order that was found best. `order[k]` is the place in `rooms` of the k-th device; devices
/// without a layer are left out.
struct Deal {
  Few<std::uint16_t> order;
  Few<std::uint32_t> layers;
};

/// In proportion to the rooms; evenly where there is none. One entry for each room, some may be 0.
Few<std::uint32_t> deal_in_proportion(std::span<const Bytes> rooms, std::uint32_t count);
/// Each device in order as many as it holds; the last takes the rest.
Few<std::uint32_t> deal_in_order(const DealInput& input);
/// How many of the layers that deal_in_order() left to the last device do not fit there.
std::uint32_t layers_over(const DealInput& input, std::span<const std::uint32_t> in_order);
/// What another order is taken to gain at most: a device's longest run differs by a layer with its place in the row
/// (the first device, the output layer, the window pattern). Beyond it the exact search is not worth its time.
constexpr std::uint32_t gain_max(std::size_t devices) { return static_cast<std::uint32_t>(devices) + 1; }
/// A deal in which every device holds its run, or nothing when there is none in any order; for at most kExactDealMax
/// devices. Dynamic programming over how many devices of each size are used up, keeping the longest row of layers.
std::optional<Deal> deal_exactly(const DealInput& input);

}  // namespace berth::placement
