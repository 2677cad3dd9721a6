#include "fleet/worker_class.h"

#include <algorithm>

namespace berth::fleet {
namespace {

bool same_type(const Device& a, const Device& b) {
  return a.vendor == b.vendor && a.framework == b.framework && a.name == b.name &&
         a.memory_total_bytes == b.memory_total_bytes && a.compute_capability == b.compute_capability &&
         a.runtime_version == b.runtime_version && a.driver_version == b.driver_version &&
         a.unified_memory == b.unified_memory && a.partition == b.partition;
}

void add_told(Hasher& h, const std::optional<std::string>& text) {
  h.add(std::uint64_t(text.has_value()));
  if (text) h.add(*text);
}

Hash kind_of(const Worker& worker, const DeviceType& type) {
  Hasher h;
  h.add(worker.os).add(worker.arch);
  add_told(h, worker.container_runtime);
  h.add(std::uint64_t(worker.simulated)).add(std::uint64_t(worker.engines.has_value()));
  if (worker.engines) {
    h.add(std::uint64_t(worker.engines->size()));
    for (const auto& engine : *worker.engines) h.add(engine.engine).add(engine.version);
  }
  h.add(std::uint64_t(type.cpu));
  if (type.cpu) return h.finish();
  const auto& device = worker.devices[type.any()];
  h.add(std::uint64_t(type.positions.empty())).add(device.vendor).add(device.framework).add(device.name);
  add_told(h, device.runtime_version);
  add_told(h, device.driver_version);
  add_told(h, device.compute_capability);
  add_told(h, device.partition);
  return h.finish();
}

}  // namespace

std::vector<DeviceType> device_types(const Worker& worker) {
  std::vector<DeviceType> types;
  for (std::size_t i = 0; i < worker.devices.size(); ++i) {
    const auto& device = worker.devices[i];
    auto at = std::find_if(
        types.begin(), types.end(), [&](const DeviceType& t) { return same_type(worker.devices[t.any()], device); });
    if (at == types.end()) {
      DeviceType type;
      type.traits = {.framework = device.framework, .unified_memory = device.unified_memory};
      type.vendor = device.vendor;
      type.title = device.name;
      type.total = device.memory_total_bytes;
      types.push_back(std::move(type));
      at = types.end() - 1;
    }
    auto& list = device.health == Health::kUnhealthy ? at->unhealthy : at->positions;
    list.push_back(static_cast<std::uint16_t>(i));
  }
  DeviceType cpu;
  cpu.cpu = true;
  cpu.vendor = "cpu";
  cpu.title = "CPU";
  cpu.traits = {.framework = "cpu", .unified_memory = false};
  types.push_back(std::move(cpu));
  for (auto& type : types) type.kind = kind_of(worker, type);
  return types;
}

}  // namespace berth::fleet
