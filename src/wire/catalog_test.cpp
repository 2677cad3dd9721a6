#include "wire/catalog.h"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engines/flags.h"
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
  CHECK(catalog->engines().size() == files);
  for (std::size_t i = 1; i < catalog->engines().size(); ++i)
    CHECK(catalog->engines()[i - 1].order <= catalog->engines()[i].order);
  REQUIRE(catalog->find("llama.cpp") != nullptr);
  REQUIRE(catalog->find("vllm") != nullptr);
}

TEST_CASE("every engine of the catalog survives YAML and back") {
  const auto catalog = embedded_catalog();
  REQUIRE(catalog.has_value());
  for (const auto& engine : catalog->engines()) {
    const auto back = from_yaml<engines::Engine>(to_yaml(engine), Strictness::kStrict);
    REQUIRE_MESSAGE(back.has_value(), back.error().message);
    CHECK(to_json(*back) == to_json(engine));
  }
}

TEST_CASE("every flag of llama-server that names files or fetches them is typed, in all of its spellings") {
  const auto catalog = embedded_catalog();
  REQUIRE(catalog.has_value());
  const engines::Engine& engine = *catalog->find("llama.cpp");
  const auto code = [&](const std::string& entry) {
    const auto parsed = engines::parse_flags(engine, {entry});
    return parsed ? Code::kInternal : parsed.error().code;
  };
  const std::vector<std::string> refused = {"--model",
                                            "-m",
                                            "--model-url",
                                            "-mu",
                                            "--hf-repo",
                                            "-hf",
                                            "-hfr",
                                            "--hf-file",
                                            "-hff",
                                            "--docker-repo",
                                            "-dr",
                                            "--model-draft",
                                            "-md",
                                            "--spec-draft-model",
                                            "--spec-draft-hf",
                                            "-hfd",
                                            "-hfrd",
                                            "--hf-repo-draft",
                                            "--mmproj-url",
                                            "-mmu",
                                            "--model-vocoder",
                                            "-mv",
                                            "--grammar-file",
                                            "--json-schema-file",
                                            "-jf",
                                            "--control-vector",
                                            "--control-vector-scaled",
                                            "--lookup-cache-static",
                                            "-lcs",
                                            "--lookup-cache-dynamic",
                                            "-lcd",
                                            "--slot-save-path",
                                            "--log-file",
                                            "--log-prompts-dir",
                                            "--ssl-key-file",
                                            "--ssl-cert-file",
                                            "--api-key-file",
                                            "--media-path",
                                            "--path",
                                            "--models-dir",
                                            "--models-preset",
                                            "--tools",
                                            "--tools-runtime",
                                            "--mcp-servers-config",
                                            "--mcp-servers-json",
                                            "--ui-config-file",
                                            "--webui-config-file",
                                            "--video-ffmpeg-dir",
                                            "--file",
                                            "-f",
                                            "--binary-file",
                                            "-bf",
                                            "--in-file",
                                            "--prompt-cache"};
  for (const auto& flag : refused) {
    CAPTURE(flag);
    CHECK(code(flag + " /models/x") == Code::kForbidden);
    CHECK(code(flag + "=/models/x") == Code::kForbidden);
  }
  for (const std::string flag : {"--lora", "--mmproj", "-mm", "--chat-template-file", "--chat_template_file"}) {
    CAPTURE(flag);
    CHECK(code(flag + " /models/x") == Code::kInternal);
    CHECK(code(flag + " /models/x,x") == Code::kInvalid);
    CHECK(code(flag + "=/models/../x") == Code::kInvalid);
  }
  CHECK(code("--lora-scaled /models/x:0.5,/models/y:2") == Code::kInternal);
  CHECK(code("--lora-scaled=/models/x:0.5,y:2") == Code::kInvalid);
  CHECK(code("--lora-scaled /models/x 0.5") == Code::kInvalid);
}

TEST_CASE("a bad catalog file is named with line and path") {
  const auto bad = load_catalog({{"x.yaml", "id: x\nformats: [gguf]\nrows: []\nrecipe: {}\nflag: []\n"}});
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message == "x.yaml: line 5: $.flag is not known; did you mean \"flags\"?");
  CHECK(load_catalog({{"x.yaml", "id: x\n"}}).error().message == "x.yaml: line 1: $.formats is missing");
}

}  // namespace
}  // namespace berth::wire
