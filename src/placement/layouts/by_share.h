#pragma once
// Layouts of engines that take a share of each device (vLLM), inside one worker and on devices of one type: one rank on
// a device, a tensor-parallel group, or pipeline stages of such groups. Claim = ⌈utilization × total⌉; without a
// utilization it is the need over the total, rounded up to 0.01 (DESIGN §1).

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_one_rank(const LayoutInput& input, LayoutAnswer& answer);
void layout_tensor_parallel(const LayoutInput& input, LayoutAnswer& answer);
/// More than one stage, or copies; looked at after the plain groups, and only with no more devices than those take.
void layout_pipeline_parallel(const LayoutInput& input, LayoutAnswer& answer);

}  // namespace berth::placement
