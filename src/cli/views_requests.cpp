#include "cli/server.h"
#include "cli/views.h"
#include "wire/codec.h"

BERTH_WIRE(berth::cli::DecisionAnswer);
BERTH_WIRE(berth::cli::DecisionView);
BERTH_WIRE(berth::cli::NewDeployment);
BERTH_WIRE(berth::cli::EditDeployment);
BERTH_WIRE(berth::cli::NewKey);
BERTH_WIRE(berth::cli::NewKeyAnswer);
BERTH_WIRE(berth::cli::Problem);
BERTH_WIRE(berth::cli::ChatRequest);
BERTH_WIRE(berth::cli::ChatChunk);
BERTH_WIRE(berth::cli::ClientFile);
