#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace berth::cli {

int version_command(Context& context, const std::vector<std::string>& args) {
  Arguments a("version", "Show the version.", {"berth version"});
  const auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) {
    context.out(*page);
    return kExitOk;
  }
  context.out("berth " BERTH_VERSION "\n");
  return kExitOk;
}

}  // namespace berth::cli
