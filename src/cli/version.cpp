#include "cli/commands.h"
#include "cli/exit_codes.h"

namespace berth::cli {

int version_command(Context& context, const std::vector<std::string>& args) {
  if (!args.empty()) return context.misused(invalid("version takes no arguments"));
  context.out("berth " BERTH_VERSION "\n");
  return kExitOk;
}

}  // namespace berth::cli
