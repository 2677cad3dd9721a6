#include "cli/inputs.h"

#include <sys/stat.h>

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

#include "cli/render.h"
#include "cli/testing.h"
#include "fleet/decision.h"

namespace berth::cli {
namespace {

constexpr std::string_view kFleetText =
    "workers:\n  - {name: a, os: linux, arch: amd64, memory_total_bytes: 64GiB, devices: [{id: g0, vendor: nvidia, "
    "memory_total_bytes: 48GiB}]}\n";
constexpr std::string_view kModelText =
    "name: v\nfacts: {format: safetensors, architecture: Qwen3ForCausalLM, dtype: bfloat16, weight_bytes: "
    "16381470720,\n"
    "  layers: 36, hidden_size: 4096, vocab_size: 151936, attention_heads: 32, kv_heads: 8, head_dim: 128,\n"
    "  max_context: 40960}\nrestriction: {engine: vllm}\n";

/// A folder of its own, gone at the end.
struct InputsFolder {
  InputsFolder() : path(std::filesystem::temp_directory_path() / ("berth-inputs-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~InputsFolder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("check and scenarios take flags and variables as a deployment does") {
  const InputsFolder folder;
  const auto fleet = folder.write("fleet.yaml", kFleetText);
  const auto model = [&](const std::string& settings) {
    const auto file = folder.write("model.yaml", std::string(kModelText) + "settings: " + settings + "\n");
    return invoke({"check", "--fleet", fleet, "-f", file});
  };
  CHECK(model("{}").status == 0);
  auto got = model("{flags: [--host=0.0.0.0]}");
  CHECK(got.status != 0);
  CHECK(got.err.find("flag --host may not be given") != std::string::npos);
  CHECK(model("{env: {LD_PRELOAD: /x.so}}").err.find("variable LD_PRELOAD may never be set") != std::string::npos);
  CHECK(model("{kv_type: banana}").err.find("settings.kv_type is \"banana\", must be one of") != std::string::npos);
  CHECK(model("{flags: [--max-model-len=1024]}").out.find("context 1024") != std::string::npos);

  const auto scenario = [&](const std::string& flag) {
    std::string text =
        "title: flags\nfleet:\n  workers: [{name: a, os: linux, arch: amd64, memory_total_bytes: 1GiB}]\n";
    text += "request: {name: v, restriction: {engine: vllm}, settings: {flags: [" + flag + "]}}\nexpect: {}\n";
    return invoke({"check", "--scenario", folder.write("scenario.yaml", text)});
  };
  CHECK(scenario("--host=0.0.0.0").err.find("flag --host may not be given") != std::string::npos);
  CHECK(scenario("--max-model-len=1024").err.find("may not be given") == std::string::npos);
}

TEST_CASE("only regular files are read, and a pipe is not waited for") {
  const InputsFolder folder;
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  auto text = read_text_file(pipe);
  REQUIRE_FALSE(text.has_value());
  CHECK(text.error().message == pipe + " is not a regular file: write what it gives to a file first");
  text = read_text_file(folder.path.string());
  REQUIRE_FALSE(text.has_value());
  CHECK(text.error().message == folder.path.string() + " is a folder, not a file");
  text = read_text_file((folder.path / "none").string());
  REQUIRE_FALSE(text.has_value());
  CHECK(text.error().code == Code::kNotFound);
  const auto file = folder.write("file", "12345");
  CHECK(read_text_file(file).value() == "12345");
  text = read_text_file(file, 4);
  REQUIRE_FALSE(text.has_value());
  CHECK(text.error().code == Code::kTooLarge);
}

TEST_CASE("nothing in a decision steers the terminal") {
  fleet::Decision decision;
  decision.summary = "does not fit: \x1b[31mred";
  decision.report.lines.push_back({});
  decision.report.lines[0].examples = {"a"};
  decision.report.lines[0].hardware = "1 x NV\x1b[2J";
  const auto text = render(Terminal(false, true), decision, {}, {}, {.verbose = true});
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("\\x1b[31mred") != std::string::npos);
}

}  // namespace berth::cli
