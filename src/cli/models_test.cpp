// Every entry of the embedded catalog, decided on a fleet that is large enough for all of them.
#include "cli/models.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "cli/inputs.h"
#include "engines/request.h"
#include "metadata/hf_config.h"
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

namespace {

/// What facts of one config.json and of the catalog's entry must agree on.
void check_same(const fleet::ModelFacts& read, const fleet::ModelFacts& known) {
  CHECK(read.architectures == known.architectures);
  CHECK(read.layers == known.layers);
  CHECK(read.hidden_size == known.hidden_size);
  if (read.vocab_size) CHECK(read.vocab_size == known.vocab_size);
  CHECK(read.attention_heads == known.attention_heads);
  CHECK(read.kv_heads == known.kv_heads);
  CHECK(read.head_dim == known.head_dim);
  CHECK(read.value_head_dim == known.value_head_dim);
  CHECK(read.window_head_dim == known.window_head_dim);
  CHECK(read.indexer_head_dim == known.indexer_head_dim);
  CHECK(read.max_context == known.max_context);
  CHECK(read.sliding_window == known.sliding_window);
  CHECK(read.experts == known.experts);
  CHECK(read.experts_used == known.experts_used);
  CHECK(read.expert_feed_forward_size == known.expert_feed_forward_size);
  CHECK(read.kv_lora_rank == known.kv_lora_rank);
  CHECK(read.rope_head_dim == known.rope_head_dim);
  CHECK(read.vision_attention_heads == known.vision_attention_heads);
  CHECK(read.tied_output == known.tied_output);
  CHECK(read.state_space.has_value() == known.state_space.has_value());
  REQUIRE(read.attention_layers.size() == known.attention_layers.size());
  for (std::size_t i = 0; i < read.attention_layers.size(); ++i) {
    CHECK(read.attention_layers[i].count == known.attention_layers[i].count);
    CHECK(read.attention_layers[i].kv_heads == known.attention_layers[i].kv_heads);
    CHECK(read.attention_layers[i].sliding_window == known.attention_layers[i].sliding_window);
    CHECK(read.attention_layers[i].recurrent == known.attention_layers[i].recurrent);
  }
}

}  // namespace

TEST_CASE("the config.json of each architecture gives the facts of its model's entry") {
  const auto models = wire::embedded_models();
  REQUIRE(models.has_value());
  const auto text = read_text_file("tests/data/metadata/configs.jsonl");
  REQUIRE(text.has_value());
  std::set<std::string> architectures;
  for (const auto& line : split(*text, '\n')) {
    if (line.empty()) continue;
    // {"repo":"…","config":{…}}: the parts are cut out, as the order of the keys is known.
    const auto config = line.find(",\"config\":");
    REQUIRE(config != std::string::npos);
    const std::string repo = line.substr(9, config - 10);
    CAPTURE(repo);
    const auto facts =
        metadata::facts_from_hf_config(std::string_view(line).substr(config + 10, line.size() - config - 11));
    REQUIRE_MESSAGE(facts.has_value(), facts.error().message);
    CHECK(facts->layers.has_value());
    CHECK(facts->hidden_size.has_value());
    CHECK(facts->kv_heads.has_value());
    CHECK(facts->head_dim.has_value());
    CHECK(facts->max_context.has_value());
    for (const auto& a : facts->architectures) architectures.insert(a);
    const auto found = fleet::find_model(*models, repo);
    REQUIRE_MESSAGE(found.has_value(), found.error().message);
    check_same(*facts, found->model->facts);
  }
  CHECK(architectures.size() >= 37);
}
