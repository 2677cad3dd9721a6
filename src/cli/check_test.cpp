#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <regex>

#include "cli/exit_codes.h"
#include "cli/inputs.h"
#include "cli/render.h"
#include "cli/testing.h"
#include "cli/views.h"
#include "wire/json.h"

using namespace berth;
using namespace berth::cli;

namespace {

const std::string kFleet = "examples/seed/fleet.yaml";
const std::string kModel = "examples/seed/deployment.yaml";

bool holds(const std::string& text, std::string_view piece) { return text.find(piece) != std::string::npos; }

/// A file in a folder of its own, gone at the end.
struct Scratch {
  Scratch() : folder(std::filesystem::temp_directory_path() / ("berth-cli-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder);
  }
  ~Scratch() { std::filesystem::remove_all(folder); }
  [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  }
  std::filesystem::path folder;
};

DecisionAnswer answer_in(const std::string& path) {
  const auto text = read_text_file(path);
  REQUIRE(text);
  auto answer = wire::from_json<DecisionAnswer>(*text, wire::Strictness::kStrict);
  REQUIRE_MESSAGE(answer.has_value(), (answer ? "" : answer.error().message));
  return std::move(*answer);
}

}  // namespace

TEST_CASE("the seed case says no with exit 8, the reason, and both fixes") {
  const auto got = invoke({"check", "--fleet", kFleet, "--deployment", kModel});
  CHECK(got.status == kExitDoesNotFit);
  CHECK(got.err.empty());
  CHECK(holds(got.out, "✗ engine_os: vLLM needs Linux; this worker runs macOS"));
  CHECK(holds(got.out, "✓ by that report it would fit"));
  CHECK(holds(got.out, "1. use the GGUF variant Q4_K_M"));
  CHECK(holds(got.out, "2. bring worker linux-gpu-01 back to ready"));
}

TEST_CASE("an offline answer about a flag that berth does not know is an operator's, and says so") {
  const Scratch scratch;
  const std::string gguf = std::filesystem::absolute("tests/data/metadata/qwen3-0.6b.gguf").string();
  const auto check = [&](const std::string& flags) {
    const std::string file =
        scratch.write("m.yaml",
                      "name: m\nmodel: m\nsource: {kind: local, path: " + gguf + "}\nfacts_from: {gguf: " + gguf +
                          "}\nrestriction: {engine: llama.cpp}\nsettings: {flags: [" + flags + "]}\n");
    return invoke({"check", "--fleet", kFleet, "-f", file, "--metadata-only"});
  };
  const auto got = check("--samplers=top_k");
  CHECK(got.err ==
        "warning: answered as for an operator: the server takes --samplers only from a key with the scope operator\n");
  CHECK(holds(got.out, "llama.cpp gets --samplers, which berth does not know"));
  CHECK(check("--mlock").err.empty());
  CHECK(holds(check("--samplers=../x").err, "it looks like a path"));
}

TEST_CASE("the same question by hand on the Mac has the same lines about the Mac") {
  const auto automatic = invoke({"check", "--fleet", kFleet, "-f", kModel});
  const auto manual = invoke({"check", "--fleet", kFleet, "-f", "examples/seed/deployment-on-mac.yaml"});
  CHECK(manual.status == kExitDoesNotFit);
  // From the worker's name to the next line that is not indented.
  const auto mac_lines = [](const std::string& text) {
    const auto begin = text.find("mac-studio-m2-ultra (simulated, darwin");
    REQUIRE(begin != std::string::npos);
    auto end = text.find('\n', begin);
    while (end + 1 < text.size() && text[end + 1] == ' ') end = text.find('\n', end + 1);
    return text.substr(begin, end - begin);
  };
  CHECK(mac_lines(automatic.out) == mac_lines(manual.out));
  CHECK(holds(mac_lines(manual.out), "after that not evaluated, because of engine_os"));
}

TEST_CASE("the cause in the first line is a worker's before that of an engine which is for other machines") {
  const auto got = invoke({"check", "qwen3-32b", "--fleet", kFleet, "--explain", "linux-gpu-01/a100-0"});
  CHECK(holds(got.out, "0 of 1 replica; linux-gpu-01: worker is not ready, last report at"));
}

TEST_CASE("profiles make a fleet as good as a fleet file") {
  const auto whole = invoke({"check", "--fleet", kFleet, "-f", kModel});
  const auto parts = invoke({"check",
                             "--profile",
                             "examples/seed/mac-studio-m2-ultra.yaml",
                             "--profile",
                             "examples/seed/linux-gpu-01.yaml",
                             "-f",
                             kModel});
  CHECK(parts.out == whole.out);
  CHECK(parts.status == whole.status);
}

TEST_CASE("json and yaml carry the whole decision and keep the exit status") {
  const auto json = invoke({"check", "--fleet", kFleet, "-f", kModel, "-o", "json"});
  CHECK(json.status == kExitDoesNotFit);
  const auto answer = wire::from_json<DecisionAnswer>(json.out, wire::Strictness::kStrict);
  REQUIRE(answer);
  CHECK(answer->fixes.size() == 2);
  const auto yaml = invoke({"check", "--fleet", kFleet, "-f", kModel, "-o", "yaml"});
  CHECK(yaml.status == kExitDoesNotFit);
  CHECK(holds(yaml.out, "verdict: does_not_fit"));
}

TEST_CASE("where a server of this version would say otherwise, the answer says so") {
  const Scratch scratch;
  const auto worker = read_text_file("examples/seed/linux-gpu-01.yaml");
  REQUIRE(worker);
  const auto bare = scratch.write(
      "bare.yaml", std::regex_replace(*worker, std::regex("state: not_ready"), "state: ready") + "engines: []\n");
  const auto printed = invoke({"check", "--profile", bare, "-f", "examples/seed/deployment-gguf.yaml"});
  CHECK(printed.status == kExitOk);
  CHECK(holds(printed.out, "a server of this version installs no engines"));
  const auto seed = invoke({"check", "--fleet", kFleet, "-f", kModel});
  CHECK_FALSE(holds(seed.out, "a server of this version"));
}

TEST_CASE("sentences come in Chinese when asked for") {
  const auto got = invoke({"check", "--fleet", kFleet, "-f", kModel, "--lang", "zh"});
  CHECK(holds(got.out, "无法放置"));
  CHECK(holds(got.out, "vLLM 需要 Linux；该节点运行 macOS"));
}

TEST_CASE("colours are for terminals and obey the usual variables") {
  const std::vector<std::string> args = {"check", "--fleet", kFleet, "-f", kModel};
  const auto coloured = [&](Surroundings s) { return holds(invoke(args, std::move(s)).out, "\x1b["); };
  CHECK_FALSE(coloured({}));
  CHECK(coloured({.variables = {}, .input = "", .terminal = true}));
  CHECK_FALSE(coloured({.variables = {{"NO_COLOR", "1"}}, .input = "", .terminal = true}));
  CHECK_FALSE(coloured({.variables = {{"TERM", "dumb"}}, .input = "", .terminal = true}));
  CHECK(coloured({.variables = {{"CLICOLOR_FORCE", "1"}}}));
  CHECK_FALSE(coloured({.variables = {{"CLICOLOR_FORCE", "0"}}}));
}

TEST_CASE("without a UTF-8 locale the answer is plain ASCII") {
  const auto got = invoke({"check", "--fleet", kFleet, "-f", kModel}, {.variables = {{"LANG", "C"}}});
  for (const char c : got.out) REQUIRE(static_cast<unsigned char>(c) < 0x80);
  CHECK(holds(got.out, "x engine_os: vLLM needs Linux"));
}

TEST_CASE("a stored decision prints as in the golden files") {
  const Terminal terminal(false, true);
  for (const std::string name : {"no", "yes", "shared"}) {
    const auto answer = answer_in("tests/data/cli/" + name + ".json");
    const auto figures = Figures::of(answer.decision.report);
    check_golden("tests/data/cli/" + name + ".txt", render(terminal, answer.decision, answer.fixes, figures));
    check_golden("tests/data/cli/" + name + "-verbose.txt",
                 render(terminal, answer.decision, answer.fixes, figures, {.verbose = true}));
  }
}

TEST_CASE("no line of a printed answer is wider than it should be, and every sum adds up") {
  const auto got = invoke({"check", "--fleet", kFleet, "-f", "examples/seed/deployment-gguf.yaml"});
  CHECK(got.status == kExitOk);
  std::size_t sums = 0, begin = 0;
  while (begin < got.out.size()) {
    const auto end = got.out.find('\n', begin);
    const std::string line = got.out.substr(begin, end - begin);
    begin = end + 1;
    CHECK(columns(line) <= 100);
    const auto equals = line.find(" = ");
    if (equals == std::string::npos || !holds(line, " + ") || holds(line, "share")) continue;
    long sum = 0;
    for (std::size_t at = 0; (at = line.find('.', at)) < equals; ++at) {
      const auto start = line.find_last_not_of("0123456789", at - 1) + 1;
      sum += std::stol(line.substr(start, at - start)) * 100 + std::stol(line.substr(at + 1, 2));
    }
    const auto total = line.substr(equals + 3);
    CHECK(sum == std::stol(total.substr(0, total.find('.'))) * 100 + std::stol(total.substr(total.find('.') + 1, 2)));
    ++sums;
  }
  CHECK(sums == 2);
}

TEST_CASE("bad input is refused with the file, the field, the value and what is allowed") {
  const Scratch scratch;
  const auto fails = [&](std::vector<std::string> args, int status, const std::string& piece) {
    args.insert(args.begin(), "check");
    const auto got = invoke(args);
    CAPTURE(got.err);
    CHECK(got.status == status);
    CHECK(holds(got.err, piece));
    CHECK(got.out.empty());
  };
  fails({"--fleet", "nowhere.yaml", "-f", kModel}, kExitNotFound, "cannot read nowhere.yaml");
  fails({"--fleet", "examples", "-f", kModel}, kExitError, "examples is a folder, not a file");
  fails({"--fleet", kFleet}, kExitUsage, "nothing to check");
  fails({"--fleet", kFleet, "-f", kModel, "x.gguf"}, kExitUsage, "not both");
  fails({"-f", kModel, "--policy", "gpustack"}, kExitUsage, "give --fleet or --profile");
  fails({"--fleet", kFleet, "-f", kModel, "-o", "jsn"}, kExitUsage, "did you mean \"json\"");
  fails({"--flet", kFleet, "-f", kModel}, kExitUsage, "unknown flag \"--flet\"; did you mean \"--fleet\"");
  fails({"--fleet"}, kExitUsage, "--fleet");
  fails({"--fleet", scratch.write("a.yaml", "wrokers: []\n"), "-f", kModel}, kExitError, "did you mean \"workers\"");
  fails({"--fleet",
         scratch.write("b.yaml", "workers: [{name: a, os: beos, arch: arm64, memory_total_bytes: 1GiB}]"),
         "-f",
         kModel},
        kExitError,
        "os is \"beos\", must be linux, darwin or windows");
  fails({"--fleet",
         scratch.write("c.yaml", "workers: [{name: a, os: linux, arch: arm64, memory_total_bytes: lots}]"),
         "-f",
         kModel},
        kExitError,
        "memory_total_bytes");
  fails({"--fleet", kFleet, "-f", scratch.write("d.yaml", "name: x\nreplicas: 0\n")}, kExitError, "replicas");
  fails({"--fleet", kFleet, "-f", scratch.write("e.yaml", "name: x\nfacts_from: {gguf: e.yaml}\n")},
        kExitError,
        "e.yaml");
  fails({"--fleet", kFleet, "tests/data/metadata/none.gguf"}, kExitNotFound, "does not exist");
}

TEST_CASE("a GGUF header without data needs to be asked for") {
  const std::string model = "tests/data/metadata/qwen3-32b.gguf";
  const auto refused = invoke({"check", "--fleet", kFleet, model});
  CHECK(refused.status == kExitError);
  CHECK(holds(refused.err, "--metadata-only"));
  const auto taken = invoke({"check", "--fleet", kFleet, model, "--metadata-only"});
  CHECK(taken.status == kExitOk);
  CHECK(holds(taken.out, "fits"));
}

TEST_CASE("a scenario that is not met exits 1 and says what differs") {
  const auto good = invoke({"check", "--scenario", "tests/scenarios/seed/auto.yaml"});
  CHECK(good.status == kExitOk);
  CHECK(holds(good.err, "as expected"));
  const Scratch scratch;
  auto text = read_text_file("tests/scenarios/rules/cordoned.yaml");
  REQUIRE(text);
  text->replace(text->find("does_not_fit"), 12, "fits");
  text->replace(text->find("../../data"), 10, std::filesystem::absolute("tests/data").string());
  const auto bad = invoke({"check", "--scenario", scratch.write("turned.yaml", *text)});
  CHECK(bad.status == kExitError);
  CHECK(holds(bad.err, "differs: verdict: expected fits, got does_not_fit"));
}

TEST_CASE("every verdict has its exit status") {
  fleet::Decision d;
  const auto status = [&](fleet::Verdict verdict, std::uint32_t count) {
    d.verdict = verdict;
    d.fit_count = count;
    return exit_code(d);
  };
  CHECK(status(fleet::Verdict::kFits, 2) == 0);
  CHECK(status(fleet::Verdict::kFitsAfter, 0) == 9);
  CHECK(status(fleet::Verdict::kUnknown, 0) == 10);
  CHECK(status(fleet::Verdict::kDoesNotFit, 0) == 8);
  CHECK(status(fleet::Verdict::kDoesNotFit, 1) == 11);
}

TEST_CASE("a device is explained: its sums, who holds it, and the answer for it alone") {
  const Scratch scratch;
  const std::string fleet = scratch.write(
      "fleet.yaml",
      "workers:\n"
      "  - {name: w1, os: linux, arch: amd64, memory_total_bytes: 64 GiB, reserved_device_memory_bytes: 1 GiB,\n"
      "     devices: [{id: gpu-0, name: Card, vendor: nvidia, framework: cuda, runtime_version: \"12.8\",\n"
      "                driver_version: \"570.1\", compute_capability: \"8.9\", memory_total_bytes: 24 GiB}]}\n"
      "occupants:\n"
      "  w1: [{kind: instance, id: chat-0, deployment: chat, running: true,\n"
      "        claim: {devices: [{device: gpu-0, bytes: 8 GiB}]}}]\n");
  const auto explain = [&](const std::string& device, const std::string& form = "text") {
    return invoke({"check", "qwen3-0.6b", "--fleet", fleet, "--explain", device, "-o", form});
  };
  const auto got = explain("w1/gpu-0");
  CHECK_MESSAGE(got.status == kExitOk, got.err);
  CHECK(holds(got.out, "w1/gpu-0: Card\n"));
  CHECK(holds(got.out, "- claimed          8.00 GiB"));
  CHECK(holds(got.out, "= allocatable     15.00 GiB"));
  CHECK(holds(got.out, "chat-0 (of chat): claims 8.00 GiB"));
  CHECK(holds(got.out, "gpu-0: claim "));
  const auto json = explain("w1/gpu-0", "json");
  CHECK(holds(json.out, "\"allocatable\": 16106127360"));
  const auto wrong = explain("w1/gpu-1");
  CHECK(wrong.status == kExitError);
  CHECK(holds(wrong.err,
              "--explain names \"w1/gpu-1\", which this fleet does not have; did you mean w1/gpu-0?; it has w1/gpu-0"));
}
