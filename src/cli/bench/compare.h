#pragma once
// Holds decisions against the plain search, and writes them down for `berth check`.

#include <string>

#include "cli/bench/decide.h"
#include "engines/catalog.h"
#include "fleet/decision.h"
#include "fleet/request.h"
#include "fleet/snapshot.h"

namespace berth::cli::bench {

class Comparison {
 public:
  /// `dump`: folder for scenarios; empty: none.
  Comparison(const fleet::FleetSnapshot& fleet,
             const engines::EngineCatalog& catalog,
             std::string dump,
             std::string name);

  /// Asks with and without index, with and without report. What differs is added to the report.
  void add(const fleet::Request& request, DecideReport& report);

 private:
  Result<void> write(const fleet::Request& request, const fleet::Decision& decision);

  const fleet::FleetSnapshot& fleet_;
  const engines::EngineCatalog& catalog_;
  std::string dump_;
  std::string name_;
  std::size_t count_ = 0;
};

}  // namespace berth::cli::bench
