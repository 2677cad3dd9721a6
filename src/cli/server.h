#pragma once
// The running server, as commands see it: an address, a key, calls with answers or errors.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/describe.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "cli/commands.h"

namespace berth::cli {

constexpr std::string_view kDefaultServer = "http://127.0.0.1:8080";

/// What `berth up` leaves behind for commands on the same machine. Mode 0600.
struct ClientFile {
  std::string server;
  std::string key;
  std::string fingerprint;  // of the server's certificate, when it signed itself
};
DESCRIBE(ClientFile, server, key, fingerprint);

/// $BERTH_CONFIG, else $XDG_CONFIG_HOME/berth/client.json, else ~/.config/berth/client.json; empty without a home.
std::string client_file_path(const Environment& environment);
/// Writes it for its owner alone, through a temporary file. Errors: kForbidden, kUnavailable with the path.
Result<void> write_client_file(const std::string& path, const ClientFile& file);

/// --server and --api-key-file of every command that asks a server.
struct ServerFlags {
  std::string server;
  std::string api_key_file;
  std::string fingerprint;

  void declare(Arguments& arguments);
};

class Server {
 public:
  /// Flag > BERTH_SERVER, BERTH_API_KEY > client file > kDefaultServer. Errors: kInvalid for a bad address or a client
  /// file that others can read; kNotFound for a key file that is missing.
  static Result<Server> find(const Context& context, const ServerFlags& flags);

  /// The body of a 2xx answer. `path` begins with '/'. Errors: what the server's problem document says, or
  /// kUnavailable with how to start a server.
  [[nodiscard]] Result<std::string> call(const std::string& method,
                                         const std::string& path,
                                         const std::string& body = "") const;
  /// As call(), with the body in pieces as they come, without a limit on the time as a whole. `piece` returns false to
  /// stop reading.
  [[nodiscard]] Result<void> stream(const std::string& method,
                                    const std::string& path,
                                    const std::string& body,
                                    std::function<bool(std::string_view)> piece) const;

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  std::string address_;
  std::string key_;
  std::string fingerprint_;
};

/// A name as one segment of a path.
std::string segment(std::string_view name);

}  // namespace berth::cli
