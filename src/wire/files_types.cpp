#include "wire/codec.h"
#include "wire/files.h"

BERTH_WIRE_YAML(berth::wire::FleetFile);
BERTH_WIRE_YAML(berth::wire::DeploymentFile);
BERTH_WIRE_YAML(berth::fleet::Worker);

template berth::Result<void> berth::wire::check_printable(const berth::wire::FleetFile&);
template berth::Result<void> berth::wire::check_printable(const berth::wire::DeploymentFile&);
template berth::Result<void> berth::wire::check_printable(const berth::fleet::Worker&);
