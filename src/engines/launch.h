#pragma once
// Recipe → command line. Pure: what the worker executes is a function of plan and paths, and can be shown before.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/decision.h"

namespace berth::engines {

/// What only the worker knows. Placeholders of recipes: {model_path} {host} {port} {secret_file} {secret} {alias}
/// {threads} {pooling} {context} {sequences} {kv_type} {ubatch} {offload_layers} {tensor_split} {utilization}
/// {tensor_parallel} {pipeline_parallel} {data_parallel} {flash_attention} {device_count}.
/// Absent: an empty text, an optional setting without a value, a tensor split of one device. A recipe that names
/// {secret_file} or {secret} must get it: an engine never starts without its key. {secret} is for environments only.
struct LaunchPlace {
  std::string program;  // absolute path of the executable found; not looked at for a command of the request's
  std::vector<std::string> program_args;  // e.g. the launcher script
  std::string model_path;
  std::string alias;  // name the engine reports
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string secret_file;  // holds the per-instance API key, mode 0600
  std::string secret;       // the key itself, for engines that take it by environment
  std::uint32_t threads = 1;
  std::string pooling = "mean";                       // of embeddings; empty when the model file states its own
  std::map<std::string, std::string> device_indices;  // id → place in the driver's list now; slices have none
  std::vector<std::string> path_roots;                // paths in flags must lie under one of these
  std::map<std::string, std::string> real_paths;      // path in a flag → what was opened for it beneath its root
};

struct LaunchSpec {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;  // complete: nothing is inherited
  std::string image;                               // the container to run it in; empty: a process of the machine
};

/// The recipe's arguments in order, then the deployment's flags by name; a flag of the deployment replaces the
/// recipe's. Nothing is quoted or split: what a value holds reaches the engine as it is. Visible devices are always
/// set, to nothing for a plan without devices, so that an engine never takes one that it did not claim. A command of
/// the request's may hold the placeholders too, but {secret}; outside a container its program is an absolute path.
/// Errors: kInvalid for a flag or variable that is not allowed, naming it, and for a line break or NUL anywhere;
/// kForbidden for an owned one, a variable that is never allowed, and a path that is outside the roots or was not
/// opened.
Result<LaunchSpec> launch(const Engine& engine,
                          const fleet::Plan& plan,
                          const fleet::PlanWorker& part,
                          const std::string& framework,
                          const std::string& task,
                          const LaunchPlace& place);

/// Checks a deployment's variables against the catalog's allow-list, before anything is placed. Errors: as launch.
Result<void> check_environment(const Engine& engine, const std::map<std::string, std::string>& environment);

/// True for variables that change what code a process runs or where it finds it (LD_PRELOAD, PYTHONPATH, PATH, …), and
/// for those by which an engine takes flags that berth owns. No catalog can allow them.
bool never_allowed(std::string_view variable);

/// Names that recipes may use between braces, and conditions that Argument::when may hold.
bool is_placeholder(std::string_view name);
bool is_condition(std::string_view name);

/// `text` with each {name} replaced by its value, once: what comes out is not looked at again. Absent
/// when a name has none. Braces around anything but a lower-case name stay as they are.
std::optional<std::string> expand(std::string_view text, const std::map<std::string, std::string, std::less<>>& values);
/// Names between braces in `text`, in order.
std::vector<std::string> placeholders_in(std::string_view text);

}  // namespace berth::engines
