#include "wire/model_catalog.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "wire/json.h"

namespace berth::wire {
namespace {

fleet::ModelCatalog embedded() {
  auto catalog = embedded_models();
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  return std::move(*catalog);
}

/// One good entry, into which a test puts what is wrong.
std::string entry(const std::string& facts, const std::string& figures, const std::string& rest = "") {
  return "sources: {card: card of the repository, other: another file}\n"
         "models:\n"
         "  - id: toy-1b\n    title: Toy-1B\n    family: toy\n    categories: [llm]\n"
         "    source: {kind: huggingface, repo: toys/Toy-1B}\n"
         "    facts: {" +
         facts + "}\n    figures: " + figures + "\n" + rest;
}

std::string error_of(const std::string& yaml) {
  const auto catalog = load_models({{.name = "toys.yaml", .yaml = yaml}});
  return catalog ? "no error" : catalog.error().message;
}

bool says(const std::string& message, std::string_view part) { return message.find(part) != std::string::npos; }

TEST_CASE("the embedded models are what the program's own YAML reader finds in the folder") {
  std::vector<CatalogText> files;
  std::size_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator("src/wire/models")) {
    if (file.path().extension() != ".yaml") continue;
    std::ifstream in(file.path());
    std::stringstream text;
    text << in.rdbuf();
    bytes += text.str().size();
    files.push_back({.name = file.path().filename(), .yaml = text.str()});
  }
  constexpr std::size_t kBytesMax = 320UL * 1024;
  CHECK(bytes <= kBytesMax);
  CHECK(embedded_model_files().size() == files.size());
  const auto read = load_models(files);
  REQUIRE_MESSAGE(read.has_value(), read.error().message);
  const auto catalog = embedded();
  REQUIRE(catalog.models.size() == read->models.size());
  CHECK(catalog.models.size() >= 100);
  for (std::size_t i = 0; i < catalog.models.size(); ++i) {
    CHECK(to_json(catalog.models[i]) == to_json(read->models[i]));
    if (i > 0) CHECK(catalog.models[i - 1].id < catalog.models[i].id);
  }
}

TEST_CASE("a good entry is read, and its sources are spelt out") {
  const auto catalog =
      load_models({{.name = "toys.yaml",
                    .yaml = entry("layers: 4, hidden_size: 64", "[{text: card}, {text: other, figures: [layers]}]")}});
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  REQUIRE(catalog->models.size() == 1);
  CHECK(catalog->models[0].figures[0].text == "card of the repository");
  CHECK(catalog->models[0].facts.layers == 4U);
  CHECK_FALSE(catalog->models[0].facts.weight_bytes.has_value());
  CHECK_FALSE(catalog->models[0].licence.has_value());
}

TEST_CASE("an entry without a source for a figure, or with two, is refused") {
  CHECK(says(
      error_of(entry("layers: 4, hidden_size: 64", "[{text: card, figures: [layers]}, {text: other, figures: []}]")),
      "no error"));
  CHECK(says(error_of(entry("layers: 4, hidden_size: 64",
                            "[{text: card, figures: [layers]}, {text: other, figures: [layers]}]")),
             "layers has two sources"));
  CHECK(says(error_of(entry("layers: 4, hidden_size: 64",
                            "[{text: card, figures: [layers]}, {text: other, figures: [vocab_size]}]")),
             "\"vocab_size\" is given a source but is not there"));
  CHECK(says(error_of(entry("layers: 4", "[{text: card}, {text: other}]")), "two sources name no figure"));
  CHECK(says(error_of(entry("layers: 4", "[{text: card}, {text: none}]")),
             "source \"none\" is not in the file's sources"));
  CHECK(says(error_of(entry("layers: 4", "[{text: card}]")), "sources.other is not used"));
  CHECK(says(error_of(entry("layers: 4, hidden_size: 64, vocab_size: 100",
                            "[{text: card, figures: [layers]}, {text: other, figures: [vocab_size]}]")),
             "hidden_size has no source"));
}

TEST_CASE("unknown is absent, never 0") {
  const std::string zero =
      error_of(entry("layers: 0, hidden_size: 64", "[{text: card, figures: [layers]}, {text: other}]"));
  CHECK_MESSAGE(says(zero, "toy-1b: facts.layers is 0"), zero);
  CHECK(says(zero, "leave it out when it is not known"));
}

TEST_CASE("names are unique over ids, titles and aliases of all files") {
  const std::string one = entry("layers: 4, hidden_size: 64", "[{text: card}, {text: other, figures: [layers]}]");
  std::string two = one;
  two.replace(two.find("toy-1b"), 6, "toy-2b");
  two.replace(two.find("Toy-1B"), 6, "Toy-2B");
  CHECK(load_models({{.name = "a.yaml", .yaml = one}, {.name = "b.yaml", .yaml = two}}).has_value());
  two.insert(two.find("    categories"), "    aliases: [TOY-1b]\n");
  const auto clash = load_models({{.name = "a.yaml", .yaml = one}, {.name = "b.yaml", .yaml = two}});
  REQUIRE_FALSE(clash.has_value());
  CHECK_MESSAGE(says(clash.error().message, "is also that of"), clash.error().message);
}

TEST_CASE("layers of a variant are a list of kinds and a letter for each layer") {
  const std::string variant =
      "    variants:\n      - name: Q8_0\n        source: {kind: huggingface, repo: toys/Toy-1B-GGUF}\n"
      "        facts: {format: gguf, architecture: llama, weight_bytes: 100000}\n"
      "        layer_kinds: [{host_bytes: 10, largest_tensor_bytes: 5}, {host_bytes: 20, device_bytes: 24, "
      "largest_tensor_bytes: 6}]\n        figures: [{text: other}]\n        layer_order: ";
  const auto with = [&](const std::string& order) {
    return entry("layers: 4, hidden_size: 64, weight_bytes: 900000", "[{text: card}]", variant + order + "\n");
  };
  const auto catalog = load_models({{.name = "toys.yaml", .yaml = with("abba")}});
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  const auto& model = catalog->models[0];
  const auto facts = fleet::facts_of(model, &model.variants[0]);
  REQUIRE(facts.layer_weights.size() == 4);
  CHECK(facts.layer_weights[0].device_bytes == Bytes(10));
  CHECK(facts.layer_weights[1].device_bytes == Bytes(24));
  CHECK(facts.hidden_size == 64U);
  CHECK(facts.weight_bytes == Bytes(100000));
  CHECK(facts.name == "Toy-1B Q8_0");
  CHECK(says(error_of(with("abc")), "none of the 2 kinds"));
  CHECK(says(error_of(with("abb")), "layer_weights has 3 entries, must have 4"));
}

TEST_CASE("the models that people deploy now are in the catalog") {
  const auto catalog = embedded();
  for (const char* name : {"Qwen3-32B",
                           "Qwen3-Coder-Next",
                           "Kimi-K2.5",
                           "GLM-4.7",
                           "MiniMax-M2.1",
                           "DeepSeek-OCR",
                           "PaddleOCR-VL-1.5",
                           "Qwen/Qwen3-32B",
                           "qwen3:32b",
                           "gpt-oss:120b",
                           "BAAI/bge-m3",
                           "qwen3-32b:q4_k_m",
                           "Qwen/Qwen3-32B-FP8"}) {
    const auto found = fleet::find_model(catalog, name);
    CHECK_MESSAGE(found.has_value(), name);
  }
}

TEST_CASE("the embedded weights of Qwen3-32B Q4_K_M are those of the file's tensor index") {
  const auto catalog = embedded();
  const auto found = fleet::find_model(catalog, "qwen3-32b:Q4_K_M");
  REQUIRE(found.has_value());
  const auto facts = fleet::facts_of(*found->model, found->variant);
  CHECK(facts.weight_bytes == Bytes(19'756'174'336));
  REQUIRE(facts.layer_weights.size() == 64);
  Bytes sum = facts.input_weights_bytes.value_or(Bytes()) + facts.output_weights_host_bytes.value_or(Bytes());
  for (const auto& layer : facts.layer_weights) sum += layer.host_bytes;
  CHECK(sum == facts.weight_bytes);
}

}  // namespace
}  // namespace berth::wire
