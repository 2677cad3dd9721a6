#pragma once
// Layers by recorded splits, on one worker (layouts/listed.h).

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_listed_layers(const LayoutInput& input, LayoutAnswer& answer);
/// All layers on the host.
void layout_listed_no_layers(const LayoutInput& input, LayoutAnswer& answer);

/// Bytes of a row on a worker: those of shared memory where its devices share the host's.
inline Bytes bytes_of(const fleet::SplitDevice& device, bool unified) {
  return unified ? device.bytes_unified : device.bytes;
}
inline Bytes host_of(const fleet::SplitRow& row, bool unified) {
  return unified ? row.host_bytes_unified : row.host_bytes;
}

}  // namespace berth::placement
