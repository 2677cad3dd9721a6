#pragma once
// Models on this machine's disk: reads headers, never weights. Blocking: call on a pool thread.

#include <cstdint>
#include <string>

#include "base/result.h"
#include "fleet/model.h"

namespace berth::hub {

/// Largest part of a file that is read for its facts.
constexpr std::uint64_t kHeaderReadMax = 64ULL << 20;

/// Facts of a GGUF file, or of a folder with config.json and *.safetensors (or their index). Only regular files are
/// opened. `metadata_only` admits GGUF files whose tensor data is absent.
/// Errors: kNotFound, kInvalid (what is wrong with the file), kForbidden (not readable).
Result<fleet::ModelFacts> local_facts(const std::string& path, bool metadata_only = false);

}  // namespace berth::hub
