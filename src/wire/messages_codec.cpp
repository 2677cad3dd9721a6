#include "wire/codec.h"
#include "wire/messages.h"

BERTH_WIRE(berth::wire::Hello);
BERTH_WIRE(berth::wire::Welcome);
BERTH_WIRE(berth::wire::InstanceReport);
BERTH_WIRE(berth::wire::Inventory);
BERTH_WIRE(berth::wire::Heartbeat);
BERTH_WIRE(berth::wire::DesiredInstance);
BERTH_WIRE(berth::wire::Desired);
BERTH_WIRE(berth::wire::LogRequest);
BERTH_WIRE(berth::wire::LogChunk);
BERTH_WIRE(berth::wire::OpenData);
BERTH_WIRE(berth::wire::Refused);
