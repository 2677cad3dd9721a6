#pragma once
// Objects that the server keeps: spec (what is wanted) and status (what is). Envelope (id, name, revision, generation)
// lives in the store; these are its `spec` and `status` documents.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/time.h"
#include "fleet/decision.h"
#include "fleet/device.h"
#include "fleet/request.h"

namespace berth::fleet {

/// A waiting state always tells for what, since when and what comes next (DESIGN §4).
struct Waiting {
  std::string text;  // "waiting for the engine to answer its first request"
  Time since{};
  std::optional<Time> next_at;
  std::string next;  // "restart the engine"
};
DESCRIBE(Waiting, text, since, next_at, next);

/// Spec of a deployment: the request itself, so that what is stored is what was decided.
struct DeploymentSpec {
  Request request;
  std::string route;  // public model name; the deployment's name when empty
};
DESCRIBE(DeploymentSpec, request, route);

struct DeploymentStatus {
  std::optional<Verdict> verdict;
  std::uint32_t fit_count = 0;
  std::uint32_t ready_replicas = 0;
  std::string summary;      // of the last decision
  std::string decision_id;  // GET /api/v1/decisions/{id}
  std::optional<Time> decided_at;
  std::uint64_t decided_revision = 0;  // snapshot revision of the last decision
  std::uint64_t observed_generation = 0;
  std::optional<Waiting> waiting;
};
DESCRIBE(DeploymentStatus,
         verdict,
         fit_count,
         ready_replicas,
         summary,
         decision_id,
         decided_at,
         decided_revision,
         observed_generation,
         waiting);

/// Closed table in controllers/instance_states.h.
enum class InstanceState {
  kScheduled,  // claims are committed; the worker does not know yet
  kPreparing,  // the worker has it: files, engine, checks
  kStarting,   // the process runs, no inference answered yet
  kReady,      // a real inference succeeded
  kFailed,     // exited or refused; restarts after back-off
  kStopping,   // told to stop
  kSimulated,  // on a simulated worker: accepted, nothing runs, never routed
  kUnknown,    // the worker is not ready; may still be serving
};
DESCRIBE_ENUM(InstanceState, kScheduled, kPreparing, kStarting, kReady, kFailed, kStopping, kSimulated, kUnknown)

struct InstanceSpec {
  std::string deployment;  // id
  std::string deployment_name;
  std::uint64_t deployment_generation = 0;
  std::string template_hash;   // of the request without its replica count: equal means nothing to replace
  std::uint32_t replica = 0;   // ordinal, for the name
  std::uint64_t attempt = 1;   // generation of the assignment: newest wins (DESIGN §4)
  std::uint32_t refusals = 0;  // workers in a row that could not start it, before this place was chosen
  std::string task = "generate";
  std::string route;
  Plan plan;
  std::string decision_id;
};
DESCRIBE(InstanceSpec,
         deployment,
         deployment_name,
         deployment_generation,
         template_hash,
         replica,
         attempt,
         refusals,
         task,
         route,
         plan,
         decision_id);

/// Cause of an instance that its worker could not start, for want of room above all: another place is looked for.
constexpr std::string_view kExitRefused = "refused";

struct ExitInfo {
  std::optional<int> status;  // exit status
  std::optional<int> signal;
  std::string cause;    // "out_of_memory", "port_in_use", "model_unreadable", "signal", "exit", kExitRefused
  std::string message;  // last log lines that say why
  Time at{};
};
DESCRIBE(ExitInfo, status, signal, cause, message, at);

struct InstanceStatus {
  InstanceState state = InstanceState::kScheduled;
  std::string message;
  std::optional<Waiting> waiting;
  std::optional<std::uint32_t> port;
  std::optional<std::int64_t> pid;
  std::uint32_t restarts = 0;
  std::optional<ExitInfo> last_exit;
  std::optional<Time> started_at;
  std::optional<Time> ready_at;
  std::vector<DeviceClaim> observed;  // measured device use
  std::optional<Bytes> observed_memory_bytes;
  bool stop = false;  // the controllers want it gone
};
DESCRIBE(InstanceStatus,
         state,
         message,
         waiting,
         port,
         pid,
         restarts,
         last_exit,
         started_at,
         ready_at,
         observed,
         observed_memory_bytes,
         stop);

/// A worker's registration. Hardware figures come with every inventory and are kept as the last report.
struct WorkerSpec {
  std::map<std::string, std::string> labels;  // set by people, over those reported
  bool cordoned = false;
  std::string key_digest;  // HMAC of the per-worker key; never shown
};
DESCRIBE(WorkerSpec, labels, cordoned, key_digest);

struct WorkerStatus {
  Worker last_report;
  std::string version;  // of the agent
  std::optional<Time> joined_at;
  std::optional<Time> inventory_at;  // last full inventory of this join
};
DESCRIBE(WorkerStatus, last_report, version, joined_at, inventory_at);

struct ApiKeySpec {
  std::string owner = "admin";
  std::vector<std::string> scopes;  // "management", "operator", "inference", "join"
  std::string digest;               // HMAC of the key; never shown
  std::string prefix;               // first characters, to recognise it
  std::optional<Time> expires_at;
};
DESCRIBE(ApiKeySpec, owner, scopes, digest, prefix, expires_at);

}  // namespace berth::fleet
