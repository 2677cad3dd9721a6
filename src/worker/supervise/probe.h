#pragma once
// Readiness: only a real inference counts.

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace berth::worker {

struct ProbeTarget {
  std::string instance;
  std::uint16_t port = 0;
  std::string secret;
  std::string task;   // "generate", "embed", "rerank", …
  std::string model;  // alias that the engine was started with
};

struct ProbeResult {
  bool ready = false;
  int status = 0;      // that it answered with; 0: no answer
  std::string detail;  // what was seen instead: "connection refused", "503 loading model"
};

constexpr Duration kProbeDeadline = std::chrono::seconds(20);

/// Asks an engine for the smallest real answer (one token, one vector). Called from several threads at once; returns
/// within kProbeDeadline. Errors are bugs or exhaustion; "not yet" is a result.
class EngineProbe {
 public:
  virtual ~EngineProbe() = default;
  virtual Result<ProbeResult> probe(const ProbeTarget& target) = 0;
};

/// The real one, over HTTP on 127.0.0.1 with the instance's secret as bearer key.
std::unique_ptr<EngineProbe> make_http_probe();

}  // namespace berth::worker
