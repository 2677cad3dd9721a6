#include "fleet/decision.h"
#include "wire/codec.h"

BERTH_WIRE(berth::fleet::Device);
BERTH_WIRE(berth::fleet::DeviceClaim);
BERTH_WIRE(berth::fleet::Claim);
BERTH_WIRE(berth::fleet::Occupant);
BERTH_WIRE(berth::fleet::EngineInstall);
BERTH_WIRE(berth::fleet::ModelFacts);
BERTH_WIRE(berth::fleet::ModelSource);
BERTH_WIRE(berth::fleet::Variant);
BERTH_WIRE(berth::fleet::Settings);
BERTH_WIRE(berth::fleet::Restriction);
BERTH_WIRE_YAML(berth::fleet::Request);
BERTH_WIRE_YAML(berth::fleet::Policy);
BERTH_WIRE_ENUM(berth::fleet::WorkerState);
BERTH_WIRE_ENUM(berth::fleet::Health);
BERTH_WIRE_ENUM(berth::fleet::OccupantKind);
BERTH_WIRE_ENUM(berth::fleet::DeviceUse);
BERTH_WIRE_ENUM(berth::fleet::Strategy);
