#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/convert.h"

namespace berth::cli::conformance {
namespace {

using engines::Engine;
using engines::SupportRow;

constexpr std::array kRuntimes = {
    RuntimeRow{"cuda", "nvidia", "cuda"},
    RuntimeRow{"rocm", "amd", "rocm"},
    RuntimeRow{"cann", "ascend", "cann"},
    RuntimeRow{"mps", "apple", "metal"},
    RuntimeRow{"npu", "ascend", "cann"},  // the word of old recordings
    RuntimeRow{"musa", "mthreads", "musa"},
    RuntimeRow{"dtk", "hygon", "dtk"},
    RuntimeRow{"dcu", "hygon", "dtk"},
    RuntimeRow{"maca", "metax", "maca"},
    RuntimeRow{"corex", "iluvatar", "corex"},
    RuntimeRow{"neuware", "cambricon", "neuware"},
    RuntimeRow{"hggc", "thead", "hggc"},
    RuntimeRow{"cpu", "cpu", "cpu"},
    RuntimeRow{"unknown", "unknown", "unknown"},  // what runs on it could not be told: no build is for that
};

bool is_for(const SupportRow& row, const RuntimeRow& runtime) {
  return row.vendor == runtime.vendor && (row.framework.empty() || row.framework == runtime.framework);
}

bool covers(const SupportRow& row, const std::optional<std::string>& version) {
  return row.versions.empty() || !version ||
         std::find(row.versions.begin(), row.versions.end(), *version) != row.versions.end();
}

void add_build(Engine& engine, const RuntimeRow& runtime, const std::optional<std::string>& version) {
  if (version && std::find(engine.versions.begin(), engine.versions.end(), *version) == engine.versions.end())
    engine.versions.push_back(*version);
  // What a case tells of a build covers version of the runtime and chip, but not the compute capability that CUDA
  // devices have: of those the catalog's own row says more.
  const bool there = std::any_of(engine.rows.begin(), engine.rows.end(), [&](const SupportRow& row) {
    const bool narrow = row.runtime_version || row.runtime_version_min || !row.variants.empty();
    return is_for(row, runtime) && covers(row, version) && (runtime.framework == "cuda" || !narrow);
  });
  if (there) return;
  SupportRow row;
  if (version) row.versions = {*version};
  row.os = {"linux"};  // the builds that a case tells of are container images
  row.vendor = runtime.vendor;
  row.framework = runtime.framework;
  row.install = "container";
  row.source = "backend_catalog of the case";
  engine.rows.push_back(std::move(row));
}

auto find_engine(std::vector<Engine>& engines, const std::string& id) {
  return std::find_if(engines.begin(), engines.end(), [&](const Engine& e) { return e.id == id; });
}

/// A backend that the users of the case made themselves: a custom engine with the builds that the case tells of.
void add_own_engine(std::vector<Engine>& engines, const std::string& id) {
  Engine own;
  if (const auto custom = find_engine(engines, "custom"); custom != engines.end()) own = *custom;
  own.id = own.title = id;
  own.rows.clear();
  engines.push_back(std::move(own));
}

void remove_build(Engine& engine, const RuntimeRow& runtime, const std::optional<std::string>& version) {
  std::vector<SupportRow> kept;
  for (auto& row : engine.rows) {
    if (is_for(row, runtime)) {
      if (!version) continue;
      if (row.versions.empty()) row.versions = engine.versions;
      std::erase(row.versions, *version);
      if (row.versions.empty()) continue;
    }
    kept.push_back(std::move(row));
  }
  engine.rows = std::move(kept);
}

}  // namespace

Result<RuntimeRow> runtime_row(std::string_view runtime) {
  const auto at =
      std::find_if(kRuntimes.begin(), kRuntimes.end(), [&](const auto& row) { return row.runtime == runtime; });
  if (at == kRuntimes.end())
    return fail(Code::kNotSupported, fmt::format("runtime \"{}\" is not understood", printable(runtime)));
  return *at;
}

Result<engines::EngineCatalog> catalog_of(const std::vector<CaseBackend>& builds,
                                          const std::optional<std::string>& id,
                                          const engines::EngineCatalog& embedded) {
  if (builds.empty()) return embedded;
  std::vector<Engine> out = embedded.engines();
  for (const auto& build : builds) {
    TRY(const auto runtime, runtime_row(build.runtime));
    if (!id) return invalid("backend_catalog is given, but the model names no backend that it could be about");
    auto at = find_engine(out, *id);
    if (at == out.end()) {
      if (!build.supported) continue;
      add_own_engine(out, *id);
      at = find_engine(out, *id);
    }
    if (build.supported)
      add_build(*at, runtime, build.backend_version);
    else
      remove_build(*at, runtime, build.backend_version);
  }
  return engines::EngineCatalog(std::move(out));
}

}  // namespace berth::cli::conformance
