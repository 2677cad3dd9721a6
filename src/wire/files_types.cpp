#include "wire/codec.h"
#include "wire/files.h"

BERTH_WIRE_YAML(berth::wire::FleetFile);
BERTH_WIRE_YAML(berth::wire::DeploymentFile);
BERTH_WIRE_YAML(berth::fleet::Worker);
