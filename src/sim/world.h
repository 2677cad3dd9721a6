#pragma once
// A simulated cluster: the real reconciler and store(memory), workers without machines, a virtual clock and a seed.
//
//   Rng(seed) ─▶ fleet, clients' wishes, FaultPlan
//   each second: faults ─▶ workers move ─▶ messages arrive ─▶ clients ─▶ tick ─▶ desired state ─▶ checkers
//   phase 1: faults; phase 2: none, and within `heal` everything wanted is ready or explained
//
// The same options give the same log, byte for byte.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace berth::sim {

constexpr std::uint32_t kSimWorkersMax = 100;
constexpr std::uint32_t kSimMinutesMax = 24 * 60;

struct SimOptions {
  std::uint64_t seed = 1;
  std::uint32_t workers = 3;
  std::uint32_t minutes = 2;       // of faults
  std::uint32_t heal_minutes = 4;  // without, until all must be well; beyond the longest hold of foreign use
};

struct SimReport {
  std::uint64_t seed = 0;
  std::string faults;            // the plan, a line each
  std::vector<std::string> log;  // what happened
  std::string violation;         // empty: all checks held
  std::uint64_t placed = 0;      // instances that were created
  std::uint64_t commits = 0;
  std::uint64_t ready_at_end = 0;

  [[nodiscard]] bool ok() const { return violation.empty(); }
  /// Log, faults and violation with the command that repeats the run.
  [[nodiscard]] std::string text() const;
};

/// Errors: kInvalid when an option is out of range. A violated check is not an error: see SimReport::violation.
Result<SimReport> run_sim(const SimOptions& options);

}  // namespace berth::sim
