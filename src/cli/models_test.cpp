// Every entry of the embedded catalog, decided on a fleet that is large enough for all of them.
#include "cli/models.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <set>

#include "engines/request.h"
#include "placement/decide.h"
#include "wire/catalog.h"
#include "wire/files.h"
#include "wire/model_catalog.h"

using namespace berth;
using namespace berth::cli;

namespace {

/// One Linux machine with 16 devices of 192 GiB.
fleet::FleetSnapshot large_fleet() {
  std::string text =
      "workers:\n  - name: large\n    os: linux\n    arch: amd64\n    memory_total_bytes: 4TiB\n    devices:\n";
  for (int i = 0; i < 16; ++i)
    text += fmt::format(
        "      - {{id: gpu-{}, vendor: nvidia, framework: cuda, name: B200, memory_total_bytes: 192GiB, "
        "compute_capability: \"10.0\", driver_version: \"580.65\", runtime_version: \"13.0\"}}\n",
        i);
  const auto file = wire::read_fleet_file(text);
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  const auto snapshot = wire::to_snapshot(*file);
  REQUIRE(snapshot.has_value());
  return *snapshot;
}

struct Answered {
  fleet::Verdict verdict = fleet::Verdict::kUnknown;
  std::set<std::string> reasons;  // of every line, those that pass left out
  std::string text;
};

Answered decided(const engines::EngineCatalog& engines, const fleet::FleetSnapshot& snapshot, fleet::Request request) {
  Answered out;
  const auto canonical = engines::canonical(engines, std::move(request));
  REQUIRE_MESSAGE(canonical.has_value(), canonical.error().message);
  const auto decision = placement::decide(snapshot, *canonical, fleet::Policy{}, engines);
  out.verdict = decision.verdict;
  for (const auto& line : decision.report.lines)
    for (const auto& result : line.results) {
      if (result.reason.empty()) continue;
      out.reasons.insert(result.reason);
      out.text += result.text + "\n";
    }
  for (const auto& result : decision.report.request) {
    if (!result.reason.empty()) out.reasons.insert(result.reason);
    out.text += result.text + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("every model of the catalog and every file of it gets a sensible answer on a large fleet") {
  const auto models = wire::embedded_models();
  REQUIRE(models.has_value());
  const auto engines = wire::embedded_catalog();
  REQUIRE(engines.has_value());
  const auto snapshot = large_fleet();
  const std::set<std::string> served = {"generate", "embed", "rerank"};
  std::size_t fit = 0;
  std::size_t asked = 0;
  for (const auto& model : models->models) {
    std::vector<std::string> names = {model.id};
    for (const auto& variant : model.variants) names.push_back(model.id + ":" + variant.name);
    for (const auto& name : names) {
      CAPTURE(name);
      const auto request = request_for_name(name);
      REQUIRE_MESSAGE(request.has_value(), request.error().message);
      const auto answer = decided(*engines, snapshot, *request);
      CAPTURE(answer.text);
      CHECK_FALSE(answer.reasons.contains("internal_error"));
      if (!served.contains(model.facts.task)) continue;
      ++asked;
      if (answer.verdict == fleet::Verdict::kFits) ++fit;
      if (answer.verdict == fleet::Verdict::kFits) continue;
      // Otherwise a figure that is not known, or an architecture or quantization that no engine is known to read.
      const bool named = answer.text.find(" is not known") != std::string::npos ||
                         answer.text.find("facts.") != std::string::npos ||
                         answer.reasons.contains("unknown_architecture");
      CHECK_MESSAGE(named, name);
      CHECK(answer.verdict != fleet::Verdict::kFitsAfter);
    }
  }
  // Most are known well enough to be placed; a change of the catalog or of a rule that loses many is noticed here.
  MESSAGE(fit << " of " << asked << " fit");
  CHECK(fit * 100 >= asked * 80);
}
