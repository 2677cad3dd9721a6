#include "fleet/decision.h"
#include "fleet/snapshot.h"
#include "wire/codec.h"

BERTH_WIRE(berth::fleet::Plan);
BERTH_WIRE(berth::fleet::Report);
BERTH_WIRE(berth::fleet::Decision);
BERTH_WIRE(berth::fleet::Verification);
BERTH_WIRE(berth::fleet::Fix);
BERTH_WIRE(std::vector<berth::fleet::Fix>);
BERTH_WIRE(berth::fleet::FixBudget);
BERTH_WIRE(berth::fleet::DeviceCapacity);
BERTH_WIRE_ENUM(berth::fleet::Verdict);
BERTH_WIRE_ENUM(berth::fleet::Outcome);

template berth::fleet::Decision berth::wire::printable_copy(berth::fleet::Decision);
template std::vector<berth::fleet::Fix> berth::wire::printable_copy(std::vector<berth::fleet::Fix>);
