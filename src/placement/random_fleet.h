#pragma once
// Random small fleets and requests for the property tests: everything is drawn from one Rng, so a seed is the test.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/rng.h"
#include "fleet/detail/hash_fields.h"
#include "fleet/hashes.h"
#include "placement/decide.h"
#include "placement/testing.h"

namespace berth::placement::testing {

struct Machine {
  fleet::Worker worker;
  std::vector<fleet::Occupant> occupants;
};
using Machines = std::vector<Machine>;

struct FleetLimits {
  std::uint64_t workers_max = 4;
  std::uint64_t devices_max = 4;
  bool all_open = false;  // every worker ready and not cordoned
};

inline std::uint64_t between(Rng& rng, std::uint64_t low, std::uint64_t high) {
  return low + rng.below(high - low + 1);
}

inline fleet::FleetSnapshot::Entry entry_of(const Machine& m) {
  auto entry = fleet::make_entry(m.worker, m.occupants);
  ASSERT(entry.has_value());
  return std::move(*entry);
}

inline fleet::FleetSnapshot snapshot_of(const Machines& machines) {
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (const auto& m : machines) entries.push_back(entry_of(m));
  auto snapshot = fleet::FleetSnapshot::build(std::move(entries));
  ASSERT(snapshot.has_value());
  return std::move(*snapshot);
}

constexpr std::uint64_t kDeviceKinds = 3;

inline fleet::Device random_device(Rng& rng, const std::string& id, std::uint64_t kind) {
  fleet::Device d = kind == 0   ? cuda_device(id, Bytes(8 * kGiB))
                    : kind == 1 ? cuda_device(id, Bytes(16 * kGiB))
                                : rocm_device(id, Bytes(16 * kGiB));
  if (rng.chance(1, 12)) d.health = fleet::Health::kUnhealthy;
  if (rng.chance(1, 3)) d.memory_used_bytes = Bytes(rng.below(d.memory_total_bytes.value));
  return d;
}

/// An instance of ours with claims on some devices; it runs with what it claims, or does not run yet.
inline fleet::Occupant random_occupant(Rng& rng, fleet::Worker& worker, const std::string& id) {
  fleet::Occupant o;
  o.id = id;
  o.deployment = "other-" + std::to_string(rng.below(3));
  o.priority = static_cast<int>(rng.below(3));
  o.running = rng.chance(2, 3);
  o.stopping = rng.chance(1, 5);
  o.claim.worker = worker.id;
  o.claim.memory_bytes = Bytes(rng.below(worker.memory_total_bytes.value / 4));
  if (o.running) worker.memory_used_bytes += o.claim.memory_bytes;
  for (auto& d : worker.devices) {
    if (!rng.chance(1, 2)) continue;
    const Bytes claim(rng.below(d.memory_total_bytes.value / 2));
    o.claim.devices.push_back({d.id, claim});
    if (o.running) d.memory_used_bytes = std::min(d.memory_total_bytes, d.memory_used_bytes + claim);
  }
  std::sort(
      o.claim.devices.begin(), o.claim.devices.end(), [](const auto& a, const auto& b) { return a.device < b.device; });
  return o;
}

inline Machine random_machine(Rng& rng, const std::string& name, const FleetLimits& limits) {
  Machine m;
  m.worker = linux_worker(name, Bytes(between(rng, 2, rng.chance(1, 2) ? 8 : 48) * kGiB));
  m.worker.labels["zone"] = rng.chance(1, 2) ? "a" : "b";
  m.worker.reserved_memory_bytes = Bytes(rng.below(2) * kGiB);
  m.worker.reserved_device_memory_bytes = Bytes(rng.below(2) * 512 * kMiB);
  m.worker.memory_used_bytes = Bytes(rng.below(m.worker.memory_total_bytes.value / 2));
  if (!limits.all_open) {
    if (rng.chance(1, 6)) m.worker.state = fleet::WorkerState::kNotReady;
    m.worker.cordoned = rng.chance(1, 8);
  }
  const std::uint64_t devices = rng.below(limits.devices_max + 1);
  const bool alike = rng.chance(1, 2);
  const std::uint64_t kind = rng.below(kDeviceKinds);
  for (std::uint64_t i = 0; i < devices; ++i)
    m.worker.devices.push_back(random_device(
        rng, "d" + std::to_string(rng.below(10)) + std::to_string(i), alike ? kind : rng.below(kDeviceKinds)));
  const std::uint64_t occupants = rng.below(3);
  for (std::uint64_t i = 0; i < occupants; ++i)
    m.occupants.push_back(random_occupant(rng, m.worker, name + "-o" + std::to_string(i)));
  return m;
}

inline Machines random_machines(Rng& rng, const FleetLimits& limits = {}) {
  Machines out;
  const std::uint64_t count = between(rng, 1, limits.workers_max);
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(random_machine(rng, "w" + std::to_string(i), limits));
  return out;
}

inline std::vector<std::string> device_names(const Machines& machines) {
  std::vector<std::string> out;
  for (const auto& m : machines)
    for (const auto& d : m.worker.devices) out.push_back(m.worker.name + "/" + d.id);
  return out;
}

/// Some of `from`, at least one when there is any.
inline std::vector<std::string> some_of(Rng& rng, const std::vector<std::string>& from) {
  std::vector<std::string> out;
  for (const auto& item : from)
    if (rng.chance(1, 2)) out.push_back(item);
  if (out.empty() && !from.empty()) out.push_back(from[rng.below(from.size())]);
  return out;
}

/// Facts and settings only; every setting that changes memory is given.
inline fleet::Request plain_request(Rng& rng) {
  const bool gguf = rng.chance(2, 3);
  auto facts = gguf ? llama_facts({.layers = static_cast<std::uint32_t>(between(rng, 3, 7)),
                                   .layer_bytes = between(rng, 1, 60) * 64 * kMiB})
                    : vllm_facts(between(rng, 1, 40) * 512 * kMiB);
  auto r = request_for(std::move(facts));
  r.settings.sequences = 4;
  r.settings.kv_type = "f16";
  r.settings.flash_attention = true;
  r.settings.ubatch = 512;
  r.settings.cpu_offload = !rng.chance(1, 4);
  if (rng.chance(1, 4)) r.restriction.devices_per_replica = static_cast<std::uint32_t>(between(rng, 1, 3));
  if (!gguf && rng.chance(1, 3)) r.restriction.across_workers = true;
  if (!gguf && rng.chance(1, 6)) r.restriction.tensor_parallel = static_cast<std::uint32_t>(between(rng, 1, 2));
  if (!gguf && rng.chance(1, 8)) r.restriction.data_parallel = static_cast<std::uint32_t>(between(rng, 1, 2));
  if (!gguf && rng.chance(1, 6)) r.restriction.pipeline_parallel = static_cast<std::uint32_t>(between(rng, 1, 3));
  return r;
}

inline fleet::Request random_request(Rng& rng, const Machines& machines) {
  auto r = plain_request(rng);
  r.replicas = static_cast<std::uint32_t>(between(rng, 1, 4));
  r.strategy = rng.chance(1, 2) ? fleet::Strategy::kSpread : fleet::Strategy::kBinpack;
  if (rng.chance(1, 6)) r.restriction.labels["zone"] = rng.chance(1, 2) ? "a" : "b";
  if (rng.chance(1, 6)) r.restriction.workers = {machines[rng.below(machines.size())].worker.name};
  if (rng.chance(1, 6)) r.restriction.devices = some_of(rng, device_names(machines));
  if (rng.chance(1, 8)) r.accept = {"memory_uncertain"};
  return r;
}

/// Everything a decision says, but the revision of the snapshot, which is a counter and no content.
inline std::string digest(fleet::Decision decision) {
  decision.inputs.snapshot_revision = 0;
  Hasher h;
  fleet::detail::hash_value(h, decision);
  return h.finish().text();
}

/// What the plans do, without the ids that hash the request.
inline std::vector<std::string> plan_digests(const fleet::Decision& decision) {
  std::vector<std::string> out;
  for (const auto& plan : decision.plans) out.push_back(fleet::hash_of(plan).text());
  return out;
}

/// A plan becomes an occupant that does not run yet.
inline void occupy(Machines& machines, const fleet::Plan& plan, const std::string& id) {
  for (const auto& part : plan.workers)
    for (auto& m : machines) {
      if (m.worker.id != part.worker) continue;
      fleet::Occupant o;
      o.id = id;
      o.deployment = id;
      o.claim = part.claim;
      m.occupants.push_back(std::move(o));
    }
}

template <class T>
void shuffle(Rng& rng, std::vector<T>& items) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.below(i)]);
}

}  // namespace berth::placement::testing
