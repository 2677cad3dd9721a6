#pragma once
// Which engines of the catalog this machine has.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "engines/catalog.h"
#include "fleet/device.h"

namespace berth::worker {

/// Where programs are looked for: every name of a recipe on `path`, then every name in `launcher_dirs`.
struct EngineSearch {
  std::string path;                                          // colon-separated, as $PATH; relative entries are skipped
  std::vector<std::string> launcher_dirs;                    // berth's own launchers
  std::map<std::string, std::vector<std::string>> commands;  // engine id → program and first arguments; wins
};

struct EngineProgram {
  std::string program;  // absolute path of an executable regular file
  std::vector<std::string> args;
};

/// Errors: kNotFound with the names and places that were tried.
Result<EngineProgram> find_engine(const engines::Engine& engine, const EngineSearch& search);

constexpr Duration kVersionDeadline = std::chrono::seconds(10);

struct InstalledEngines {
  std::vector<fleet::EngineInstall> engines;  // in catalog order
  std::vector<std::string> notes;
};

/// Engines whose program was found. The version is what `program --version` prints, as the engine's user, within
/// kVersionDeadline; empty when it does not tell, which is no reason to leave the engine out.
InstalledEngines detect_engines(const engines::EngineCatalog& catalog,
                                const EngineSearch& search,
                                const std::string& engine_user);

/// "version: 11434 (abc)" → "11434"; "vllm 0.9.1" → "0.9.1"; "unknown" → absent.
std::optional<std::string> version_in(const std::string& output);

}  // namespace berth::worker
