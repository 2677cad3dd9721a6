// The kinds beside scheduling: each case with one fact turned must give the turned answer. What is expected comes from
// a second reading of the turned case, which knows nothing of the code under test.
#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/judge.h"
#include "cli/conformance/kind_facts.h"
#include "cli/inputs.h"
#include "wire/json_value.h"

namespace berth::cli::conformance {
namespace {

namespace json = boost::json;

/// Every case of a kind, as text.
std::vector<std::string> texts_of(std::string_view kind) {
  std::vector<std::string> files, out;
  for (const auto& entry : std::filesystem::directory_iterator("tests/conformance/cases"))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    auto text = read_text_file(file);
    REQUIRE(text);
    const auto head = read_head(*text);
    REQUIRE(head);
    if (head->kind == kind) out.push_back(std::move(*text));
  }
  return out;
}

// ---- resolve_model_facts ----

const json::object* part_of(const json::object* parent, std::string_view name) {
  const auto* at = parent == nullptr ? nullptr : parent->if_contains(name);
  return at == nullptr ? nullptr : at->if_object();
}

std::optional<std::int64_t> figure_of(const json::object* part, std::string_view name) {
  const auto* at = part == nullptr ? nullptr : part->if_contains(name);
  return at == nullptr ? std::nullopt : std::optional(at->to_number<std::int64_t>());
}

/// The language model's own figure; that of the whole only where it has none.
std::string attention_heads(const json::object& heads) {
  const auto* thinker = part_of(&heads, "thinker");
  for (const auto* part : {part_of(thinker, "text"), part_of(&heads, "llm"), part_of(&heads, "text"), thinker})
    if (const auto n = figure_of(part, "attention_heads")) return std::to_string(*n);
  const auto whole = figure_of(&heads, "attention_heads");
  return whole ? std::to_string(*whole) : "null";
}

std::string vision_heads(const json::object& heads) {
  const auto* vision = part_of(&heads, "vision");
  auto n = figure_of(vision, "attention_heads");
  if (!n) n = figure_of(vision, "heads");
  if (!n) return "null";
  return std::to_string(*n + std::max<std::int64_t>(0, figure_of(vision, "dummy_heads").value_or(0)));
}

struct TurnedHeads {
  std::string what;
  json::object heads;
};

void turn_figures(const json::object& part, const std::string& path, std::vector<json::string>& out) {
  for (const auto& member : part) {
    const std::string where = fmt::format("{}/{}", path, std::string_view(member.key().data(), member.key().size()));
    if (const auto* nested = member.value().if_object())
      turn_figures(*nested, where, out);
    else
      out.emplace_back(where);
  }
}

/// Each figure with other values, and gone; each part gone; a vision part where there is none.
std::vector<TurnedHeads> turned_heads(const json::object& heads) {
  std::vector<TurnedHeads> out;
  std::vector<json::string> figures;
  turn_figures(heads, "", figures);
  for (const auto& at : figures)
    for (const std::int64_t value : {7, 96, -3}) {
      // Only padding may be said to be less than none.
      if (value < 0 && at.find("dummy") == json::string::npos) continue;
      json::value turned = heads;
      turned.at_pointer(at) = value;
      out.push_back({fmt::format("{} is {}", std::string_view(at), value), turned.get_object()});
    }
  for (const auto& member : heads) {
    auto turned = heads;
    turned.erase(member.key());
    out.push_back({"without " + std::string(member.key()), std::move(turned)});
  }
  if (!heads.contains("vision")) {
    auto turned = heads;
    turned["vision"] = {{"heads", 12}};
    out.push_back({"with vision", std::move(turned)});
  }
  return out;
}

// ---- gpu_count ----

struct TurnedCount {
  std::string what;
  Case c;
  std::uint32_t ranks = 1;     // what its flags make
  std::uint32_t selected = 0;  // devices of a replica; 0: not told
};

void select(Case& c, std::uint32_t devices, std::uint32_t per_replica) {
  CaseGpuSelector selector{.gpu_ids = {}, .gpus_per_replica = per_replica};
  for (std::uint32_t i = 0; i < devices; ++i) selector.gpu_ids.push_back(fmt::format("w1:cuda:{}", i));
  c.model->gpu_selector = std::move(selector);
}

/// The same sizes in every spelling, more and fewer of each, and other selections.
std::vector<TurnedCount> turned_counts(const Case& original) {
  struct Flags {
    std::vector<std::string> flags;
    std::uint32_t ranks;
  };
  const std::vector<Flags> all = {
      {{"--tensor-parallel-size=8", "--data-parallel-size=2"}, 16},
      {{"--tensor-parallel-size 8 --data-parallel-size 2"}, 16},
      {{"-tp", "8", "-dp", "2"}, 16},
      {{"--tensor-parallel-size=4", "--data-parallel-size=2"}, 8},
      {{"--data-parallel-size=2", "--pipeline-parallel-size=2", "--tensor-parallel-size=2"}, 8},
      {{"--tensor-parallel-size", "8"}, 8},
      {{"-tp=8", "--data-parallel-size=2", "--data-parallel-size-local=1", "--headless"}, 8},
      {{"--tensor-parallel-size=2"}, 2},
  };
  std::vector<TurnedCount> out;
  for (const auto& flags : all)
    for (const std::uint32_t selected : {0U, 2U, 8U, 16U}) {
      Case c = original;
      c.model->backend_parameters = flags.flags;
      c.model->gpu_selector.reset();
      if (selected > 0) select(c, std::max(selected, 8U), selected);
      out.push_back({fmt::format("{} on {}", join(flags.flags, " "), selected), std::move(c), flags.ranks, selected});
    }
  return out;
}

// ---- evaluate ----

struct TurnedEvaluation {
  std::string what;
  Case c;
  std::string code;  // of the reason for the no, where it is about a worker
};

/// Each turns a yes into a no.
std::vector<TurnedEvaluation> turned_evaluations(const Case& original) {
  const Case roomy = *with_room(original);
  std::vector<TurnedEvaluation> out;
  const auto turn = [&](std::string what, std::string code, auto&& change) {
    out.push_back({std::move(what), roomy, std::move(code)});
    change(out.back().c);
  };
  turn("a task that it does not serve", "", [](Case& c) { c.model->categories = {"text_to_speech"}; });
  turn("an engine for other files", "", [](Case& c) {
    c.model->backend_requested = c.model->backend_resolved = "llama-box";
    c.model->backend_parameters.clear();
    c.model->backend_version.reset();
  });
  turn("an engine that nobody has", "backend_unsupported_on_worker", [](Case& c) {
    c.model->backend_requested = c.model->backend_resolved = "abacus";
    c.model->backend_parameters.clear();
    c.backend_catalog.clear();
  });
  turn("a worker that is away", "worker_not_ready", [](Case& c) { c.fleet.workers.front().state = "not_ready"; });
  turn("a worker without devices", "backend_unsupported_on_worker", [](Case& c) {
    c.fleet.workers.front().gpus.clear();
  });
  turn("a version that is not built for it", "backend_unsupported_on_worker", [](Case& c) {
    const auto runtime = c.fleet.workers.front().gpus.front().runtime;
    c.model->backend_version = "99.9";
    c.backend_catalog = {{.runtime = runtime, .backend_version = "99.9", .supported = false}};
  });
  turn("a model larger than all devices", "", [](Case& c) { c.model_facts->weight_bytes = 512 * 1024 * kGiB; });
  return out;
}

}  // namespace

TEST_CASE("each case of compatibility with one thing turned is not compatible any more, and says why") {
  const auto judge = *Judge::embedded();
  int cases = 0;
  for (const auto& text : texts_of(kKindEvaluate)) {
    const auto original = *read_case(text);
    CAPTURE(original.id);
    ++cases;
    CHECK(judge.run(original).passed);
    for (auto& [what, c, code] : turned_evaluations(original)) {
      CAPTURE(what);
      CHECK_FALSE(judge.run(c).passed);  // the old answer
      c.expected = {};
      c.expected.compatible = false;
      if (!code.empty()) c.expected.reasons = wire::RawJson{fmt::format(R"([{{"code":"{}"}}])", code)};
      const auto result = judge.run(c);
      CHECK_MESSAGE(result.passed, join(result.differences, "; "));
      c.expected.reasons = wire::RawJson{R"([{"code":"label_mismatch"}])"};
      CHECK_FALSE(judge.run(c).passed);
    }
  }
  CHECK(cases >= 4);
}

TEST_CASE("what a model is taken for is compared, and a step that nobody knows is failed") {
  const auto judge = *Judge::embedded();
  auto c = *read_case(texts_of(kKindEvaluate).front());
  c.expected = {};
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"Qwen2ForCausalLM", "llm"},
      {"BertModel", "embedding"},
      {"XLMRobertaForSequenceClassification", "reranker"},
      {"WhisperForConditionalGeneration", "speech_to_text"}};
  for (const auto& [architecture, category] : kinds)
    for (const auto& [other, asked] : kinds) {
      CAPTURE(architecture);
      CAPTURE(asked);
      c.model_facts->architectures = {architecture};
      c.expected.detected_categories = {asked};
      CHECK(judge.run(c).passed == (asked == category));
    }
  c.step = "mood";
  CHECK(join(judge.run(c).differences, "|").starts_with("the step \"mood\" is not run yet"));
}

TEST_CASE("each case of counts with other flags and selections gives the ranks of those flags") {
  const auto judge = *Judge::embedded();
  int rejected = 0;
  for (const auto& text : texts_of(kKindCount)) {
    const auto original = *read_case(text);
    CAPTURE(original.id);
    CHECK(judge.run(original).passed);
    for (auto& [what, c, ranks, selected] : turned_counts(original)) {
      CAPTURE(what);
      // A size that is left open takes what the others leave: only more stages could.
      const bool stages = what.find("pipeline") == std::string::npos;
      const bool agrees = selected == 0 || (stages ? selected % ranks == 0 : selected == ranks);
      c.expected = {};
      c.expected.accepted = agrees;
      if (agrees) {
        c.expected.gpu_count = c.expected.gpus_per_replica = selected == 0 ? ranks : selected;
      } else {
        c.expected.reasons = wire::RawJson{fmt::format(
            R"([{{"code":"gpu_count_mismatch_world_size","selected":{},"world_size":{}}}])", selected, ranks)};
        ++rejected;
      }
      const auto result = judge.run(c);
      CHECK_MESSAGE(result.passed, join(result.differences, "; "));
      CHECK(result.compared >= 3);
      c.expected.accepted = !agrees;
      CHECK_FALSE(judge.run(c).passed);
      c.expected.accepted = agrees;
      if (agrees)
        ++*c.expected.gpu_count;
      else
        c.expected.reasons = wire::RawJson{R"([{"code":"gpu_count_mismatch_world_size","world_size":7}])"};
      CHECK_FALSE(judge.run(c).passed);
    }
  }
  CHECK(rejected > 0);
}

TEST_CASE("no variable lets a replica have more ranks than devices, and what is expected of that is compared") {
  const auto judge = *Judge::embedded();
  for (const auto& text : texts_of(kKindCount))
    for (const auto* value : {"", "0", "1", "TRUE", "on"}) {
      auto c = *read_case(text);
      c.model->env["GPUSTACK_SKIP_GPU_COUNT_CHECK"] = value;
      c.expected = {};
      c.expected.bypass_active = false;
      CHECK(judge.run(c).passed);
      c.expected.bypass_active = true;
      CHECK(join(judge.run(c).differences, "|").starts_with("bypass_active: expected true, got false"));
      c.expected.feasible = true;
      CHECK(join(judge.run(c).differences, "|").starts_with("expected.feasible is not compared"));
    }
  auto c = *read_case(texts_of(kKindCount).front());
  c.model->env["GPUSTACK_SOMETHING"] = "1";
  CHECK(join(judge.run(c).differences, "|") ==
        "not understood: model.env is \"GPUSTACK_SOMETHING\", which is not understood");
}

TEST_CASE("each case of heads with one figure turned gives the turned facts") {
  int cases = 0, moved = 0;
  for (const auto& text : texts_of(kKindFacts)) {
    const auto original = *read_facts_case(text);
    CAPTURE(original.id);
    ++cases;
    for (const auto& [what, heads] : turned_heads(wire::parse_value(original.model_config_heads.text)->get_object())) {
      CAPTURE(what);
      auto c = original;
      c.model_config_heads.text = wire::serialize_value(heads);
      c.expected = {{"attention_heads", {attention_heads(heads)}}, {"vision_attention_heads", {vision_heads(heads)}}};
      const auto result = run_facts(c);
      CHECK_MESSAGE(result.passed, join(result.differences, "; "));
      CHECK(result.compared == 2);
      const auto& [name, before] = *original.expected.begin();
      if (c.expected.at(name).text == before.text) continue;
      ++moved;
      c.expected = original.expected;
      CHECK_FALSE(run_facts(c).passed);
    }
  }
  CHECK(cases >= 4);
  CHECK(moved >= cases);
}

TEST_CASE("a case of heads that names no fact of berth's, or a part that nobody knows, is failed") {
  FactsCase c;
  c.model_config_heads.text = R"({"attention_heads": 8})";
  const auto said = [&] { return join(run_facts(c).differences, " | "); };
  CHECK(said() == "nothing in it could be compared");
  c.expected = {{"colour", {"3"}}};
  CHECK(said() == "expected.colour is not compared: no fact of berth's is called so | nothing in it could be compared");
  c.expected = {{"attention_heads", {"\"8\""}}};
  CHECK(said().starts_with("expected.attention_heads is \"8\", which is not understood"));
  c.expected = {{"attention_heads", {"9"}}, {"vision_attention_heads", {"null"}}};
  CHECK(said() == "attention_heads: expected 9, got 8");
  c.model_config_heads.text = R"({"attention_heads": 8, "wings": {"attention_heads": 2}})";
  CHECK(said() == "not understood: model_config_heads.wings is not understood");
  c.model_config_heads.text = "";
  CHECK(said() == "not understood: model_config_heads is absent");
}

}  // namespace berth::cli::conformance
