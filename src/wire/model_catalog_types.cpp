#include "wire/codec.h"
#include "wire/model_catalog.h"

BERTH_WIRE_YAML(berth::wire::ModelCatalogFile);
BERTH_WIRE(berth::fleet::CatalogModel);
