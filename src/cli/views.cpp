#include "cli/views.h"

#include "wire/codec.h"

BERTH_WIRE(berth::cli::Items<berth::cli::WorkerView>);
BERTH_WIRE(berth::cli::Items<berth::cli::DeploymentView>);
BERTH_WIRE(berth::cli::Items<berth::cli::InstanceView>);
BERTH_WIRE(berth::cli::Items<berth::cli::DeviceView>);
BERTH_WIRE(berth::cli::Items<berth::cli::KeyView>);
BERTH_WIRE(berth::cli::Items<berth::cli::UsageView>);
BERTH_WIRE(berth::cli::Items<berth::cli::EventView>);
BERTH_WIRE(berth::cli::WorkerView);
BERTH_WIRE(berth::cli::DeploymentView);
BERTH_WIRE(berth::cli::InstanceView);
