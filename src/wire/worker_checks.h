#pragma once
// What a fleet file may say of devices and occupants, beyond what the decoder sees.

#include <vector>

#include "base/result.h"
#include "fleet/device.h"

namespace berth::wire {

/// Runtime and driver versions begin with a number, NVIDIA's have digits and dots only; a capability is a version or
/// the name of a chip. Errors: kInvalid beginning with the field, with value and what is allowed.
Result<void> check_versions(const fleet::Device& device);

/// Occupants sit on the worker and on devices that it has, and each has an id of its own there: what a claim on another
/// device takes would be lost. Errors: kInvalid naming the worker and the occupant.
Result<void> check_occupants(const fleet::Worker& worker, const std::vector<fleet::Occupant>& occupants);

}  // namespace berth::wire
