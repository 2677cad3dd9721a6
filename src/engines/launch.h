#pragma once
// Recipe → command line. Pure: what the worker executes is a function of plan and paths, and can be shown before.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/decision.h"

namespace berth::engines {

/// What only the worker knows. Placeholders of recipes: {model_path} {host} {port} {secret_file} {alias} {threads}
/// {context} {sequences} {kv_type} {ubatch} {offload_layers} {tensor_split} {utilization} {tensor_parallel}
/// {pipeline_parallel} {data_parallel} {flash_attention} {device_count}.
struct LaunchPlace {
  std::string program;                    // absolute path of the executable found
  std::vector<std::string> program_args;  // e.g. the launcher script
  std::string model_path;
  std::string alias;  // name the engine reports
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string secret_file;  // holds the per-instance API key, mode 0600
  std::uint32_t threads = 1;
  std::vector<std::string> path_roots;  // path flags must lie under one of these
};

struct LaunchSpec {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;  // complete: nothing is inherited
};

/// Errors: kInvalid for a flag or variable that is not allowed, naming it; kForbidden for an owned one.
Result<LaunchSpec> launch(const Engine& engine,
                          const fleet::Plan& plan,
                          const fleet::PlanWorker& part,
                          const std::string& framework,
                          const std::string& task,
                          const LaunchPlace& place);

}  // namespace berth::engines
