#include "fleet/objects.h"
#include "wire/codec.h"

BERTH_WIRE(berth::fleet::DeploymentSpec);
BERTH_WIRE(berth::fleet::DeploymentStatus);
BERTH_WIRE(berth::fleet::InstanceSpec);
BERTH_WIRE(berth::fleet::InstanceStatus);
BERTH_WIRE(berth::fleet::WorkerSpec);
BERTH_WIRE(berth::fleet::WorkerStatus);
BERTH_WIRE(berth::fleet::ApiKeySpec);
BERTH_WIRE_ENUM(berth::fleet::InstanceState);
