#pragma once
// Layouts under a policy whose candidates are listed (fleet::gpustack_policy): the few that GPUStack looks at on one
// worker, by the form of its estimate (estimate/published.h). Which of several ways is tried first is a part of the
// plan key ("stage"), so that these only say what there is.
//
// kShare      one device whose share holds the need; else, most allocatable first, as many devices of a group as their
//             shares together hold it, and as the model's heads and vocabulary divide by. Devices of a group differ in
//             what is allocatable by a tenth at most. A share must be free as a whole.
// kOneDevice  each device that holds all of it; the host alone, where that is known to do.
// kEvenly     each device that holds all of it; all devices of the worker, each an even part; the host of a worker
//             without devices.
// kLayers     where splits were recorded: one device, as few devices as hold all layers, else as many layers as one or
//             several devices hold, else none; only the splits that were recorded are known. Elsewhere as by_layers.h.

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_listed(const LayoutInput& input, LayoutAnswer& answer);
void layout_listed_on_host(const LayoutInput& input, LayoutAnswer& answer);

// --- shared with those over several workers (listed_across.h) ---

/// Host memory that goes by what is claimed of a worker's devices.
Bytes host_ratio(const estimate::PublishedNeed& need, std::span<const Bytes> claims);
/// The share of the device that a rank takes there; 0: what it needs.
double share_on(const Option& option, const std::string& framework);
/// Whether the device has the share free.
bool share_is_free(Bytes allocatable, Bytes total, double share);
/// Why the model cannot be cut into `ranks` ranks; nothing when it can. With copies and stages, by what a stage has.
std::optional<RuleOutcome> uncut(const Context& context, const Option& option, std::uint32_t ranks);
/// Ranks that the request asks for; under a selection the devices of one replica, where sizes that disagree are let
/// through (`accept`).
std::optional<std::uint32_t> ranks_asked(const Context& context, const Option& option);
/// The recorded row with most layers on devices that `fits`; null when none does. `wanted`: that many layers and no
/// other; `full`: all of them.
struct RowWish {
  bool full = false;
  std::optional<std::uint32_t> wanted;
};
template <class Fits>
const fleet::SplitRow* best_row(const fleet::SplitReading& reading, const RowWish& wish, Fits&& fits) {
  const fleet::SplitRow* best = nullptr;
  for (const auto& row : reading.rows) {
    if (wish.full && !row.full) continue;
    if (wish.wanted && row.offload_layers != *wish.wanted) continue;
    if (row.offload_layers == 0 || (best != nullptr && best->offload_layers >= row.offload_layers)) continue;
    if (fits(row)) best = &row;
  }
  return best;
}
/// Layers that are asked to lie on devices, where these are not all.
std::optional<std::uint32_t> layers_asked(const Option& option);

}  // namespace berth::placement
