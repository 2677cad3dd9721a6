#pragma once
// Which of a model's architectures which version of an engine runs, as the engine's file says.

#include <string>
#include <string_view>
#include <vector>

#include "engines/catalog.h"
#include "fleet/model.h"

namespace berth::engines {

/// Whether a version runs an architecture. Unknown: its list was not read, and those of its neighbours do not agree.
enum class Runs { kYes, kNo, kUnknown };

/// The rows of an engine that name one of a model's architectures.
struct ArchitectureMatch {
  const Architectures* list = nullptr;
  std::vector<const ArchitectureRow*> rows;
  bool told = false;  // the facts name an architecture
};

/// `engine` must outlive what is returned.
ArchitectureMatch match_architecture(const Engine& engine, const fleet::ModelFacts& facts);

/// What that version does. A version that was read answers for itself; one between two that agree as both do; a newer
/// one than the newest runs what that one runs; an older one than the oldest lacks what that one lacks. An empty
/// version is the newest read; one that is no number (a build of somebody's own) is unknown.
Runs runs(const ArchitectureMatch& match, std::string_view version);
/// The row by which that version, which runs it, does so; null for engines that run anything.
const ArchitectureRow* row_for(const ArchitectureMatch& match, std::string_view version);
/// What the row's architectures are served for.
const std::vector<std::string>& tasks_of(const ArchitectureMatch& match, const ArchitectureRow& row);

/// An engine by which a model could run, with the versions that do: "vLLM from 0.17.0 on".
struct RunsWith {
  std::string title;
  std::string since;  // empty: every version that was read
  std::string until;
};
/// The engines that read the model's format and run its architecture in some version, in catalog order; those that
/// run anything, or only what nobody reads, are left out.
std::vector<RunsWith> engines_for(const EngineCatalog& catalog, const fleet::ModelFacts& facts);

}  // namespace berth::engines
