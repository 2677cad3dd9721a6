// The fleet of a case.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/conformance/convert.h"
#include "cli/conformance/names.h"
#include "placement/order.h"

namespace berth::cli::conformance {
namespace {

constexpr std::array kStates = {
    Named<fleet::WorkerState>{"ready", fleet::WorkerState::kReady},
    Named<fleet::WorkerState>{"running", fleet::WorkerState::kReady},  // the word of old recordings
    Named<fleet::WorkerState>{"not_ready", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"unreachable", fleet::WorkerState::kUnreachable},
    Named<fleet::WorkerState>{"pending", fleet::WorkerState::kPending},
    // On the way up, and nothing is placed before it is ready.
    Named<fleet::WorkerState>{"provisioning", fleet::WorkerState::kPending},
    Named<fleet::WorkerState>{"initializing", fleet::WorkerState::kPending},
    // On the way down or out of order.
    Named<fleet::WorkerState>{"maintenance", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"deleting", fleet::WorkerState::kNotReady},
    Named<fleet::WorkerState>{"error", fleet::WorkerState::kNotReady},
};
constexpr std::array kInstanceStates = {
    Named<fleet::InstanceState>{"running", fleet::InstanceState::kReady},
    // Holds its claim, not yet its memory.
    Named<fleet::InstanceState>{"pending", fleet::InstanceState::kScheduled},
    Named<fleet::InstanceState>{"analyzing", fleet::InstanceState::kScheduled},
    Named<fleet::InstanceState>{"scheduled", fleet::InstanceState::kScheduled},
    Named<fleet::InstanceState>{"initializing", fleet::InstanceState::kPreparing},
    Named<fleet::InstanceState>{"downloading", fleet::InstanceState::kPreparing},
    Named<fleet::InstanceState>{"starting", fleet::InstanceState::kStarting},
    // Not known to run, but the claim counts until the instance is gone.
    Named<fleet::InstanceState>{"error", fleet::InstanceState::kFailed},
    Named<fleet::InstanceState>{"unreachable", fleet::InstanceState::kUnknown},
};

Result<fleet::Worker> to_worker(const CaseWorker& w) {
  if (w.name.empty()) return invalid("a worker has no name");
  if (w.memory.total_bytes.value == 0) return invalid(fmt::format("worker {}: memory.total_bytes is absent", w.name));
  fleet::Worker out;
  out.id = worker_id(w.id);
  out.name = w.name;
  out.cluster = w.cluster_id ? std::to_string(*w.cluster_id) : "default";
  out.os = w.os.value_or("");
  out.arch = w.arch.value_or("");
  TRY(out.state, worker_state(w.state));
  out.labels = w.labels;
  out.memory_total_bytes = w.memory.total_bytes;
  out.reserved_memory_bytes = w.reserved.ram_bytes;
  out.reserved_device_memory_bytes = w.reserved.vram_bytes;
  for (const auto& gpu : w.gpus) {
    TRY(const auto runtime, runtime_row(gpu.runtime));
    if (gpu.memory.total_bytes.value == 0)
      return invalid(fmt::format("worker {}: gpu {} has no memory.total_bytes", w.name, gpu.index));
    fleet::Device device;
    device.id = device_id(gpu.runtime, gpu.index);
    device.index = gpu.index;
    device.name = gpu.name;
    device.vendor = gpu.vendor;
    device.framework = runtime.framework;
    device.runtime_version = gpu.runtime_version;
    device.driver_version = gpu.driver_version;
    device.compute_capability = gpu.compute_capability;
    device.memory_total_bytes = gpu.memory.total_bytes;  // used_bytes is telemetry, and no part of the answer there
    device.unified_memory = gpu.memory.unified;
    out.devices.push_back(std::move(device));
  }
  return out;
}

/// A device that the worker does not have holds nothing of what it has; an instance whose claim is not told is there,
/// on the devices that it names.
fleet::Claim to_claim(const std::optional<CaseClaim>& claim,
                      const std::vector<int>& indexes,
                      const CaseWorker& worker) {
  fleet::Claim out;
  out.worker = worker_id(worker.id);
  if (claim) out.memory_bytes = claim->ram_bytes;
  for (const auto& gpu : worker.gpus) {
    if (!claim) {
      const bool named = std::find(indexes.begin(), indexes.end(), gpu.index) != indexes.end();
      if (named) out.devices.push_back({device_id(gpu.runtime, gpu.index), Bytes()});
      continue;
    }
    const auto at = claim->vram_bytes_by_gpu.find(std::to_string(gpu.index));
    if (at != claim->vram_bytes_by_gpu.end()) out.devices.push_back({device_id(gpu.runtime, gpu.index), at->second});
  }
  return out;
}

using Occupants = std::map<std::int64_t, std::vector<fleet::Occupant>>;

/// On a worker that is not in this fleet it holds nothing here.
Result<void> add_occupant(Occupants& by_worker, const CaseInstance& instance, std::int64_t worker, fleet::Claim claim) {
  fleet::Occupant o;
  o.id = fmt::format("{}", instance.id);
  o.deployment = deployment_id(instance.model_id);
  TRY(const auto state, instance_state(instance.state));
  o.running = state == fleet::InstanceState::kReady;
  o.claim = std::move(claim);
  by_worker[worker].push_back(std::move(o));
  return {};
}

Result<Occupants> to_occupants(const Case& c) {
  Occupants out;
  for (const auto& w : c.fleet.workers)
    for (const auto& instance : c.instances) {
      if (instance.worker_id == w.id)
        TRY_VOID(add_occupant(out, instance, w.id, to_claim(instance.claim, instance.gpu_indexes, w)));
      for (const auto& sub : instance.subordinates)
        if (sub.worker_id == w.id && sub.claim) TRY_VOID(add_occupant(out, instance, w.id, to_claim(sub.claim, {}, w)));
    }
  return out;
}

// What a case does not tell of a worker is not carried, whatever it tells of another.
std::set<std::string> not_carried(const Case& c) {
  std::set<std::string> inputs = {"engines",
                                  "disk",
                                  "health",
                                  "interconnect",
                                  "os",
                                  "arch",
                                  "runtime_version",
                                  "driver_version",
                                  "compute_capability"};
  if (!c.worker_files_ready) inputs.emplace("files");
  if (!c.model_facts || !c.model_facts->architectures) inputs.emplace("architecture");
  return inputs;
}

/// Host memory that the one replica's KV takes besides, wherever it goes: kept free on every worker.
Bytes host_cache(const Case& c) {
  if (!c.model || !c.model->extended_kv_cache || !c.model->extended_kv_cache->enabled) return {};
  constexpr double kGibMax = 1 << 20;
  const double gib = std::clamp(c.model->extended_kv_cache->ram_size_gib.value_or(0), 0.0, kGibMax);
  return Bytes(static_cast<std::uint64_t>(gib * static_cast<double>(kGiB)));
}

Result<void> put_files(const Case& c, const fleet::Request& request, std::int64_t id, fleet::Worker& worker) {
  if (!c.worker_files_ready) return {};
  for (const auto& files : *c.worker_files_ready) {
    const bool draft = files.which == "draft" && request.draft;
    if (files.which != "main" && !draft) return not_understood("worker_files_ready[].which", files.which);
    if (std::find(files.worker_ids.begin(), files.worker_ids.end(), id) != files.worker_ids.end())
      worker.model_files.push_back(placement::model_file_of(draft ? *request.draft : request.source));
  }
  return {};
}

}  // namespace

std::string worker_id(std::int64_t id) { return fmt::format("worker-{:06}", id); }

std::string deployment_id(std::int64_t model) { return fmt::format("model-{}", model); }

Result<fleet::FleetSnapshot> to_snapshot(const Case& c, const fleet::Request& request, const fleet::Policy& policy) {
  TRY(auto occupants, to_occupants(c));
  std::vector<fleet::FleetSnapshot::Entry> entries;
  for (const auto& w : c.fleet.workers) {
    TRY(auto worker, to_worker(w));
    if (policy.estimates == "parts") worker.reserved_memory_bytes += host_cache(c);  // else it is part of the need
    TRY_VOID(put_files(c, request, w.id, worker));
    TRY(auto entry, fleet::make_entry(std::move(worker), std::move(occupants[w.id])));
    entries.push_back(std::move(entry));
  }
  return fleet::FleetSnapshot::build(std::move(entries), not_carried(c));
}

std::string device_id(std::string_view runtime, int index) { return fmt::format("{}:{}", runtime, index); }

Result<fleet::InstanceState> instance_state(std::string_view state) {
  return look_up(kInstanceStates, to_lower(state), "instances[].state");
}

Result<fleet::WorkerState> worker_state(std::string_view state) {
  auto known = look_up(kStates, to_lower(state), "fleet.workers[].state");
  if (!known) return not_understood("fleet.workers[].state", state);
  return known;
}

}  // namespace berth::cli::conformance
