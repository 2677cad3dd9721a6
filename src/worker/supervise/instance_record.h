#pragma once
// What the worker knows of its instances, on disk: an agent that starts again finds its engines by these.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/describe.h"
#include "base/result.h"
#include "base/time.h"
#include "fleet/objects.h"
#include "worker/supervise/identity.h"

namespace berth::worker {

struct InstanceRecord {
  std::uint32_t version = 1;
  std::string instance;
  std::string name;
  std::uint64_t attempt = 0;
  fleet::InstanceSpec spec;
  bool simulated = false;
  bool stopping = false;
  bool given_up = false;  // the same error too often: waits for another attempt
  Identity process;       // pid 0: nonce is chosen, the start was not yet seen to succeed
  std::uint32_t port = 0;
  std::string secret_file;
  std::string log_file;
  std::string work_dir;
  std::string cgroup;
  std::uint64_t model_bytes = 0;  // scales the start deadline
  std::uint32_t restarts = 0;
  std::uint32_t failures = 0;     // in a row: exponent of the back-off
  std::uint32_t same_errors = 0;  // in a row with an equal message
  std::optional<fleet::ExitInfo> last_exit;
  std::optional<Time> started_at;
  std::optional<Time> ready_at;
};
DESCRIBE(InstanceRecord,
         version,
         instance,
         name,
         attempt,
         spec,
         simulated,
         stopping,
         given_up,
         process,
         port,
         secret_file,
         log_file,
         work_dir,
         cgroup,
         model_bytes,
         restarts,
         failures,
         same_errors,
         last_exit,
         started_at,
         ready_at);

constexpr std::size_t kInstancesMax = 256;  // per worker

/// Ids become file names: letters, digits, '-', '_', '.', at most 64, not starting with '.'.
bool is_instance_id(std::string_view id);

/// "<folder>/<instance>.json", mode 0600, each written durably.
class RecordStore {
 public:
  /// Makes the folder. Errors: kForbidden, kUnavailable.
  static Result<RecordStore> open(std::string folder);

  [[nodiscard]] Result<void> save(const InstanceRecord& record) const;
  /// Removing what is not there is no error.
  [[nodiscard]] Result<void> remove(const std::string& instance) const;

  struct Loaded {
    std::vector<InstanceRecord> records;  // sorted by instance
    std::vector<std::string> notes;       // files that could not be read; they are renamed to *.bad
  };
  [[nodiscard]] Result<Loaded> load_all() const;

 private:
  explicit RecordStore(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace berth::worker
