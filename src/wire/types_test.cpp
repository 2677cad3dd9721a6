// Every type of the wire: what is written is read again, and the written form is frozen in tests/data/wire.

#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <sstream>

#include "engines/catalog.h"
#include "fleet/decision.h"
#include "fleet/objects.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"
#include "wire/files.h"
#include "wire/json.h"
#include "wire/messages.h"
#include "wire/testing.h"
#include "wire/yaml.h"

namespace berth::wire {
namespace {

constexpr std::uint64_t kSeeds = 60;

template <class T>
void check_random(const char* name) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    testing::RandomSource source(seed);
    const std::string json = to_json(testing::filled<T>(source));
    CAPTURE(name);
    CAPTURE(seed);
    const auto back = from_json<T>(json, Strictness::kStrict);
    REQUIRE_MESSAGE(back.has_value(), back.error().message);
    CHECK(to_json(*back) == json);
    const auto again = from_json<T>(to_json_pretty(*back), Strictness::kLenient);
    REQUIRE_MESSAGE(again.has_value(), again.error().message);
    CHECK(to_json(*again) == json);
    const auto through_yaml = json_to_yaml(json);
    REQUIRE(through_yaml.has_value());
  }
}

/// BERTH_UPDATE_GOLDEN=1 rewrites the files: only together with a migration of what is stored.
template <class T>
void check_golden(const char* name) {
  const std::string path = std::string("tests/data/wire/") + name + ".json";
  testing::FixedSource source;
  const std::string now = to_json_pretty(testing::filled<T>(source)) + "\n";
  if (std::getenv("BERTH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << now;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  CAPTURE(name);
  CHECK(golden.str() == now);
  const auto back = from_json<T>(golden.str(), Strictness::kStrict);
  REQUIRE_MESSAGE(back.has_value(), back.error().message);
  CHECK(to_json_pretty(*back) + "\n" == golden.str());
}

/// Random values as YAML: strict reading gives the same value, whatever the texts look like.
template <class T>
void check_yaml(const char* name) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    testing::RandomSource source(seed);
    const T value = testing::filled<T>(source);
    CAPTURE(name);
    CAPTURE(seed);
    const std::string yaml = to_yaml(value);
    CAPTURE(yaml);
    const auto back = from_yaml<T>(yaml, Strictness::kStrict);
    REQUIRE_MESSAGE(back.has_value(), back.error().message);
    CHECK(to_json(*back) == to_json(value));
    CHECK(yaml_to_json(yaml) == to_json(value));
    CHECK(to_yaml(*back) == yaml);
  }
}

// Each X is (type, name of the golden file).
#define FLEET_TYPES(X)                      \
  X(fleet::Device, device)                  \
  X(fleet::Worker, worker)                  \
  X(fleet::EngineInstall, engine_install)   \
  X(fleet::DeviceClaim, device_claim)       \
  X(fleet::Claim, claim)                    \
  X(fleet::Occupant, occupant)              \
  X(fleet::DeviceCapacity, device_capacity) \
  X(fleet::ModelFacts, model_facts)         \
  X(fleet::ModelSource, model_source)       \
  X(fleet::Variant, variant)                \
  X(fleet::Settings, settings)              \
  X(fleet::Restriction, restriction)        \
  X(fleet::Request, request)                \
  X(fleet::Policy, policy)
#define DECISION_TYPES(X)              \
  X(fleet::Plan, plan)                 \
  X(fleet::Report, report)             \
  X(fleet::Decision, decision)         \
  X(fleet::Verification, verification) \
  X(fleet::Fix, fix)                   \
  X(fleet::FixBudget, fix_budget)      \
  X(engines::Engine, engine)           \
  X(engines::EngineCatalog, engine_catalog)
#define OBJECT_TYPES(X)                         \
  X(fleet::DeploymentSpec, deployment_spec)     \
  X(fleet::DeploymentStatus, deployment_status) \
  X(fleet::InstanceSpec, instance_spec)         \
  X(fleet::InstanceStatus, instance_status)     \
  X(fleet::WorkerSpec, worker_spec)             \
  X(fleet::WorkerStatus, worker_status)         \
  X(fleet::ApiKeySpec, api_key_spec)
#define MESSAGE_TYPES(X)               \
  X(Hello, hello)                      \
  X(Welcome, welcome)                  \
  X(InstanceReport, instance_report)   \
  X(Inventory, inventory)              \
  X(Heartbeat, heartbeat)              \
  X(DesiredInstance, desired_instance) \
  X(Desired, desired)                  \
  X(LogRequest, log_request)           \
  X(LogChunk, log_chunk)               \
  X(OpenData, open_data)               \
  X(Refused, refused)
#define FILE_TYPES(X)                \
  X(FleetFile, fleet_file)           \
  X(DeploymentFile, deployment_file) \
  X(ScenarioFile, scenario_file)

#define CHECK_BOTH(T, name) \
  check_random<T>(#name);   \
  check_golden<T>(#name);
#define CHECK_YAML(T, name) check_yaml<T>(#name);

TEST_CASE("fleet types are read as they were written, in the frozen form"){
    FLEET_TYPES(CHECK_BOTH)} TEST_CASE("decision and catalog types are read as they were written, in the frozen form"){
    DECISION_TYPES(CHECK_BOTH)} TEST_CASE("stored objects are read as they were written, in the frozen form"){
    OBJECT_TYPES(CHECK_BOTH)} TEST_CASE("messages are read as they were written, in the frozen form"){
    MESSAGE_TYPES(CHECK_BOTH)} TEST_CASE("files of people are read as they were written, in the frozen form"){
    FILE_TYPES(CHECK_BOTH)}

TEST_CASE("what is written as YAML is read again, whatever the texts look like") {
  FILE_TYPES(CHECK_YAML)
  CHECK_YAML(fleet::Worker, worker)
  CHECK_YAML(fleet::Request, request)
  CHECK_YAML(fleet::Policy, policy)
  CHECK_YAML(engines::Engine, engine)
}

}  // namespace
}  // namespace berth::wire
