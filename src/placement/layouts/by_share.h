#pragma once
// Layouts of engines that take a share of each device (vLLM): one rank on a device, or tensor parallel over g equal
// devices of one type inside one worker. Claim = ⌈utilization × total⌉; without a utilization it is the need over the
// total, rounded up to 0.01 (DESIGN §1).

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_one_rank(const LayoutInput& input, LayoutAnswer& answer);
void layout_tensor_parallel(const LayoutInput& input, LayoutAnswer& answer);

}  // namespace berth::placement
