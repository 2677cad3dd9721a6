#include "app/commands.h"
#include "cli/commands.h"

int main(int argc, char** argv) {
  auto environment = berth::cli::system_environment();
  auto table = berth::cli::standard_commands();
  berth::app::register_commands(table);
  return berth::cli::run(argc, argv, environment, table);
}
