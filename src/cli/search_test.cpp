#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/models.h"
#include "cli/testing.h"
#include "wire/model_catalog.h"

using namespace berth;
using namespace berth::cli;

namespace {

const std::string kFleet = "examples/seed/fleet.yaml";

bool holds(const std::string& text, std::string_view piece) { return text.find(piece) != std::string::npos; }

}  // namespace

TEST_CASE("search prints a list and one model as in the golden files, in a pipe and in a terminal") {
  const Surroundings terminal{.variables = {}, .input = "", .terminal = true};
  const auto list = invoke({"search", "kimi", "k2"});
  CHECK(list.status == kExitOk);
  CHECK(list.err.empty());
  check_golden("tests/data/cli/search-list.txt", list.out);
  CHECK(invoke({"search", "kimi", "k2"}, terminal).out == list.out);
  const auto one = invoke({"search", "Qwen3-32B"});
  check_golden("tests/data/cli/search-one.txt", one.out);
  const auto painted = invoke({"search", "qwen3-32b"}, terminal).out;
  check_golden("tests/data/cli/search-one-terminal.txt", painted);
  CHECK(painted != one.out);
}

TEST_CASE("search stays within its limit and says how many more there are") {
  const auto got = invoke({"search", "--limit", "3"});
  CHECK(got.status == kExitOk);
  CHECK(split(got.out, '\n').size() == 5);
  CHECK(holds(got.err, " more; --limit "));
  CHECK(invoke({"search", "--limit", "0"}).status == kExitUsage);
}

TEST_CASE("search by category and task finds only such models, and names the words it knows") {
  const auto category = invoke({"search", "--category", "embedding"});
  CHECK(holds(category.out, "bge-m3"));
  CHECK_FALSE(holds(category.out, "qwen3-32b"));
  CHECK(holds(invoke({"search", "--task", "transcribe"}).out, "whisper-large-v3"));
  const auto wrong = invoke({"search", "--category", "embeding"});
  CHECK(wrong.status == kExitUsage);
  CHECK(holds(wrong.err, "did you mean \"embedding\"?"));
}

TEST_CASE("search that finds nothing exits with 3 and says what was near") {
  const auto got = invoke({"search", "qwn3"});
  CHECK(got.status == kExitNotFound);
  CHECK(got.out.empty());
  CHECK(got.err == "berth: no model of the catalog matches \"qwn3\"; did you mean qwen3?\n");
  const auto json = invoke({"search", "qwn3", "-o", "json"});
  CHECK(json.status == kExitNotFound);
  CHECK(holds(json.out, "\"total\": 0"));
}

TEST_CASE("search as JSON and YAML gives whole entries with their sources") {
  const auto json = invoke({"search", "kimi-k2.5", "-o", "json"});
  CHECK(holds(json.out, "\"id\": \"kimi-k2.5\""));
  CHECK(holds(json.out, "\"computed\": true"));
  CHECK(holds(invoke({"search", "kimi-k2.5", "-o", "yaml"}).out, "id: kimi-k2.5"));
}

TEST_CASE("check takes a model by its name, an alias, or the name of a file of it") {
  for (const char* name : {"qwen3-32b", "Qwen/Qwen3-32B", "qwen3:32b"}) {
    const auto got = invoke({"check", name, "--fleet", kFleet});
    CAPTURE(got.err);
    CHECK(got.status == kExitDoesNotFit);
    CHECK(holds(got.out, "use the GGUF variant Q8_0"));
  }
  CHECK(invoke({"check", "qwen3-32b:q4_k_m", "--fleet", kFleet}).status == kExitOk);
}

TEST_CASE("check of a name that no model has exits with 3; of one that several have, with the choices") {
  const auto missing = invoke({"check", "qwen3-33b", "--fleet", kFleet});
  CHECK(missing.status == kExitNotFound);
  CHECK(holds(missing.err, "did you mean qwen3-32b"));
  const auto several = invoke({"check", "kimi", "--fleet", kFleet});
  CHECK(several.status == kExitError);
  CHECK(holds(several.err, "kimi-k2-instruct, kimi-k2-thinking, kimi-k2.5"));
  CHECK(holds(invoke({"check", "./qwen3-32b", "--fleet", kFleet}).err, "./qwen3-32b"));
}

TEST_CASE("a model with a figure that nobody knows is unknown, with the figure's name") {
  const auto path = std::filesystem::temp_directory_path() / ("berth-search-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << "name: w\nos: linux\narch: amd64\nmemory_total_bytes: 512GiB\ndevices:\n"
                         "  - {id: g, vendor: nvidia, framework: cuda, name: H200, memory_total_bytes: 141GiB,\n"
                         "     compute_capability: \"9.0\", driver_version: \"580.65\", runtime_version: \"13.0\"}\n";
  const auto models = wire::embedded_models();
  REQUIRE(models.has_value());
  const auto without = std::find_if(models->models.begin(), models->models.end(), [](const auto& m) {
    return m.facts.task == "embed" && m.facts.format == "safetensors" && !m.facts.weight_bytes;
  });
  REQUIRE(without != models->models.end());
  const auto got = invoke({"check", without->id, "--profile", path.string()});
  std::filesystem::remove(path);
  CHECK(got.status == kExitUnknown);
  CHECK(holds(got.out, "facts.weight_bytes is not known"));
}
