#pragma once
// Models on this machine's disk: reads headers, never weights. Blocking: call on a pool thread.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/model.h"

namespace berth::hub {

/// Largest part of a file that is read for its facts.
constexpr std::uint64_t kHeaderReadMax = 128ULL << 20;

/// Facts of a GGUF file (of all its shards when its name is "x-00001-of-00003.gguf"), or of a folder with config.json
/// and *.safetensors or their index. Only regular files are opened. `metadata_only` admits GGUF files whose tensor data
/// is absent. The only reader of model files on disk: worker, server and `berth check` all ask here.
/// Errors: kNotFound, kInvalid (what is wrong with the file), kForbidden (not readable), kTooLarge (header, config).
Result<fleet::ModelFacts> local_facts(const std::string& path, bool metadata_only = false);

/// Whether the absolute path lies under one of `roots` once links are followed. What is not there, but would lie under
/// a root, counts as lying there.
bool lies_under(const std::string& path, const std::vector<std::string>& roots);

/// Facts of a config.json, with the weights that a safetensors index beside it tells (`index` empty: without weights).
/// Errors as above.
Result<fleet::ModelFacts> config_facts(const std::string& config, const std::string& index);

}  // namespace berth::hub
