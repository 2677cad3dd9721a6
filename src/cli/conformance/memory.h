#pragma once
// berth conformance --memory: the estimator of decide() against llama.cpp's own plans of memory (memory-vectors/1).

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/describe.h"
#include "base/result.h"

namespace berth::cli::conformance {

constexpr std::size_t kMemoryRowsMax = 100'000;

struct MemoryInputs {
  std::string file;      // memory-vectors/1
  std::string gguf_dir;  // a row's model lies in <gguf_dir>/<model>.gguf; headers without tensor data will do
};

/// Signed fractions of the actual bytes: 0.005 is 0.5 % too much.
struct MemoryErrors {
  std::uint64_t n = 0;
  double median_abs = 0;
  double p90_abs = 0;
  double p95_abs = 0;
  double min = 0;
  double max = 0;
};
DESCRIBE(MemoryErrors, n, median_abs, p90_abs, p95_abs, min, max);

/// How the upper end of the interval held, over all devices and hosts.
struct HighCovers {
  std::uint64_t n = 0;
  double share = 0;        // where high ≥ actual
  double worst_under = 0;  // least (high − actual) / actual, 0 when it is never below
  double ratio_p95 = 0;    // of high / actual
};
DESCRIBE(HighCovers, n, share, worst_under, ratio_p95);

/// A row that was not estimated counts as an error of 1 on each of its devices and on its host, and is not covered.
struct MemorySummary {
  MemoryErrors device_total;
  MemoryErrors host_total;
  HighCovers high_covers;
  std::uint64_t missing = 0;         // rows without their model's file
  std::uint64_t not_understood = 0;  // rows with a setting, or a value of one, that the estimator has no option for
  std::uint64_t refused = 0;         // rows whose file or settings the estimator refuses
  std::uint64_t wrong_shape = 0;     // rows that tell another number of devices than they were set to use
};
DESCRIBE(MemorySummary, device_total, host_total, high_covers, missing, not_understood, refused, wrong_shape);

/// One architecture's share, for people.
struct MemoryGroup {
  MemoryErrors device_total;
  MemoryErrors host_total;
  HighCovers high_covers;
  std::string worst;  // which row is furthest off
};

struct MemoryReport {
  MemorySummary summary;
  std::map<std::string, MemoryGroup> by_architecture;
  std::map<std::string, std::string> troubles;  // row id → why it was not estimated
};

/// What llama.cpp's own breakdown holds is compared: weights, caches, compute buffers. The context and kernels of a
/// device, the process and the copy of the logits are left out. Errors: kNotFound, kInvalid naming the file and the
/// field, kTooLarge.
Result<MemoryReport> run_memory(const MemoryInputs& inputs);
/// A table by architecture, the rows that were not estimated, and the totals.
std::string to_text(const MemoryReport& report);

}  // namespace berth::cli::conformance
