#include "placement/layouts/by_layers.h"
#include "placement/layouts/by_share.h"
#include "placement/layouts/declared.h"

namespace berth::placement {
namespace {

// An engine that takes a share of the device and one that is judged by parts both know "single_device".
void single_device(const LayoutInput& input, LayoutAnswer& answer) {
  if (input.option.engine->memory == engines::MemoryModel::kShareOfDevice) return layout_one_rank(input, answer);
  layout_single_device(input, answer);
}

constexpr std::array kLayouts = {
    LayoutRow{"single_device", true, true, single_device},
    LayoutRow{"several_devices", true, false, layout_several_devices},
    LayoutRow{"tensor_parallel", true, false, layout_tensor_parallel},
    LayoutRow{"pipeline_parallel", true, false, layout_pipeline_parallel},
    LayoutRow{"partial_offload", true, false, layout_partial_offload},
    LayoutRow{"cpu", false, false, layout_cpu},
    LayoutRow{"declared", true, false, layout_declared},
    LayoutRow{"declared", false, false, layout_declared_on_host},
};

}  // namespace

std::span<const LayoutRow> layout_table() { return kLayouts; }

}  // namespace berth::placement
