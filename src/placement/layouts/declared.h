#pragma once
// Layouts of engines whose memory nobody can compute: the deployment declares it (settings.needs).
//
// declared  on devices: as many as declared, else as the restriction says, else one. Each takes what is declared; where
//           nothing is, the whole device, which nobody else may then hold anything of. On the host alone, where no
//           device is asked for or the engine has a build for the CPU: what is declared, else the model's weights with
//           room to work in.

#include "placement/layouts/layout.h"

namespace berth::placement {

void layout_declared(const LayoutInput& input, LayoutAnswer& answer);
void layout_declared_on_host(const LayoutInput& input, LayoutAnswer& answer);
/// The claims in words; they add up to them.
std::vector<fleet::MemoryPart> declared_memory(const Candidate& candidate);

}  // namespace berth::placement
