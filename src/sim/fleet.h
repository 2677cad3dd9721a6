#pragma once
// What a simulated cluster is made of: machines, models, an engine.

#include <string>

#include "base/rng.h"
#include "engines/catalog.h"
#include "fleet/device.h"
#include "fleet/objects.h"

namespace berth::sim {

/// llama.cpp with a row for the CPU and one for CUDA.
engines::EngineCatalog sim_catalog();
/// 0 to 3 devices of 8 or 24 GiB, 8 to 32 GiB of RAM; one in six only plays a machine.
fleet::Worker sim_worker(Rng& rng, std::size_t number);
/// A GGUF model of 1 to 20 GiB, 1 to 3 replicas; `number` is in its path.
fleet::DeploymentSpec sim_deployment(Rng& rng, std::uint64_t number);

}  // namespace berth::sim
