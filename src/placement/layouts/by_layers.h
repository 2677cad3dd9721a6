#pragma once
// See by_layers.cpp for what each layout assumes.

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_single_device(const LayoutInput& input, LayoutAnswer& answer);
void layout_several_devices(const LayoutInput& input, LayoutAnswer& answer);
void layout_partial_offload(const LayoutInput& input, LayoutAnswer& answer);
void layout_cpu(const LayoutInput& input, LayoutAnswer& answer);
/// Says that only the expected bytes fit, with both numbers.
void mark_uncertain(Shortfall& shortfall, const estimate::LlamaModel::Split& split);

}  // namespace berth::placement
