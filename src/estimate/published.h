#pragma once
// What GPUStack takes a replica to need, by the rules it publishes: another table of estimates, for those who compare
// (fleet::gpustack_policy). Figures are one number, not an interval. Source: its documentation of scheduling and what
// it prints of a need; estimation.md §3.5 and §3.6.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "engines/catalog.h"
#include "fleet/model.h"
#include "fleet/request.h"

namespace berth::estimate {

/// How the need lies on devices.
enum class PublishedForm {
  kShare,      // each device of a replica gives the same share of itself
  kOneDevice,  // all of it on one device, or what is needed there on the host alone
  kEvenly,     // all devices of a worker give the same
  kLayers,     // layers, by what was recorded of splits (ModelFacts::splits)
};

struct PublishedNeed {
  PublishedForm form = PublishedForm::kEvenly;
  Bytes device_bytes;                         // of a replica, on all of its devices together
  Bytes host_bytes;                           // on each worker
  std::uint64_t host_permille = 0;            // of what is claimed of its devices, on each worker besides
  std::optional<Bytes> host_alone;            // where no device is used
  std::string vendor;                         // the only one whose devices it takes; empty: any
  std::optional<double> share;                // of each device; 0: no more than is needed; absent: goes by the devices
  bool one_per_worker = false;                // only the roomiest device of a worker is a candidate
  bool part_of_worker = false;                // over workers, some devices of each will do
  std::optional<std::uint32_t> total_layers;  // kLayers
  std::string text;                           // the sum in words
};

/// Errors: kInvalid naming the fact that is missing.
Result<PublishedNeed> published_need(const engines::Engine& engine,
                                     const fleet::ModelFacts& facts,
                                     const fleet::Request& request,
                                     const fleet::Settings& settings);

/// What the share of an engine goes by that is not told one.
struct ShareInput {
  Bytes device_bytes;        // of the smallest device
  std::uint32_t ranks = 1;   // tensor × pipeline
  std::uint32_t tensor = 1;  // ranks that share a layer
};
/// Thousandths of a device that weights and KV get beside what SGLang reserves. Source: estimation.md §3.5.
double published_share(const fleet::ModelFacts& facts, const fleet::Settings& settings, const ShareInput& input);

/// ⌊share × total⌋.
Bytes share_bytes(Bytes total, double share);

}  // namespace berth::estimate
