#pragma once
// berth bench decide: what decisions cost on a fleet of N devices, and whether the index changes an answer.

#include <cstdint>
#include <string>
#include <vector>

#include "base/describe.h"
#include "base/result.h"

namespace berth::cli::bench {

struct Figure {
  double min = 0;
  double median = 0;
};
DESCRIBE(Figure, min, median);

/// Of one fleet. Times of public functions on fresh requests, one thread.
struct Figures {
  Figure build_ms;      // workers and occupants as reported → snapshot
  Figure fit_us;        // decide() without report: one replica on one worker
  Figure report_us;     // the same with its report
  Figure nofit_us;      // decide() with report: fits on no worker
  Figure update_us;     // one claim more on one worker → the next snapshot
  Figure plan32_us;     // decide() without report: 4 workers × 8 devices
  Figure fixes_ms;      // fixes() of what fits nowhere, until there are 3
  Figure placements_s;  // replicas a second: 50 shapes of 200, each on the snapshot after the one before; most, median
  std::uint64_t placed = 0;       // of these 10,000
  std::uint64_t plan32_fits = 0;  // of the requests timed
  std::uint64_t fit_fits = 0;
  std::uint64_t requests = 0;  // that were timed for fit_us
  std::uint64_t fixes_found = 0;
  double bytes_per_device = 0;  // of the snapshot, beyond workers and occupants
};
DESCRIBE(Figures,
         build_ms,
         fit_us,
         report_us,
         nofit_us,
         update_us,
         plan32_us,
         fixes_ms,
         placements_s,
         placed,
         plan32_fits,
         fit_fits,
         requests,
         fixes_found,
         bytes_per_device);

/// The figures at the top are those of the fleet that takes longer.
struct DecideReport {
  std::uint32_t gpus = 0;
  Figure build_ms;
  Figure fit_us;
  Figure nofit_us;
  Figure update_us;
  Figure plan32_us;
  Figure fixes_ms;
  Figures idle;
  Figures occupied;
  std::uint64_t compared = 0;            // answers held against the search without index
  std::vector<std::string> differences;  // of them, and of capacity
};
DESCRIBE(DecideReport,
         gpus,
         build_ms,
         fit_us,
         nofit_us,
         update_us,
         plan32_us,
         fixes_ms,
         idle,
         occupied,
         compared,
         differences);

constexpr std::uint32_t kGpusMax = 1'000'000;
constexpr std::uint32_t kCheckedGpusMax = 3'000;  // above, the plain search takes too long

struct DecideOptions {
  std::uint32_t gpus = 1000;
  std::uint32_t seed = 1;
  bool check = false;
  std::string dump;  // folder for scenarios that `berth check --scenario` reads; empty: none
};

Result<DecideReport> run_decide(const DecideOptions& options);
std::string to_text(const DecideReport& report);

}  // namespace berth::cli::bench
