#include "api/documents.h"

#include "wire/codec.h"

namespace berth::api {

WorkerDoc to_doc(const reconcile::WorkerObject& o, const fleet::FleetSnapshot& snapshot) {
  WorkerDoc doc{.id = o.meta.id,
                .name = o.meta.name,
                .revision = o.meta.revision,
                .generation = o.meta.generation,
                .created_at = o.meta.created_at,
                .deleting = o.meta.deleting,
                .spec = {.labels = o.spec.labels, .cordoned = o.spec.cordoned},
                .status = {.worker = o.worker,
                           .capacity = {},
                           .connected = o.connected,
                           .version = o.version,
                           .reason = o.state_reason}};
  if (const auto* entry = snapshot.find(o.meta.id)) {
    doc.status.capacity.memory = entry->memory;
    doc.status.capacity.lost = entry->lost;
    for (std::size_t i = 0; i < entry->worker.devices.size(); ++i)
      doc.status.capacity.devices.emplace(entry->worker.devices[i].id, entry->capacity[i]);
  }
  return doc;
}

DeploymentDoc to_doc(const reconcile::DeploymentObject& o) {
  return {
      o.meta.id, o.meta.name, o.meta.revision, o.meta.generation, o.meta.created_at, o.meta.deleting, o.spec, o.status};
}

InstanceDoc to_doc(const reconcile::InstanceObject& o) {
  return {
      o.meta.id, o.meta.name, o.meta.revision, o.meta.generation, o.meta.created_at, o.meta.deleting, o.spec, o.status};
}

}  // namespace berth::api

BERTH_WIRE(berth::api::WorkerDoc);
BERTH_WIRE(berth::api::DeploymentDoc);
BERTH_WIRE(berth::api::InstanceDoc);
BERTH_WIRE(berth::api::List<berth::api::WorkerDoc>);
BERTH_WIRE(berth::api::List<berth::api::DeploymentDoc>);
BERTH_WIRE(berth::api::List<berth::api::InstanceDoc>);
BERTH_WIRE(berth::api::List<berth::api::DeviceDoc>);
BERTH_WIRE(berth::api::List<berth::api::KeyLine>);
BERTH_WIRE(berth::api::List<berth::api::UsageDoc>);
BERTH_WIRE(berth::api::List<berth::api::EventDoc>);
BERTH_WIRE(berth::api::NewDeployment);
BERTH_WIRE(berth::api::EditDeployment);
BERTH_WIRE(berth::api::DecisionAnswer);
BERTH_WIRE(berth::api::NewKeyRequest);
BERTH_WIRE(berth::api::NewKeyAnswer);
BERTH_WIRE(berth::api::LoginRequest);
BERTH_WIRE(berth::api::HealthDoc);
