#pragma once
// Decision: the one answer, with every reason and every number (DESIGN §1).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/time.h"
#include "fleet/device.h"
#include "fleet/request.h"

namespace berth::fleet {

enum class Verdict { kFits, kFitsAfter, kUnknown, kDoesNotFit };
DESCRIBE_ENUM(Verdict, kFits, kFitsAfter, kUnknown, kDoesNotFit)

enum class Outcome { kPass, kWarn, kReject, kUnknown, kNotEvaluated };
DESCRIBE_ENUM(Outcome, kPass, kWarn, kReject, kUnknown, kNotEvaluated)

/// Outcome of one rule on one subject. `args` fill the sentence template of `reason` (placement/rules).
struct RuleResult {
  std::string rule;
  Outcome outcome = Outcome::kPass;
  std::string reason;   // finer code where a rule has several, else the rule's name; empty on pass
  std::string because;  // not_evaluated: the rule that hides this one, or "not_carried"
  std::optional<Bytes> needed;
  std::optional<Bytes> available;
  std::map<std::string, std::string> args;
  std::string text;  // the sentence, English
};
DESCRIBE(RuleResult, rule, outcome, reason, because, needed, available, args, text);

/// One term of a memory sum. `device`: id, "host", or "" for "each device of the group". `worker`: name, where a plan
/// has several and the term belongs to one; empty otherwise.
struct MemoryPart {
  std::string name;  // "weights", "kv_cache", "compute", "runtime"
  std::string device;
  Bytes low;
  Bytes expected;
  Bytes high;
  std::string derivation;  // the formula with its numbers
  std::string worker;
};
DESCRIBE(MemoryPart, name, device, low, expected, high, derivation, worker);

struct KeyPart {
  std::string name;
  std::string value;  // the integer, or the id string of the last part
  std::string text;   // what it means
};
DESCRIBE(KeyPart, name, value, text);

/// The part of a plan on one worker.
struct PlanWorker {
  std::string worker;  // id
  std::string worker_name;
  std::string role = "main";
  bool simulated = false;                   // accepts the plan, starts nothing
  std::vector<std::string> devices;         // ids, in the order the engine sees them
  std::vector<std::uint32_t> layers;        // per device, llama.cpp
  std::vector<std::uint32_t> tensor_split;  // integers in proportion, llama.cpp
  Claim claim;
};
DESCRIBE(PlanWorker, worker, worker_name, role, simulated, devices, layers, tensor_split, claim);

/// Everything an engine might choose, pinned.
struct Plan {
  std::string id;  // hash(canonical request, policy, catalog, plan)
  std::string engine;
  std::string engine_version;
  std::string layout;   // "cpu", "single_device", "several_devices", "partial_offload", "tensor_parallel"
  std::string variant;  // empty: the request's own file
  ModelSource source;
  std::vector<PlanWorker> workers;
  std::uint32_t tensor_parallel = 1;
  std::uint32_t pipeline_parallel = 1;
  std::uint32_t data_parallel = 1;
  std::uint32_t expert_parallel = 1;
  std::uint32_t context_parallel = 1;
  std::optional<std::uint32_t> offload_layers;  // layers on devices; output layer included (llama.cpp counts L+1)
  std::optional<std::uint32_t> total_layers;
  Settings settings;                       // complete: nothing that matters is absent
  std::optional<std::uint64_t> kv_tokens;  // KV tokens that the claim leaves, engines that take a share
  std::vector<MemoryPart> memory;
  std::vector<KeyPart> key;
  std::vector<RuleResult> warnings;  // warns and accepted rules, shown wherever the instance is
};
DESCRIBE(Plan,
         id,
         engine,
         engine_version,
         layout,
         variant,
         source,
         workers,
         tensor_parallel,
         pipeline_parallel,
         data_parallel,
         expert_parallel,
         context_parallel,
         offload_layers,
         total_layers,
         settings,
         kv_tokens,
         memory,
         key,
         warnings);

/// Numbers of one device beside what the plan wants of it.
struct DeviceLine {
  std::string worker;
  std::string device;
  std::string name;
  Bytes total;
  Bytes reserved;
  Bytes claimed;
  Bytes foreign;
  Bytes allocatable;
  std::optional<Bytes> needed;
  Outcome outcome = Outcome::kPass;
  std::string reason;
};
DESCRIBE(DeviceLine, worker, device, name, total, reserved, claimed, foreign, allocatable, needed, outcome, reason);

/// One line of the report: workers that are alike for this engine, with every rule's outcome.
struct WorkerLine {
  std::string engine;
  std::string engine_version;
  std::uint32_t workers = 0;
  std::vector<std::string> examples;  // names, ≤ kExamplesMax, best first
  std::string os;
  std::string arch;
  std::string hardware;  // "2 × NVIDIA A100 80GB"
  WorkerState state = WorkerState::kReady;
  std::optional<Time> last_report_at;  // of the first example: what was judged, when it is not ready
  std::vector<RuleResult> results;     // in chain order
  std::vector<DeviceLine> devices;     // of the first example, best first, ≤ kExamplesMax
  std::optional<DeviceLine> host;      // its RAM, or the pool that it shares with its devices; device ""
  bool simulated = false;              // all of them accept plans and start nothing
  bool would_fit = false;              // no reject but those on readiness, cordon, labels and selection
};
DESCRIBE(WorkerLine,
         engine,
         engine_version,
         workers,
         examples,
         os,
         arch,
         hardware,
         state,
         last_report_at,
         results,
         devices,
         host,
         simulated,
         would_fit);
constexpr std::size_t kExamplesMax = 5;

/// Counts of one rule for one engine. `fails_only`: subjects whose only reject this is and on which no rule is unknown
/// or not evaluated, so what fixing it alone would gain.
struct RuleCount {
  std::string engine;
  std::string rule;
  std::string subject;  // "request", "worker", "device", "plan"
  std::uint64_t checked = 0;
  std::uint64_t fails = 0;
  std::uint64_t fails_only = 0;
  std::uint64_t warns = 0;
  std::uint64_t unknown = 0;
  std::uint64_t not_evaluated = 0;
};
DESCRIBE(RuleCount, engine, rule, subject, checked, fails, fails_only, warns, unknown, not_evaluated);

struct Default {
  std::string setting;
  std::string value;
  std::string why;
};
DESCRIBE(Default, setting, value, why);

struct Report {
  std::string policy;
  std::vector<RuleResult> request;  // rules about the request itself, by engine in `args`
  std::vector<WorkerLine> lines;
  std::vector<RuleCount> counts;
  std::vector<Default> defaults;
  std::vector<std::string> unused_devices;  // selected, not used by any plan
  std::vector<std::string> unused_accept;
  std::vector<std::string> notes;
};
DESCRIBE(Report, policy, request, lines, counts, defaults, unused_devices, unused_accept, notes);

/// Whose claims would have to go, for fits_after: sufficient, never called minimal.
struct Holder {
  std::string instance;
  std::string deployment;
  int priority = 0;
  std::string worker;
  std::vector<DeviceClaim> devices;
};
DESCRIBE(Holder, instance, deployment, priority, worker, devices);

/// Hashes of everything that went in: what `berth replay` compares.
struct Inputs {
  std::uint64_t snapshot_revision = 0;
  std::string snapshot_hash;
  std::string request_hash;
  std::string policy_hash;
  std::string catalog_hash;
};
DESCRIBE(Inputs, snapshot_revision, snapshot_hash, request_hash, policy_hash, catalog_hash);

struct Decision {
  Verdict verdict = Verdict::kUnknown;
  std::uint32_t asked = 0;
  std::uint32_t fit_count = 0;
  std::string summary;  // one sentence
  std::vector<Plan> plans;
  std::vector<Holder> holders;
  Report report;
  Inputs inputs;
};
DESCRIBE(Decision, verdict, asked, fit_count, summary, plans, holders, report, inputs);

/// What verify() says of one plan on the present snapshot.
struct Verification {
  bool ok = false;
  std::vector<RuleResult> rejects;  // rule, device in args, needed, available
};
DESCRIBE(Verification, ok, rejects);

/// One step of a fix. `kind` orders by cost; `from` and `to` are what a button would apply.
struct Change {
  std::string kind;   // "selection", "labels", "engine", "variant", "replicas", "worker_ready", "uncordon", …
  std::string field;  // path in the request or "workers/<id>/state"
  std::string from;
  std::string to;
  std::string text;
};
DESCRIBE(Change, kind, field, from, to, text);

struct Fix {
  std::vector<Change> changes;  // 1 or 2
  std::string text;
  Verdict verdict = Verdict::kFits;
  std::uint32_t fit_count = 0;
  std::optional<Plan> plan;  // of the first replica
};
DESCRIBE(Fix, changes, text, verdict, fit_count, plan);

/// A count of decide() calls, never time.
struct FixBudget {
  std::uint32_t calls_max = 200;
  std::uint32_t per_kind_max = 1;
  std::uint32_t fixes_max = 100;
};
DESCRIBE(FixBudget, calls_max, per_kind_max, fixes_max);

}  // namespace berth::fleet
