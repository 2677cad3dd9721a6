#include "wire/catalog.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "wire/yaml.h"

namespace berth::wire {
namespace {

TEST_CASE("the embedded catalog is the folder's files, valid and in catalog order") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("src/engines/catalog")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    bool found = false;
    for (const auto& embedded : embedded_catalog_files())
      found = found || (embedded.name == entry.path().filename() && embedded.yaml == text.str());
    CHECK_MESSAGE(found, entry.path().string());
  }
  CHECK(embedded_catalog_files().size() == files);
  const auto catalog = embedded_catalog();
  REQUIRE_MESSAGE(catalog.has_value(), catalog.error().message);
  CHECK(catalog->engines.size() == files);
  for (std::size_t i = 1; i < catalog->engines.size(); ++i)
    CHECK(catalog->engines[i - 1].order <= catalog->engines[i].order);
  REQUIRE(catalog->find("llama.cpp") != nullptr);
  REQUIRE(catalog->find("vllm") != nullptr);
}

TEST_CASE("every engine of the catalog survives YAML and back") {
  const auto catalog = embedded_catalog();
  REQUIRE(catalog.has_value());
  for (const auto& engine : catalog->engines) {
    const auto back = from_yaml<engines::Engine>(to_yaml(engine), Strictness::kStrict);
    REQUIRE_MESSAGE(back.has_value(), back.error().message);
    CHECK(to_json(*back) == to_json(engine));
  }
}

TEST_CASE("a bad catalog file is named with line and path") {
  const auto bad = load_catalog({{"x.yaml", "id: x\nformats: [gguf]\nrows: []\nrecipe: {}\nflag: []\n"}});
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message == "x.yaml: line 5: $.flag is not known; did you mean \"flags\"?");
  CHECK(load_catalog({{"x.yaml", "id: x\n"}}).error().message == "x.yaml: line 1: $.formats is missing");
}

}  // namespace
}  // namespace berth::wire
