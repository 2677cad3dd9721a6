#pragma once
// The management API's documents as far as commands show them (docs/api.md). Read leniently: a newer server may say
// more.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/describe.h"
#include "base/time.h"
#include "fleet/objects.h"
#include "fleet/snapshot.h"
#include "wire/json.h"

namespace berth::cli {

struct WorkerViewSpec {
  std::map<std::string, std::string> labels;
  bool cordoned = false;
};
DESCRIBE(WorkerViewSpec, labels, cordoned);

struct WorkerViewStatus {
  fleet::Worker worker;
  bool connected = false;
  std::string version;
  std::string reason;
};
DESCRIBE(WorkerViewStatus, worker, connected, version, reason);

struct WorkerView {
  std::string name;
  std::uint64_t revision = 0;
  Time created_at{};
  bool deleting = false;
  WorkerViewSpec spec;
  WorkerViewStatus status;
};
DESCRIBE(WorkerView, name, revision, created_at, deleting, spec, status);

struct DeploymentView {
  std::string id;
  std::string name;
  std::uint64_t revision = 0;
  Time created_at{};
  bool deleting = false;
  fleet::DeploymentSpec spec;
  fleet::DeploymentStatus status;
};
DESCRIBE(DeploymentView, id, name, revision, created_at, deleting, spec, status);

struct InstanceView {
  std::string name;
  Time created_at{};
  bool deleting = false;
  fleet::InstanceSpec spec;
  fleet::InstanceStatus status;
};
DESCRIBE(InstanceView, name, created_at, deleting, spec, status);

struct DeviceView {
  std::string worker;
  fleet::Device device;
  fleet::DeviceCapacity capacity;
  bool simulated = false;
};
DESCRIBE(DeviceView, worker, device, capacity, simulated);

struct KeyView {
  std::string id;
  std::string name;
  std::vector<std::string> scopes;
  std::string prefix;
  std::string owner;
  std::optional<Time> expires_at;
};
DESCRIBE(KeyView, id, name, scopes, prefix, owner, expires_at);

struct UsageView {
  std::string key_id;
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t requests = 0;
};
DESCRIBE(UsageView, key_id, model, prompt_tokens, completion_tokens, requests);

struct EventView {
  std::string object_kind;
  std::string object_id;
  std::string object_name;
  std::string type;
  std::string reason;
  std::string message;
  Time last_at{};
  std::uint64_t count = 1;
};
DESCRIBE(EventView, object_kind, object_id, object_name, type, reason, message, last_at, count);

/// Lists: WorkerView, DeploymentView, InstanceView, DeviceView, KeyView, UsageView, EventView.
template <class T>
struct Items {
  std::vector<T> items;
};
DESCRIBE(Items<WorkerView>, items);
DESCRIBE(Items<DeploymentView>, items);
DESCRIBE(Items<InstanceView>, items);
DESCRIBE(Items<DeviceView>, items);
DESCRIBE(Items<KeyView>, items);
DESCRIBE(Items<UsageView>, items);
DESCRIBE(Items<EventView>, items);

/// What a server of this version answers on the same fleet, where it does not carry out what the policy allows.
struct ServerSays {
  fleet::Verdict verdict = fleet::Verdict::kUnknown;
  std::string summary;
};
DESCRIBE(ServerSays, verdict, summary);

/// Answer of POST /api/v1/decisions, and the shape of `berth check -o json`.
struct DecisionAnswer {
  fleet::Decision decision;
  std::vector<fleet::Fix> fixes;
  std::optional<ServerSays> server_says;       // of an offline check alone, when its verdict is another one
  std::map<std::string, std::string> reasons;  // what the report names → its page in the documentation
};
DESCRIBE(DecisionAnswer, decision, fixes, server_says, reasons);

/// Answer of GET /api/v1/decisions/{id} and of a deployment's decision: the decision is inside or is the whole.
struct DecisionView {
  std::string id;
  std::string deployment;
  Time created_at{};
  fleet::Decision decision;
};
DESCRIBE(DecisionView, id, deployment, created_at, decision);

struct NewDeployment {
  std::string name;
  fleet::DeploymentSpec spec;
};
DESCRIBE(NewDeployment, name, spec);

struct EditDeployment {
  fleet::DeploymentSpec spec;
};
DESCRIBE(EditDeployment, spec);

struct NewKey {
  std::string name;
  std::vector<std::string> scopes;
  std::optional<std::uint64_t> expires_in_s;
};
DESCRIBE(NewKey, name, scopes, expires_in_s);

struct NewKeyAnswer {
  std::string id;
  std::string name;
  std::string key;
  std::optional<Time> expires_at;
};
DESCRIBE(NewKeyAnswer, id, name, key, expires_at);

/// application/problem+json.
struct ProblemItem {
  std::string path;
  std::string message;
};
DESCRIBE(ProblemItem, path, message);

struct Problem {
  std::string title;
  int status = 0;
  std::string detail;
  std::string code;
  std::string request_id;
  std::vector<ProblemItem> errors;
};
DESCRIBE(Problem, title, status, detail, code, request_id, errors);

/// Chat completions, as far as `berth run` writes and reads them.
struct ChatMessage {
  std::string role;
  std::string content;
};
DESCRIBE(ChatMessage, role, content);

struct ChatStreamOptions {
  bool include_usage = true;
};
DESCRIBE(ChatStreamOptions, include_usage);

struct ChatRequest {
  std::string model;
  std::vector<ChatMessage> messages;
  bool stream = true;
  ChatStreamOptions stream_options;
};
DESCRIBE(ChatRequest, model, messages, stream, stream_options);

struct ChatDelta {
  std::optional<std::string> content;
};
DESCRIBE(ChatDelta, content);

struct ChatChoice {
  ChatDelta delta;
};
DESCRIBE(ChatChoice, delta);

struct ChatFailure {
  std::string message;
};
DESCRIBE(ChatFailure, message);

struct ChatUsage {
  std::uint64_t completion_tokens = 0;
};
DESCRIBE(ChatUsage, completion_tokens);

struct ChatChunk {
  std::vector<ChatChoice> choices;
  std::optional<ChatUsage> usage;
  std::optional<ChatFailure> error;
};
DESCRIBE(ChatChunk, choices, usage, error);

}  // namespace berth::cli
