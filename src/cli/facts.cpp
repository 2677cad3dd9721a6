// Where a deployment or scenario file says that its model's facts come from.
#include <filesystem>

#include "cli/inputs.h"
#include "hub/local.h"

namespace berth::cli {
namespace {

std::string below(const std::string& base, const std::string& path) {
  return path.empty() ? "" : (std::filesystem::path(base) / path).string();
}

}  // namespace

Result<fleet::ModelFacts> read_facts(const wire::FactsFrom& from, const FactsOptions& options) {
  const int given = (from.gguf.empty() ? 0 : 1) + (from.config.empty() ? 0 : 1) + (from.folder.empty() ? 0 : 1);
  if (given != 1) return invalid("facts_from needs exactly one of gguf, config, folder");
  if (!from.index.empty() && from.config.empty()) return invalid("facts_from.index goes with config");
  const bool metadata_only = options.metadata_only || from.metadata_only;
  if (!from.gguf.empty()) return hub::local_facts(below(options.base, from.gguf), metadata_only);
  if (!from.folder.empty()) return hub::local_facts(below(options.base, from.folder));
  return hub::config_facts(below(options.base, from.config), below(options.base, from.index));
}

Result<fleet::ModelFacts> facts_of_path(const std::string& path, bool metadata_only) {
  return hub::local_facts(path, metadata_only);
}

}  // namespace berth::cli
