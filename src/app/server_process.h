#pragma once
// The server, wired: store, keys, reconciler, worker links, management API, gateway, on one event loop and one pool.
// Objects are built top to bottom; destruction is the shutdown order.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engines/catalog.h"
#include "fleet/device.h"
#include "net/stream.h"

namespace berth::app {

struct ServerOptions {
  std::string listen = "127.0.0.1:8080";
  std::string data_dir;                  // database
  std::string secret_file;               // HMAC key; outside of data_dir
  bool insecure_http = false;            // plain HTTP beyond loopback
  std::string tls_cert, tls_key;         // PEM files; empty: self-signed beyond loopback
  std::vector<std::string> hosts;        // further names in Host headers
  std::vector<std::string> model_roots;  // folders that models are read in for their facts
  engines::EngineCatalog catalog;
  std::string version;
};

/// What a person must be told once the server listens.
struct ServerFacts {
  std::string url;                            // "http://127.0.0.1:8080"
  std::string fingerprint;                    // of a self-signed certificate
  bool plain_http = false;                    // what is said can be read on the way
  std::optional<std::string> admin_password;  // only on the first start
  std::string join_token;  // a fresh one for workers started by the same command; valid for 10 minutes
  std::string local_key;   // management and inference, for this machine's commands
};

class ServerProcess {
 public:
  /// Opens everything and listens. Errors name the file, address or flag that is wrong and what to do.
  static Result<std::unique_ptr<ServerProcess>> start(ServerOptions options);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  [[nodiscard]] const ServerFacts& facts() const;
  /// Before run(): a worker that is away, known by its last report. Errors: as Reconciler::introduce.
  Result<void> introduce(const fleet::Worker& worker);
  /// Serves until SIGTERM or SIGINT; streams in flight get a grace period. `watch` is asked every second how what runs
  /// beside the server is; its first error ends the server, and is returned.
  Result<void> run(std::function<Result<void>()> watch = {});

 private:
  struct State;
  explicit ServerProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace berth::app
