#pragma once
// The JSON documents of the management API (docs/api.md). Instantiated in documents.cpp.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/auth.h"
#include "base/describe.h"
#include "base/time.h"
#include "fleet/decision.h"
#include "fleet/objects.h"
#include "fleet/snapshot.h"
#include "reconcile/reconciler.h"
#include "wire/rules.h"

namespace berth::api {

struct WorkerPublicSpec {
  std::map<std::string, std::string> labels;
  bool cordoned = false;
};
DESCRIBE(WorkerPublicSpec, labels, cordoned);

struct WorkerCapacity {
  std::map<std::string, fleet::DeviceCapacity> devices;
  fleet::DeviceCapacity memory;
  std::vector<fleet::LostClaim> lost;  // claims on devices that the worker does not report
};
DESCRIBE(WorkerCapacity, devices, memory, lost);

struct WorkerPublicStatus {
  fleet::Worker worker;
  WorkerCapacity capacity;
  bool connected = false;
  std::string version;
  std::string reason;
};
DESCRIBE(WorkerPublicStatus, worker, capacity, connected, version, reason);

struct WorkerDoc {
  std::string id;
  std::string name;
  std::uint64_t revision = 0;
  std::uint64_t generation = 0;
  Time created_at{};
  bool deleting = false;
  WorkerPublicSpec spec;
  WorkerPublicStatus status;
};
DESCRIBE(WorkerDoc, id, name, revision, generation, created_at, deleting, spec, status);

struct DeploymentDoc {
  std::string id;
  std::string name;
  std::uint64_t revision = 0;
  std::uint64_t generation = 0;
  Time created_at{};
  bool deleting = false;
  fleet::DeploymentSpec spec;
  fleet::DeploymentStatus status;
};
DESCRIBE(DeploymentDoc, id, name, revision, generation, created_at, deleting, spec, status);

struct InstanceDoc {
  std::string id;
  std::string name;
  std::uint64_t revision = 0;
  std::uint64_t generation = 0;
  Time created_at{};
  bool deleting = false;
  fleet::InstanceSpec spec;
  fleet::InstanceStatus status;
};
DESCRIBE(InstanceDoc, id, name, revision, generation, created_at, deleting, spec, status);

struct DeviceDoc {
  std::string worker;
  fleet::Device device;
  fleet::DeviceCapacity capacity;
  bool simulated = false;
};
DESCRIBE(DeviceDoc, worker, device, capacity, simulated);

template <class T>
struct List {
  std::vector<T> items;
};
DESCRIBE(List<WorkerDoc>, items);
DESCRIBE(List<DeploymentDoc>, items);
DESCRIBE(List<InstanceDoc>, items);
DESCRIBE(List<DeviceDoc>, items);
DESCRIBE(List<KeyLine>, items);

struct NewDeployment {
  std::string name;
  fleet::DeploymentSpec spec;
};
DESCRIBE(NewDeployment, name, spec);
constexpr wire::FieldRules field_rules(wire::Tag<NewDeployment>) { return {{"name", "spec"}}; }

struct EditDeployment {
  fleet::DeploymentSpec spec;
};
DESCRIBE(EditDeployment, spec);
constexpr wire::FieldRules field_rules(wire::Tag<EditDeployment>) { return {{"spec"}}; }

struct DecisionAnswer {
  fleet::Decision decision;
  std::vector<fleet::Fix> fixes;
};
DESCRIBE(DecisionAnswer, decision, fixes);

struct NewKeyRequest {
  std::string name;
  std::vector<std::string> scopes = {"inference"};
  std::optional<std::uint64_t> expires_in_s;
};
DESCRIBE(NewKeyRequest, name, scopes, expires_in_s);
constexpr wire::FieldRules field_rules(wire::Tag<NewKeyRequest>) { return {{"name"}}; }

struct NewKeyAnswer {
  std::string id;
  std::string name;
  std::string key;
  std::optional<Time> expires_at;
};
DESCRIBE(NewKeyAnswer, id, name, key, expires_at);

struct LoginRequest {
  std::string password;
};
DESCRIBE(LoginRequest, password);
constexpr wire::FieldRules field_rules(wire::Tag<LoginRequest>) { return {{"password"}}; }

struct UsageDoc {
  std::string key_id;
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 0;
};
DESCRIBE(UsageDoc, key_id, model, prompt_tokens, completion_tokens, requests);
DESCRIBE(List<UsageDoc>, items);

struct HealthDoc {
  std::string status;
  std::map<std::string, std::string> checks;
};
DESCRIBE(HealthDoc, status, checks);

struct EventDoc {
  std::uint64_t id = 0;
  std::string object_kind;
  std::string object_id;
  std::string object_name;  // the id when the object is gone
  std::string type;
  std::string reason;
  std::string message;
  Time first_at{};
  Time last_at{};
  std::uint64_t count = 1;
};
DESCRIBE(EventDoc, id, object_kind, object_id, object_name, type, reason, message, first_at, last_at, count);
DESCRIBE(List<EventDoc>, items);

WorkerDoc to_doc(const reconcile::WorkerObject& object, const fleet::FleetSnapshot& snapshot);
DeploymentDoc to_doc(const reconcile::DeploymentObject& object);
InstanceDoc to_doc(const reconcile::InstanceObject& object);

}  // namespace berth::api
