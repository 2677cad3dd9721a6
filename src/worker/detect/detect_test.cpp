#include "worker/detect/detect.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

namespace {

engines::Engine engine(const std::string& id, std::vector<std::string> programs) {
  engines::Engine made;
  made.id = id;
  made.recipe.programs = std::move(programs);
  return made;
}

const std::string kUser = ::geteuid() == 0 ? "nobody" : "";

}  // namespace

TEST_CASE("programs are found on the path first, then among the launchers, and only when executable") {
  const testing::Folder folder;
  folder.write("bin/llama-server", "#!/bin/sh\necho 'version: 11434 (abc)'\n", 0755);
  folder.write("launchers/llama-server", "#!/bin/sh\n", 0755);
  folder.write("launchers/vllm", "#!/bin/sh\necho vllm 0.9.1\n", 0755);
  folder.write("bin/sglang", "not executable", 0644);
  const EngineSearch search{.path = "relative:" + folder.path("bin"), .launcher_dirs = {folder.path("launchers")}};
  const auto llama = find_engine(engine("llama.cpp", {"no-such", "llama-server"}), search);
  REQUIRE(llama.has_value());
  CHECK(llama->program == folder.path("bin/llama-server"));
  CHECK(find_engine(engine("vllm", {"vllm"}), search)->program == folder.path("launchers/vllm"));
  const auto missing = find_engine(engine("sglang", {"sglang", "../bin/llama-server"}), search);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::kNotFound);
  CHECK(missing.error().message.find("looked for sglang") != std::string::npos);
}

TEST_CASE("engines are listed with their version, or without one when they do not tell") {
  const testing::Folder folder;
  folder.write("bin/llama-server", "#!/bin/sh\necho 'version: 11434 (abc)' >&2\n", 0755);
  folder.write("bin/vllm", "#!/bin/sh\necho 'version: unknown'; exit 3\n", 0755);
  folder.write("custom", "#!/bin/sh\necho \"$1 $2\" | tail -n 1\n", 0755);
  EngineSearch search{.path = folder.path("bin")};
  search.commands["custom"] = {folder.path("custom"), "v2.5"};
  search.commands["broken"] = {folder.path("none")};
  const engines::EngineCatalog catalog({engine("llama.cpp", {"llama-server"}),
                                        engine("vllm", {"vllm"}),
                                        engine("absent", {"absent"}),
                                        engine("custom", {"x"}),
                                        engine("broken", {"x"})});
  const InstalledEngines found = detect_engines(catalog, search, kUser);
  REQUIRE(found.engines.size() == 3);
  CHECK(found.engines[0].engine == "llama.cpp");
  CHECK(found.engines[0].version == "11434");
  CHECK(found.engines[1].engine == "vllm");
  CHECK(found.engines[1].version.empty());
  CHECK(found.engines[2].engine == "custom");
  REQUIRE(found.notes.size() == 1);
  CHECK(found.notes[0].find("broken") != std::string::npos);
}

TEST_CASE("versions are read out of what engines print") {
  CHECK(version_in("version: 11434 (abc123)\nbuilt with clang") == "11434");
  CHECK(version_in("ggml_init: found 1 device\nversion: 5 (x)") == "5");
  CHECK(version_in("vllm 0.9.1") == "0.9.1");
  CHECK(version_in("v0.6.3.post1\n") == "0.6.3.post1");
  CHECK_FALSE(version_in("version: unknown (unknown)").has_value());
  CHECK_FALSE(version_in("usage: x [-h] 12 things").has_value());
  CHECK_FALSE(version_in("").has_value());
}

TEST_CASE("detection of this machine brings notes instead of failing without a driver") {
  const auto detection =
      detect({.nvidia = {.library = "libberth-no-such-library.so"}, .engine_user = kUser}, engines::EngineCatalog{});
  REQUIRE(detection.has_value());
  CHECK(detection->worker.devices.empty());
  REQUIRE(detection->worker.engines.has_value());
  CHECK(detection->notes.size() == 1);
}

TEST_CASE("the observer tells memory and disk again and again") {
  const auto observer = make_observer({.model_dir = "/tmp"}, {.library = "libberth-no-such-library.so"});
  for (int i = 0; i < 2; ++i) {
    const auto usage = observer->look();
    REQUIRE(usage.has_value());
    CHECK(usage->memory_available_bytes.value > 0);
    CHECK(usage->disk_free_bytes.has_value());
  }
}
