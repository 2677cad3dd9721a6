// Every type of the wire: what is written is read again, and the written form is frozen in tests/data/wire.

#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/testing.h"
#include "engines/catalog.h"
#include "fleet/decision.h"
#include "fleet/objects.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"
#include "wire/files.h"
#include "wire/json.h"
#include "wire/messages.h"
#include "wire/model_catalog.h"
#include "wire/testing.h"
#include "wire/yaml.h"

namespace berth::wire {
namespace {

constexpr std::uint64_t kSeeds = 60;

/// A type by its table, and room for values of it: the checks are compiled once for all types.
struct Value {
  const codec::Type* type = nullptr;
  std::shared_ptr<void> at;

  [[nodiscard]] std::string json() const { return codec::encode_text(*type, at.get()); }
  [[nodiscard]] std::string pretty() const { return codec::encode_pretty(*type, at.get()) + "\n"; }
};

struct Subject {
  const char* name = "";
  const codec::Type* type = nullptr;
  std::shared_ptr<void> (*make)() = nullptr;

  [[nodiscard]] Value empty() const { return {type, make()}; }
  [[nodiscard]] Value filled(testing::Source& source) const {
    Value value = empty();
    testing::fill(*type, value.at.get(), source, "value");
    return value;
  }
};

template <class T>
Subject subject(const char* name) {
  return {name, &codec::kTypeOf<T>, [] { return std::shared_ptr<void>(std::make_shared<T>()); }};
}

Value read_back(const Subject& subject, std::string_view json, Strictness strictness) {
  Value back = subject.empty();
  const auto done = codec::decode_json(*subject.type, back.at.get(), json, strictness);
  REQUIRE_MESSAGE(done.has_value(), done.error().message);
  return back;
}

void check_random(const Subject& subject) {
  CAPTURE(subject.name);
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(kSeeds); ++seed) {
    testing::RandomSource source(seed);
    const std::string json = subject.filled(source).json();
    CAPTURE(seed);
    const Value back = read_back(subject, json, Strictness::kStrict);
    CHECK(back.json() == json);
    CHECK(read_back(subject, back.pretty(), Strictness::kLenient).json() == json);
    const auto through_yaml = json_to_yaml(json);
    REQUIRE(through_yaml.has_value());
  }
}

/// BERTH_UPDATE_GOLDEN=1 rewrites the files: only together with a migration of what is stored.
void check_golden(const Subject& subject) {
  CAPTURE(subject.name);
  const std::string path = std::string("tests/data/wire/") + subject.name + ".json";
  testing::FixedSource source;
  const std::string now = subject.filled(source).pretty();
  if (std::getenv("BERTH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << now;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  CHECK(golden.str() == now);
  CHECK(read_back(subject, golden.str(), Strictness::kStrict).pretty() == golden.str());
}

/// Random values as YAML: strict reading gives the same value, whatever the texts look like.
void check_yaml(const Subject& subject) {
  CAPTURE(subject.name);
  for (std::uint64_t seed = 1; seed <= berth::testing::rounds(kSeeds); ++seed) {
    testing::RandomSource source(seed);
    const std::string json = subject.filled(source).json();
    const auto yaml = json_to_yaml(json);
    REQUIRE(yaml.has_value());
    CAPTURE(seed);
    CAPTURE(*yaml);
    Value back = subject.empty();
    const auto done = codec::decode_yaml(*subject.type, back.at.get(), *yaml, Strictness::kStrict);
    REQUIRE_MESSAGE(done.has_value(), done.error().message);
    CHECK(back.json() == json);
    CHECK(yaml_to_json(*yaml) == json);
    CHECK(json_to_yaml(back.json()) == *yaml);
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
  X(engines::Engine, engine)
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
#define FILE_TYPES(X)                   \
  X(FleetFile, fleet_file)              \
  X(DeploymentFile, deployment_file)    \
  X(ScenarioFile, scenario_file)        \
  X(fleet::CatalogModel, catalog_model) \
  X(ModelCatalogFile, model_catalog_file)

#define SUBJECT(T, name) subject<T>(#name),

void check_all(std::initializer_list<Subject> subjects) {
  for (const Subject& subject : subjects) {
    check_random(subject);
    check_golden(subject);
  }
}

TEST_CASE("fleet types are read as they were written, in the frozen form") { check_all({FLEET_TYPES(SUBJECT)}); }

TEST_CASE("decision and catalog types are read as they were written, in the frozen form") {
  check_all({DECISION_TYPES(SUBJECT)});
}

TEST_CASE("stored objects are read as they were written, in the frozen form") { check_all({OBJECT_TYPES(SUBJECT)}); }

TEST_CASE("messages are read as they were written, in the frozen form") { check_all({MESSAGE_TYPES(SUBJECT)}); }

TEST_CASE("files of people are read as they were written, in the frozen form") { check_all({FILE_TYPES(SUBJECT)}); }

TEST_CASE("what is written as YAML is read again, whatever the texts look like") {
  for (const Subject& subject : {FILE_TYPES(SUBJECT) SUBJECT(fleet::Worker, worker) SUBJECT(fleet::Request, request)
                                     SUBJECT(fleet::Policy, policy) SUBJECT(engines::Engine, engine)}) {
    check_yaml(subject);
  }
}

}  // namespace
}  // namespace berth::wire
