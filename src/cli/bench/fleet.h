#pragma once
// The fleet and the requests that `berth bench decide` measures on: the same for the same seed.

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"

namespace berth::cli::bench {

/// As a worker reports it, with who is on it.
struct Machine {
  fleet::Worker worker;
  std::vector<fleet::Occupant> occupants;
};

enum class Load {
  kIdle,      // nothing of ours anywhere; strangers hold up to an eighth of a device
  kOccupied,  // on average an eighth of a device's bytes is free; 7 of 8 workers have no idle device
};

constexpr std::uint32_t kDevicesPerWorker = 8;
constexpr std::uint32_t kDeviceTypes = 12;
constexpr std::uint32_t kClasses = 300;  // of type, driver, engines and RAM

/// gpus / 8 workers, 12 device types, 300 classes, random free bytes on every device, unique names and labels, one
/// worker in 32 starved of RAM.
std::vector<Machine> make_machines(std::uint64_t seed, std::uint32_t gpus, Load load);
fleet::FleetSnapshot make_snapshot(std::vector<Machine> machines);

/// Requests of one kind, a new one from each call.
fleet::Request one_worker(Rng& rng);  // GGUF or safetensors, one device or a few of one worker
fleet::Request nowhere(Rng& rng);     // more than any worker has
fleet::Request devices_32(Rng& rng);  // 4 workers × 8 ranks, with consent
/// `count` deployments of as many shapes, each small enough that one device holds a replica.
std::vector<fleet::Request> shapes(Rng& rng, std::uint32_t count, std::uint32_t replicas);

}  // namespace berth::cli::bench
