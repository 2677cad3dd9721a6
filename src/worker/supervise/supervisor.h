#pragma once
// Keeps the instances of this worker: starts, watches, restarts, stops, adopts. Driven by tick(now): it owns no timer
// and reads no clock, so that tests run it on virtual time. One thread at a time; tick() may block for some
// milliseconds (files, fork), so run it beside the network's threads.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "engines/catalog.h"
#include "engines/launch.h"
#include "fleet/objects.h"
#include "wire/messages.h"
#include "worker/detect/detect.h"
#include "worker/supervise/probe.h"
#include "worker/supervise/resources.h"

namespace berth::worker {

// Limits of the state machine. Virtual in tests through SupervisorLimits.
struct SupervisorLimits {
  Duration tick_every = std::chrono::milliseconds(250);  // while something moves
  Duration idle_every = std::chrono::seconds(2);         // nothing moves: exits are still noticed this soon
  Duration probe_every = std::chrono::milliseconds(500);
  Duration ask_again_every = std::chrono::seconds(30);  // one that is ready, whether it still answers
  Duration unanswered_every = std::chrono::seconds(5);  // one that did not
  std::uint32_t unanswered_max = 3;                     // in a row: then it is killed and started again
  Duration start_base = std::chrono::seconds(120);      // process, runtime, kernels …
  Duration start_per_gib = std::chrono::seconds(30);    // … and reading: 34 MiB/s, a slow network disk
  Duration backoff_base = std::chrono::seconds(2);      // doubles with each failure in a row, ±20 %
  Duration backoff_max = std::chrono::minutes(5);
  Duration stable_after = std::chrono::minutes(10);  // ready this long: failures count from 0 again
  Duration stop_grace = std::chrono::seconds(10);    // between SIGTERM and SIGKILL
  std::uint32_t same_errors_max = 3;                 // then it waits for a changed deployment
};

/// Plan and place → command line, as engines::launch.
using LaunchFunction = std::function<Result<engines::LaunchSpec>(const engines::Engine&,
                                                                 const fleet::Plan&,
                                                                 const fleet::PlanWorker&,
                                                                 const std::string& framework,
                                                                 const std::string& task,
                                                                 const engines::LaunchPlace&)>;

struct SupervisorOptions {
  std::string state_dir;  // made 0711: engines must reach their secret
  std::string engine_user = "berth-engine";
  std::vector<std::string> model_roots;
  EngineSearch engines;
  PortRange ports;
  std::string cgroup_root = "/sys/fs/cgroup";  // empty: no cgroups
  std::uint32_t threads = 1;                   // per engine, where the recipe asks
  bool simulated = false;                      // devices are from a profile: accept plans, start nothing
  std::uint64_t seed = 1;                      // jitter of the back-off
  LaunchFunction launch;                       // empty: engines::launch
  SupervisorLimits limits;
};

/// Where the relay sends requests for an instance.
struct Endpoint {
  std::uint16_t port = 0;
  std::string secret;
};

class Supervisor {
 public:
  /// Locks the state folder. Errors: kConflict when another agent has it, kNotFound without the engine's user.
  /// The references must outlive the supervisor.
  static Result<std::unique_ptr<Supervisor>> create(SupervisorOptions options,
                                                    const engines::EngineCatalog& catalog,
                                                    EngineProbe& probe,
                                                    Observer& observer);
  /// Waits for probes in flight, leaves every engine running.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Once, before anything else: finds the engines of a former agent. Those that live are adopted and go on serving;
  /// those that ended are failed and come back after the back-off. Nothing is stopped. Returns notes for the log.
  Result<std::vector<std::string>> adopt_all(Time now);

  /// One instruction of the server. Idempotent; an older attempt than the present one is ignored; a newer one stops the
  /// old and then starts. Errors: kInvalid for an id that cannot be a file name, kTooLarge above kInstancesMax.
  Result<void> apply(const wire::DesiredInstance& desired, Time now);
  Result<void> start(const wire::DesiredInstance& desired, Time now);
  /// Stops that attempt (or an older one). An unknown instance is reported gone.
  Result<void> stop(const std::string& instance, std::uint64_t attempt, Time now);

  /// Moves every instance on; returns when to call again at the latest.
  Time tick(Time now);

  /// All instances, the ended ones with gone = true until forget(). Sorted by instance. Secrets only on request.
  [[nodiscard]] std::vector<wire::InstanceReport> reports(bool with_secrets) const;
  /// Goes up with every change that a report shows: to know when to send.
  [[nodiscard]] std::uint64_t changes() const;
  /// The server has taken note that it is gone.
  void forget(const std::string& instance);

  /// Only of instances that are ready.
  [[nodiscard]] std::optional<Endpoint> endpoint(const std::string& instance) const;
  [[nodiscard]] std::optional<std::string> log_file(const std::string& instance) const;
  /// Things to tell a person once: user, cgroup, folders.
  [[nodiscard]] const std::vector<std::string>& notes() const;

  struct Impl;

 private:
  explicit Supervisor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::worker
