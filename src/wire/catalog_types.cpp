#include "engines/catalog.h"
#include "wire/codec.h"

BERTH_WIRE_YAML(berth::engines::Engine);
