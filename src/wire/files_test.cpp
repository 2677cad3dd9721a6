#include "wire/files.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace berth::wire {
namespace {

constexpr std::string_view kHead = "name: a\nos: linux\narch: amd64\nmemory_total_bytes: 64GiB\n";

std::string profile_error(const std::string& text) {
  const auto worker = read_profile(text);
  return worker ? "no error" : worker.error().message;
}
std::string fleet_error(const std::string& text) {
  const auto file = read_fleet_file(text);
  return file ? "no error" : file.error().message;
}
std::string with_device(std::string_view device) { return fmt::format("{}devices: [{{{}}}]\n", kHead, device); }

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

TEST_CASE("what people leave out of a worker is filled in") {
  const auto w = read_profile(
      "name: rack-1\nos: macOS\narch: aarch64\nmemory_total_bytes: 64GiB\nlabels: {os: mine}\n"
      "devices:\n  - {vendor: Apple, memory_total_bytes: 48GiB}\n  - {vendor: nvidia, index: 7, memory_total_bytes: "
      "1GiB}\n");
  REQUIRE_MESSAGE(w.has_value(), w.error().message);
  CHECK(w->id == "rack-1");
  CHECK(w->os == "darwin");
  CHECK(w->arch == "arm64");
  CHECK(w->simulated);
  CHECK(w->labels == std::map<std::string, std::string>{{"arch", "arm64"}, {"os", "mine"}, {"worker-name", "rack-1"}});
  CHECK(w->devices.at(0).framework == "metal");
  CHECK(w->devices.at(0).id == "metal:0");
  CHECK(w->devices.at(0).name == "apple");
  CHECK(w->devices.at(1).id == "cuda:7");
  CHECK(normalised(*w).value().devices.at(1).id == "cuda:7");
}

TEST_CASE("every vendor of the table has its framework, another needs one") {
  for (const auto& [vendor, framework] : std::map<std::string, std::string>{
           {"amd", "rocm"}, {"ascend", "cann"}, {"mthreads", "musa"}, {"hygon", "dtk"}}) {
    const auto w = read_profile(with_device(fmt::format("vendor: {}, memory_total_bytes: 1", vendor)));
    REQUIRE(w.has_value());
    CHECK(w->devices.at(0).framework == framework);
  }
  CHECK(profile_error(with_device("vendor: acme, memory_total_bytes: 1")) ==
        "worker \"a\": devices[0].framework is missing for vendor \"acme\"");
  CHECK(profile_error(with_device("vendor: acme, framework: acmert, memory_total_bytes: 1")) == "no error");
}

TEST_CASE("a worker that cannot be is refused with field, value and limit") {
  CHECK(profile_error("name: a\nos: beos\narch: amd64\nmemory_total_bytes: 1\n") ==
        "worker \"a\": os is \"beos\", must be linux, darwin or windows");
  CHECK(profile_error("name: a\nos: linux\narch: amd64\nmemory_total_bytes: 0\n") ==
        "worker \"a\": memory_total_bytes is 0, must be > 0");
  CHECK(profile_error("name: a\nos: linux\narch: amd64\nmemory_total_bytes: -1\n") ==
        "line 4: $.memory_total_bytes must be an integer from 0 to 9007199254740991, got -1");
  CHECK(profile_error("name: a\nos: linux\narch: amd64\nmemory_total_bytes: 5\nmemory_used_bytes: 6\n") ==
        "worker \"a\": memory_used_bytes is 6, must be at most memory_total_bytes, 5");
  CHECK(profile_error("name: A b\nos: linux\narch: amd64\nmemory_total_bytes: 5\n") ==
        "worker \"A b\": name must be 1 to 63 of a-z, 0-9, '-', '.', '_', starting with a letter or digit");
  CHECK(profile_error("name: a\nos: linux\nmemory_total_bytes: 5\n") == "line 1: $.arch is missing");
  CHECK(profile_error(with_device("vendor: nvidia, memory_total_bytes: 0")) ==
        "worker \"a\": devices[0].memory_total_bytes is 0, must be > 0");
  CHECK(profile_error(with_device("vendor: nvidia, memory_total_bytes: 5, index: -1")) ==
        "worker \"a\": devices[0].index is -1, must be 0 or more");
  CHECK(profile_error(with_device("vendor: nvidia, id: a/b, memory_total_bytes: 5")) ==
        "worker \"a\": devices[0].id \"a/b\" must not hold '/'");
  CHECK(profile_error(with_device("vendor: nvidia, id: x, memory_total_bytes: 5}, "
                                  "{vendor: nvidia, id: x, memory_total_bytes: 5")) ==
        "worker \"a\": devices[0] and devices[1] have the same id \"x\"");
}

TEST_CASE("names and ids are unique in a fleet file, occupants sit on known workers") {
  const std::string one = "{name: a, os: linux, arch: amd64, memory_total_bytes: 1}";
  CHECK(fleet_error("workers:\n  - " + one + "\n  - " + one + "\n") ==
        "worker \"a\": two workers of one cluster have this name");
  CHECK(
      fleet_error("workers:\n  - " + one + "\n  - {name: b, id: a, os: linux, arch: amd64, memory_total_bytes: 1}\n") ==
      "worker \"b\": another worker has the id \"a\" too");
  CHECK(fleet_error("workers:\n  - " + one + "\noccupants: {c: []}\n") == "occupants: there is no worker \"c\"");
}

TEST_CASE("a fleet file becomes a snapshot that says what it does not carry") {
  const auto file = read_fleet_file("workers:\n  - {name: a, os: linux, arch: amd64, memory_total_bytes: 1GiB}\n");
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  const auto snapshot = to_snapshot(*file);
  REQUIRE(snapshot.has_value());
  CHECK(snapshot->size() == 1);
  for (const auto* input : {"engines", "disk", "runtime_version", "driver_version", "compute_capability"})
    CHECK_FALSE(snapshot->carries(input));
  CHECK(snapshot->carries("os"));
}

TEST_CASE("what one worker tells is no reason to ask it of another") {
  const auto bare = read_fleet_file(
      "workers:\n  - {name: a, os: linux, arch: amd64, memory_total_bytes: 1GiB, devices: [{vendor: nvidia, "
      "memory_total_bytes: 1GiB}]}\n");
  REQUIRE_MESSAGE(bare.has_value(), bare.error().message);
  auto more = *bare;
  more.workers.push_back(more.workers[0]);
  more.workers[1].name = more.workers[1].id = "z";
  more.workers[1].state = fleet::WorkerState::kNotReady;
  more.workers[1].engines.emplace();
  more.workers[1].disk_free_bytes = 0;
  auto& device = more.workers[1].devices[0];
  device.runtime_version = device.driver_version = device.compute_capability = "12.4";
  CHECK(to_snapshot(more).value().not_carried() == to_snapshot(*bare).value().not_carried());
}

TEST_CASE("the order of devices that have ids says nothing, and an index that is given stays") {
  const auto hash_of = [](const std::string& devices) {
    const auto file = read_fleet_file(fmt::format(
        "workers:\n  - {{name: a, os: linux, arch: amd64, memory_total_bytes: 1GiB, devices: [{}]}}\n", devices));
    REQUIRE_MESSAGE(file.has_value(), file.error().message);
    return to_snapshot(*file).value().hash();
  };
  const std::string x = "{id: x, vendor: nvidia, memory_total_bytes: 1GiB}";
  const std::string y = "{id: y, vendor: nvidia, memory_total_bytes: 2GiB}";
  CHECK(hash_of(x + ", " + y) == hash_of(y + ", " + x));
  const std::string zero = "{index: 0, vendor: nvidia, memory_total_bytes: 1GiB}";
  const std::string one = "{index: 1, vendor: nvidia, memory_total_bytes: 2GiB}";
  CHECK(hash_of(zero + ", " + one) == hash_of(one + ", " + zero));
  const auto w = read_profile(std::string(kHead) + "devices: [" + one + ", " + zero + "]\n");
  REQUIRE_MESSAGE(w.has_value(), w.error().message);
  CHECK(w->devices[0].index == 1);
  CHECK(w->devices[0].id == "cuda:1");
  CHECK(w->devices[1].index == 0);
  CHECK(w->devices[1].id == "cuda:0");
}

TEST_CASE("occupants sit on their worker and its devices, each once") {
  const auto error = [](const std::string& occupants) {
    return fleet_error(
        "workers:\n  - {name: a, os: linux, arch: amd64, memory_total_bytes: 1GiB, devices: [{id: g0, vendor: nvidia, "
        "memory_total_bytes: 1GiB}]}\noccupants:\n  a: [" +
        occupants + "]\n");
  };
  CHECK(error("{id: i, claim: {devices: [{device: g0, bytes: 1}]}}") == "no error");
  CHECK(error("{id: i, claim: {worker: a, memory_bytes: 1}}") == "no error");
  CHECK(error("{id: i, claim: {devices: [{device: typo, bytes: 1}]}}") ==
        "occupants.a[0].claim.devices: the worker has no device \"typo\", it has g0");
  CHECK(error("{id: i, observed: [{device: typo, bytes: 1}]}") ==
        "occupants.a[0].observed: the worker has no device \"typo\", it has g0");
  CHECK(error("{id: i, claim: {devices: [{device: g0, bytes: 1}, {device: g0, bytes: 1}]}}") ==
        "occupants.a[0].claim.devices names device \"g0\" twice");
  CHECK(error("{id: i, claim: {worker: b}}") == "occupants.a[0].claim.worker is \"b\", must be \"a\" or left out");
  CHECK(error("{id: i}, {id: i}") == "occupants.a[1].id is \"i\", which another one has too");
  CHECK(error("{kind: foreign}") == "occupants.a[0].id is missing");
}

TEST_CASE("architectures and versions are checked, by vendor where vendors differ") {
  const auto arch = [](const std::string& name) {
    return profile_error("name: a\nos: linux\narch: " + name + "\nmemory_total_bytes: 1\n");
  };
  CHECK(arch("X86_64") == "no error");
  CHECK(arch("aarch64") == "no error");
  CHECK(arch("riscv64") == "worker \"a\": arch is \"riscv64\", must be amd64 (x86_64) or arm64 (aarch64)");
  const auto nvidia = [](const std::string& more) {
    return profile_error(with_device("vendor: nvidia, memory_total_bytes: 1, " + more));
  };
  CHECK(nvidia("runtime_version: 12.4, driver_version: 550.54.15, compute_capability: 8.9") == "no error");
  CHECK(nvidia("runtime_version: banana") ==
        "worker \"a\": devices[0].runtime_version is \"banana\", must be numbers with dots like 12.4");
  CHECK(nvidia("driver_version: 12..4") ==
        "worker \"a\": devices[0].driver_version is \"12..4\", must be numbers with dots like 12.4");
  CHECK(nvidia("compute_capability: sm_90") ==
        "worker \"a\": devices[0].compute_capability is \"sm_90\", must be numbers with a dot like 8.9");
  const auto ascend = [](const std::string& more) {
    return profile_error(with_device("vendor: ascend, memory_total_bytes: 1, " + more));
  };
  CHECK(ascend("runtime_version: 8.0.RC3, compute_capability: 910b3") == "no error");
  CHECK(ascend("driver_version: new") ==
        "worker \"a\": devices[0].driver_version is \"new\", must be a version that "
        "begins with a number, like 12.4");
}

TEST_CASE("no text of a file can steer a terminal") {
  CHECK(profile_error(with_device(R"(vendor: nvidia, memory_total_bytes: 1, name: "NV\e[31m")")) ==
        "$.devices[0].name is \"NV\\x1b[31m\", which has a control character");
  CHECK(profile_error(std::string(kHead) + R"(labels: {"a\e": b})" + "\n") ==
        "$.labels has the key \"a\\x1b\", which has a control character");
  CHECK(fleet_error(R"({"workers": [], "not_carried": ["\u001b"]})") ==
        "$.not_carried holds \"\\x1b\", which has a control character");
  const auto deployment = read_deployment_file(R"({"name": "m", "restriction": {"devices": ["a/\u001b"]}})");
  REQUIRE_FALSE(deployment.has_value());
  CHECK(deployment.error().message == "$.restriction.devices[0] is \"a/\\x1b\", which has a control character");
}

TEST_CASE("a deployment's name is a name") {
  const auto none = [](const FactsFrom&) -> Result<fleet::ModelFacts> { return invalid("not asked"); };
  for (const std::string& name : {std::string("A b"), std::string("-x"), std::string(64, 'a')}) {
    DeploymentFile file;
    file.name = name;
    const auto request = to_request(file, none);
    REQUIRE_FALSE(request.has_value());
    CHECK(request.error().message ==
          fmt::format("name is \"{}\", must be 1 to 63 of a-z, 0-9, '-', '.', '_', starting with a letter or digit",
                      name));
  }
}

TEST_CASE("a deployment file becomes a canonical request, facts come from one place") {
  const auto file = read_deployment_file(
      "name: m\nreplicas: 2\nfacts_from: {gguf: m.gguf, metadata_only: true}\n"
      "variants:\n  - {name: q4, facts: {name: given}}\n  - {name: q8}\n");
  REQUIRE_MESSAGE(file.has_value(), file.error().message);
  std::vector<std::string> asked;
  const auto read = [&](const FactsFrom& from) -> Result<fleet::ModelFacts> {
    asked.push_back(from.gguf);
    fleet::ModelFacts facts;
    facts.name = "read";
    return facts;
  };
  const auto request = to_request(*file, read);
  REQUIRE_MESSAGE(request.has_value(), request.error().message);
  CHECK(request->deployment == "m");
  CHECK(request->model == "m");
  CHECK(request->replicas == 2);
  CHECK(request->facts.value().name == "read");
  REQUIRE(request->variants.size() == 2);
  CHECK(request->variants[0].facts.value().name == "given");
  CHECK_FALSE(request->variants[1].facts.has_value());
  CHECK(asked == std::vector<std::string>{"m.gguf"});

  auto both = *file;
  both.facts.emplace();
  CHECK(to_request(both, read).error().message == "request: give facts or facts_from, not both");
  const auto broken = [](const FactsFrom&) -> Result<fleet::ModelFacts> { return invalid("no such file"); };
  CHECK(to_request(*file, broken).error().message == "request.facts_from: no such file");
  CHECK(read_deployment_file("replicas: 2\n").error().message == "line 1: $.name is missing");
}

TEST_CASE("the examples and every scenario are read") {
  namespace fs = std::filesystem;
  std::size_t scenarios = 0;
  for (const auto& entry : fs::recursive_directory_iterator("tests/scenarios")) {
    if (entry.path().extension() != ".yaml") continue;
    ++scenarios;
    const auto file = read_scenario_file(text_of(entry.path()));
    CHECK_MESSAGE(file.has_value(), entry.path().string() << ": " << (file ? "" : file.error().message));
    if (file) CHECK(to_snapshot(file->fleet).has_value());
  }
  CHECK(scenarios > 0);
  CHECK(read_fleet_file(text_of("examples/seed/fleet.yaml")).has_value());
  CHECK(read_profile(text_of("examples/seed/linux-gpu-01.yaml")).has_value());
  CHECK(read_deployment_file(text_of("examples/seed/deployment.yaml")).has_value());
}

}  // namespace
}  // namespace berth::wire
