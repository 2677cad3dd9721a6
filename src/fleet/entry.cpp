#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "fleet/detail/hash_fields.h"
#include "fleet/snapshot.h"

namespace berth::fleet {
namespace {

Bytes find_bytes(const std::vector<DeviceClaim>& list, std::string_view device) {
  Bytes sum;
  for (const auto& item : list)
    if (item.device == device) sum += item.bytes;
  return sum;
}

struct Use {
  Bytes claimed;    // Σ max(claim, observed)
  Bytes observed;   // Σ observed
  Bytes assumed;    // Σ claim of running instances whose use cannot be attributed
  Bytes strangers;  // Σ of foreign occupants listed by name
};

void add_use(Use& use, const Occupant& occupant, Bytes claim, std::optional<Bytes> observed) {
  if (occupant.kind == OccupantKind::kForeign) {
    use.strangers += std::max(claim, observed.value_or(Bytes()));
    return;
  }
  use.claimed += std::max(claim, observed.value_or(Bytes()));
  if (observed)
    use.observed += *observed;
  else if (occupant.running)
    use.assumed += claim;
}

DeviceCapacity capacity_of(Bytes total, Bytes reserved, Bytes used, const Use& use) {
  DeviceCapacity c;
  c.total = total;
  c.reserved = reserved;
  c.claimed = use.claimed;
  const Bytes unexplained = used.minus_or_zero(use.observed + use.assumed);
  c.foreign = round_up(std::max(unexplained, use.strangers).value, kForeignStepBytes);
  c.allocatable = allocatable(c);
  c.overcommitted = reserved + c.claimed + c.foreign > total;
  return c;
}

Result<void> check(const Worker& worker) {
  if (worker.id.empty()) return invalid("worker id is empty");
  if (worker.devices.size() > kDevicesMax)
    return invalid(fmt::format("worker {}: {} devices, at most {}", worker.name, worker.devices.size(), kDevicesMax));
  for (std::size_t i = 0; i < worker.devices.size(); ++i) {
    const auto& device = worker.devices[i];
    if (device.id.empty()) return invalid(fmt::format("worker {}: devices[{}].id is empty", worker.name, i));
    if (i > 0 && device.id == worker.devices[i - 1].id)
      return invalid(fmt::format("worker {}: two devices have the id \"{}\"", worker.name, device.id));
  }
  return {};
}

void drop_lost(WorkerEntry& e) {
  const auto keep_known = [&](const std::string& occupant, std::vector<DeviceClaim>& list) {
    for (const auto& claim : list) {
      if (device_position(e, claim.device) != std::string::npos) continue;
      const bool told = std::any_of(e.lost.begin(), e.lost.end(), [&](const LostClaim& l) {
        return l.occupant == occupant && l.device == claim.device;
      });
      if (!told) e.lost.push_back({occupant, claim.device, claim.bytes});
    }
    std::erase_if(list, [&](const DeviceClaim& c) { return device_position(e, c.device) == std::string::npos; });
    std::sort(list.begin(), list.end(), [](const auto& x, const auto& y) { return x.device < y.device; });
  };
  for (auto& o : e.occupants) {
    keep_known(o.id, o.claim.devices);
    keep_known(o.id, o.observed);
  }
}

void derive_capacity(WorkerEntry& e) {
  Use host;
  e.instances.resize(e.worker.devices.size());
  for (const auto& o : e.occupants)
    for (const auto& claim : o.claim.devices) {
      const auto at = device_position(e, claim.device);
      if (at != std::string::npos && o.kind != OccupantKind::kForeign) ++e.instances[at];
    }
  e.capacity.reserve(e.worker.devices.size());
  for (const auto& o : e.occupants) add_use(host, o, o.claim.memory_bytes, o.observed_memory_bytes);
  Bytes reserved = e.worker.reserved_memory_bytes;
  for (std::uint32_t at = 0; at < e.worker.devices.size(); ++at) {
    const auto& device = e.worker.devices[at];
    Use use;
    for (std::uint32_t n = 0; n < e.occupants.size(); ++n) {
      const auto& o = e.occupants[n];
      const bool seen = std::any_of(
          o.observed.begin(), o.observed.end(), [&](const DeviceClaim& d) { return d.device == device.id; });
      const std::optional<Bytes> observed = seen ? std::optional(find_bytes(o.observed, device.id)) : std::nullopt;
      const Bytes claim = find_bytes(o.claim.devices, device.id);
      if (claim.value == 0 && !observed) continue;
      if (o.kind != OccupantKind::kForeign) e.held.push_back({n, at, std::max(claim, observed.value_or(Bytes()))});
      add_use(use, o, claim, observed);
      if (device.unified_memory) add_use(host, o, claim, observed);
    }
    e.capacity.push_back(
        capacity_of(device.memory_total_bytes, e.worker.reserved_device_memory_bytes, device.memory_used_bytes, use));
    if (!device.unified_memory) continue;
    e.unified = true;
    reserved += e.worker.reserved_device_memory_bytes;
  }
  std::sort(e.held.begin(), e.held.end(), [](const Holding& a, const Holding& b) {
    return std::tie(a.occupant, a.device) < std::tie(b.occupant, b.device);
  });
  e.memory = capacity_of(e.worker.memory_total_bytes, reserved, e.worker.memory_used_bytes, host);
}

// Use in bytes enters through the derived sums only, so that drift inside a step changes no hash.
void derive_hashes(WorkerEntry& e) {
  Worker facts = e.worker;
  facts.memory_used_bytes = 0;
  for (auto& device : facts.devices) device.memory_used_bytes = 0;
  Hasher all;
  detail::hash_value(all, facts);
  for (const auto& o : e.occupants) {
    Occupant quiet = o;
    quiet.observed.clear();
    quiet.observed_memory_bytes.reset();
    detail::hash_value(all, quiet);
  }
  detail::hash_value(all, e.capacity);
  detail::hash_value(all, e.memory);
  e.hash = all.finish();

  facts.id.clear();
  facts.name.clear();
  facts.cluster.clear();
  facts.labels.clear();
  facts.model_files.clear();
  facts.state = WorkerState::kReady;
  facts.state_reason.reset();
  facts.last_report_at.reset();
  facts.cordoned = false;
  facts.disk_free_bytes.reset();
  for (std::size_t i = 0; i < facts.devices.size(); ++i) {
    facts.devices[i].id = std::to_string(i);
    facts.devices[i].index = 0;
    facts.devices[i].island.reset();
    facts.devices[i].numa_node.reset();
  }
  facts.memory_total_bytes = 0;
  facts.reserved_memory_bytes = 0;
  facts.reserved_device_memory_bytes = 0;
  Hasher types;
  detail::hash_value(types, facts);
  e.types_key = types.finish();
  const auto& w = e.worker;
  e.class_key = Hasher()
                    .add(e.types_key.hi)
                    .add(e.types_key.lo)
                    .add(w.memory_total_bytes.value)
                    .add(w.reserved_memory_bytes.value)
                    .add(w.reserved_device_memory_bytes.value)
                    .finish();
}

}  // namespace

Result<std::shared_ptr<const WorkerEntry>> make_entry(Worker worker, std::vector<Occupant> occupants) {
  std::sort(worker.devices.begin(), worker.devices.end(), [](const Device& a, const Device& b) { return a.id < b.id; });
  std::sort(occupants.begin(), occupants.end(), [](const Occupant& a, const Occupant& b) { return a.id < b.id; });
  std::sort(worker.model_files.begin(), worker.model_files.end());
  if (worker.engines)
    std::sort(worker.engines->begin(), worker.engines->end(), [](const EngineInstall& a, const EngineInstall& b) {
      return std::tie(a.engine, a.version) < std::tie(b.engine, b.version);
    });
  TRY_VOID(check(worker));
  // The time of a ready worker's last report moves with every heartbeat and is no input of a decision.
  if (worker.state == WorkerState::kReady) worker.last_report_at.reset();
  auto entry = std::make_shared<WorkerEntry>();
  entry->worker = std::move(worker);
  entry->occupants = std::move(occupants);
  drop_lost(*entry);
  derive_capacity(*entry);
  derive_hashes(*entry);
  return std::shared_ptr<const WorkerEntry>(std::move(entry));
}

Result<std::shared_ptr<const WorkerEntry>> with_occupants(const WorkerEntry& entry, std::vector<Occupant> occupants) {
  return make_entry(entry.worker, std::move(occupants));
}

std::size_t device_position(const WorkerEntry& entry, std::string_view device_id) {
  const auto& devices = entry.worker.devices;
  const auto at = std::lower_bound(
      devices.begin(), devices.end(), device_id, [](const Device& d, std::string_view id) { return d.id < id; });
  if (at == devices.end() || at->id != device_id) return std::string::npos;
  return static_cast<std::size_t>(at - devices.begin());
}

}  // namespace berth::fleet
