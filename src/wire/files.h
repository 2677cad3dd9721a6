#pragma once
// Files that people write. A fleet file is {workers: […]}, a --profile is one worker of it, a deployment file is a
// request with a name, a scenario is {fleet, request, expect}: one decoder (DESIGN §5).

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/describe.h"
#include "fleet/decision.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"
#include "wire/rules.h"

namespace berth::wire {

struct FleetFile {
  std::vector<fleet::Worker> workers;
  std::map<std::string, std::vector<fleet::Occupant>> occupants;  // by worker name
  std::set<std::string> not_carried;  // inputs that this file never has; what no worker tells is added by itself
};
DESCRIBE(FleetFile, workers, occupants, not_carried);
constexpr FieldRules field_rules(Tag<FleetFile>) { return {{"workers"}}; }

/// Where facts are read from, relative to the file that says so.
struct FactsFrom {
  std::string gguf;            // a GGUF file
  std::string config;          // config.json …
  std::string index;           // … and model.safetensors.index.json, or
  std::string folder;          // a folder with both
  bool metadata_only = false;  // the GGUF file has no tensor data
};
DESCRIBE(FactsFrom, gguf, config, index, folder, metadata_only);

struct VariantFile {
  std::string name;
  fleet::ModelSource source;
  std::optional<fleet::ModelFacts> facts;
  std::optional<FactsFrom> facts_from;
};
DESCRIBE(VariantFile, name, source, facts, facts_from);
constexpr FieldRules field_rules(Tag<VariantFile>) { return {{"name"}}; }

struct DeploymentFile {
  std::string name;
  std::string model;
  std::string route;
  std::string task = "generate";
  fleet::ModelSource source;
  std::optional<fleet::ModelFacts> facts;
  std::optional<FactsFrom> facts_from;
  std::vector<VariantFile> variants;
  std::uint32_t replicas = 1;
  fleet::Settings settings;
  fleet::Restriction restriction;
  std::optional<fleet::Strategy> strategy;
  std::optional<std::string> replaces;
  std::vector<std::string> accept;
  int priority = 0;
  bool partial = true;
};
DESCRIBE(DeploymentFile,
         name,
         model,
         route,
         task,
         source,
         facts,
         facts_from,
         variants,
         replicas,
         settings,
         restriction,
         strategy,
         replaces,
         accept,
         priority,
         partial);
constexpr FieldRules field_rules(Tag<DeploymentFile>) { return {{"name"}}; }

/// What a scenario demands of one worker's line. Lists are of rule names.
struct ExpectLine {
  std::string worker;
  std::string engine;                               // empty: whichever engine has a line
  std::optional<std::vector<std::string>> rejects;  // exactly these
  std::vector<std::string> reasons;                 // at least these reason codes
  std::vector<std::string> not_evaluated;           // at least these
  std::vector<std::string> passes;                  // at least these
  std::optional<bool> would_fit;
};
DESCRIBE(ExpectLine, worker, engine, rejects, reasons, not_evaluated, passes, would_fit);
constexpr FieldRules field_rules(Tag<ExpectLine>) { return {{"worker"}}; }

struct ExpectPlan {
  std::string worker;
  std::string engine;
  std::string layout;
  std::optional<std::vector<std::string>> devices;  // ids; "worker/id" of all parts where the plan has several workers
  std::optional<std::uint32_t> offload_layers;
  std::optional<std::uint32_t> tensor_parallel;
  std::optional<std::uint32_t> pipeline_parallel;
};
DESCRIBE(ExpectPlan, worker, engine, layout, devices, offload_layers, tensor_parallel, pipeline_parallel);

struct Expect {
  std::optional<fleet::Verdict> verdict;
  std::optional<std::uint32_t> fit_count;
  std::optional<int> exit_code;
  std::optional<std::vector<ExpectPlan>> plans;  // one each, in order; empty fields are not compared
  std::vector<ExpectLine> lines;
  std::optional<std::vector<std::vector<std::string>>> fixes;  // kinds of the changes of each fix, in order
  std::vector<std::string> contains;                           // texts in the printed answer
};
DESCRIBE(Expect, verdict, fit_count, exit_code, plans, lines, fixes, contains);

struct ScenarioFile {
  std::string title;
  FleetFile fleet;
  DeploymentFile request;
  std::optional<fleet::Policy> policy;
  Expect expect;
};
DESCRIBE(ScenarioFile, title, fleet, request, policy, expect);
constexpr FieldRules field_rules(Tag<ScenarioFile>) { return {{"title", "fleet", "request", "expect"}}; }

/// Strict. Errors: kInvalid with path, value and what is allowed.
Result<FleetFile> read_fleet_file(std::string_view text);
/// One worker, as in a fleet file; marked as simulated.
Result<fleet::Worker> read_profile(std::string_view text);
Result<DeploymentFile> read_deployment_file(std::string_view text);
Result<ScenarioFile> read_scenario_file(std::string_view text);

/// How systems and architectures are called here, whatever their spelling: "macOS" → "darwin", "x86_64" → "amd64". A
/// name that is in no table comes back in lower case.
std::string system_name(std::string_view spelling);
std::string arch_name(std::string_view spelling);

/// Fills what people leave out: ids, frameworks, the labels os, arch and worker-name; checks the rest.
Result<fleet::Worker> normalised(fleet::Worker worker);
Result<FleetFile> normalised(FleetFile file);
/// Inputs that no worker of the file tells are not carried. Errors: as make_entry and FleetSnapshot::build.
Result<fleet::FleetSnapshot> to_snapshot(const FleetFile& file);

using ReadFacts = std::function<Result<fleet::ModelFacts>(const FactsFrom&)>;
/// `read` resolves facts_from. Errors: kInvalid when facts and facts_from are both given.
Result<fleet::Request> to_request(DeploymentFile file, const ReadFacts& read);

}  // namespace berth::wire
