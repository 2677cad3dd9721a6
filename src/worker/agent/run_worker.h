#pragma once
// A whole worker: detection, supervisor, connection. `berth worker` runs one until a signal; `berth up` holds one on a
// thread of its own.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/catalog.h"
#include "worker/agent/agent.h"

namespace berth::worker {

struct WorkerOptions {
  std::string server;       // "https://host:port"
  std::string token;        // to join; or …
  std::string token_file;   // … the file that holds it
  std::string fingerprint;  // of the server's certificate; empty: it must be signed by a known CA
  std::string ca_path;      // PEM file of that CA; empty: the system's
  std::string name;         // empty: the host's name, or the profile's
  std::string version;      // of this program
  std::string state_dir = "/var/lib/berth/worker";
  std::vector<std::string> model_roots;
  EngineSearch engines;  // path, launcher folders
  std::string engine_user = "berth-engine";
  std::optional<fleet::Worker> profile;  // a simulated worker: these devices, and nothing is ever started
  PortRange ports;
  std::uint32_t threads = 0;  // per engine; 0: the processors of this machine
  std::string nvidia_library = "libnvidia-ml.so.1";
  engines::EngineCatalog catalog;
  AgentTiming timing;
};

/// Runs until SIGTERM or SIGINT and returns 0; engines go on. Errors: those of start() and Agent::run().
Result<int> run_worker(const WorkerOptions& options);

/// A worker on its own thread.
class WorkerThread {
 public:
  /// Detects the machine (seconds) and starts to connect; returns before the server has answered.
  /// Errors: kInvalid for options that make no sense, kConflict when another worker has the state folder, kNotFound
  /// without the engine's user.
  static Result<std::unique_ptr<WorkerThread>> start(const WorkerOptions& options);
  /// As stop().
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// Ends the connection and waits for the thread; engines go on. The result is Agent::run()'s.
  Result<void> stop();
  /// True when the agent has ended by itself: stop() then tells why.
  [[nodiscard]] bool ended() const;

  struct State;

 private:
  explicit WorkerThread(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::worker
