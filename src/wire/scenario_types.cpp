#include "wire/codec.h"
#include "wire/files.h"

BERTH_WIRE_YAML(berth::wire::ScenarioFile);
