#pragma once
// Who this worker is to its server: kept beside the instances, so that a worker that starts again is the same one.

#include <string>

#include "base/describe.h"
#include "base/result.h"

namespace berth::worker {

struct Credentials {
  std::string worker_id;   // issued by the server; empty before the first join
  std::string worker_key;  // issued by the server, once
  std::string host_id;     // random, of this state folder
};
DESCRIBE(Credentials, worker_id, worker_key, host_id);

/// "<state_dir>/worker.json". Without that file: a new host_id, which is written at once.
/// Errors: kInvalid when the file is damaged, and what reading and writing give.
Result<Credentials> load_credentials(const std::string& state_dir);
/// Durable, mode 0600: after a crash the old or the new file is there.
Result<void> save_credentials(const std::string& state_dir, const Credentials& credentials);

}  // namespace berth::worker
