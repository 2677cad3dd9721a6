#include "placement/layouts/by_layers.h"
#include "placement/layouts/by_share.h"
#include "placement/layouts/declared.h"
#include "placement/layouts/listed.h"

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

constexpr std::array kListed = {
    LayoutRow{"listed", true, false, layout_listed},
    LayoutRow{"listed", false, false, layout_listed_on_host},
};

}  // namespace

std::span<const LayoutRow> layout_table(const Policy& policy) {
  if (policy.candidates == "listed") return kListed;
  return kLayouts;
}

}  // namespace berth::placement
