#pragma once
// Files that a command reads: fleets, profiles, deployments, scenarios, and the headers of models.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"
#include "wire/files.h"

namespace berth::cli {

constexpr std::size_t kInputFileMaxBytes = 16UL << 20;  // of YAML or JSON that people write

/// The whole file. Errors: kNotFound, kForbidden, kTooLarge above `max`, naming the path.
Result<std::string> read_text_file(const std::string& path, std::size_t max = kInputFileMaxBytes);

struct FactsOptions {
  std::string base;            // folder that relative paths start from
  bool metadata_only = false;  // accept GGUF files without tensor data, whatever the file says
};
/// Facts of a local model. Errors: kInvalid naming the file and what is wrong with it; a GGUF header alone is refused
/// with the hint how to allow it.
Result<fleet::ModelFacts> read_facts(const wire::FactsFrom& from, const FactsOptions& options);
/// Facts of a path: a .gguf file, or a folder with config.json and its weights.
Result<fleet::ModelFacts> facts_of_path(const std::string& path, bool metadata_only);

/// A fleet file and further profiles, each of which is one more worker.
Result<wire::FleetFile> load_fleet(const std::string& path, const std::vector<std::string>& profiles);
/// A deployment file ("-": none of it; the caller reads stdin). Facts are read as facts_from says, or from the source
/// when that is a local path.
Result<fleet::Request> load_request(const std::string& path, bool metadata_only);
/// The same from text; `base` is the folder that relative paths start from.
Result<fleet::Request> request_from(wire::DeploymentFile file, const FactsOptions& options);

/// "qwen3-32b" out of "/models/Qwen3_32B.gguf": lower case, what no name may hold replaced by '-'.
std::string name_from_path(const std::string& path);
/// A request for the model at `path`, named by name_from_path.
Result<wire::DeploymentFile> deployment_for_path(const std::string& path, bool metadata_only);

}  // namespace berth::cli
