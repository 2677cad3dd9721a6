#pragma once
// The commands that hold a server or a worker in this process.

#include "cli/commands.h"

namespace berth::app {

/// up, server, worker (without a further word: run one).
void register_commands(cli::CommandTable& table);

}  // namespace berth::app
