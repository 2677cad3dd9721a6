#pragma once
// What one call of decide() works on: the canonical request with defaults filled in, the resolved selection, and the
// memory estimates it has asked for so far. Lives and dies inside the call.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/assert.h"
#include "engines/architectures.h"
#include "engines/catalog.h"
#include "estimate/estimate.h"
#include "estimate/published.h"
#include "fleet/decision.h"
#include "fleet/snapshot.h"
#include "placement/rules/rule.h"

namespace berth::placement {

using engines::Engine;
using engines::EngineCatalog;
using estimate::DeviceTraits;
using estimate::Interval;
using fleet::FleetSnapshot;
using fleet::Policy;
using fleet::Request;
using fleet::Settings;
using fleet::WorkerEntry;

/// Parallel sizes of a replica that is a set of equal ranks, one device each.
struct Shape {
  std::uint32_t tensor = 1;    // ranks that share each layer: one device type
  std::uint32_t pipeline = 1;  // stages
  std::uint32_t data = 1;      // copies

  [[nodiscard]] std::uint32_t ranks() const { return tensor * pipeline * data; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

/// The sizes of one replica that the request fixes for an engine; absent: open. Of a deployment that is one part of a
/// larger group, and of copies inside the tensor-parallel group, only what adds ranks here counts (engines/world.h).
struct Sizes {
  std::optional<std::uint32_t> tensor;
  std::optional<std::uint32_t> pipeline;
  std::optional<std::uint32_t> data;
  std::optional<std::uint32_t> ranks;  // devices per replica
  std::uint32_t shared_context = 1;    // ranks that share a prompt's context: not judged yet

  /// The number of ranks when the request decides it.
  [[nodiscard]] std::optional<std::uint32_t> world() const;
};

/// Estimates of one request on one engine, computed once per device traits.
class Estimates {
 public:
  Estimates(const Request& request, const Settings& settings);

  /// Bytes with n = 0 … total_layers of the layers on one device.
  struct LayerTable {
    std::vector<Interval> device;
    std::vector<Interval> host;
  };

  /// A run of layers on a device in the middle of a row, once it was asked for.
  struct Run {
    Bytes expected;
    Bytes high;
    bool asked = false;
  };
  /// Runs of a row that holds all layers, by the layers before it and its own.
  struct Runs {
    std::uint32_t total = 0;
    std::vector<Run> known;
    Run& at(std::uint32_t before, std::uint32_t run) { return known[std::size_t(before) * (total + 1) + run]; }
  };

  /// Null with `error` set when a fact is missing.
  const estimate::LlamaModel* llama();
  const LayerTable& layer_table(const DeviceTraits& traits);
  /// All layers on one device.
  struct Whole {
    Interval device;
    Interval host;
  };
  const Whole& whole(const DeviceTraits& traits);
  /// All layers on the host, beside devices or without.
  const Interval& on_host();
  /// Null when `count` is not the whole model, or too much to keep.
  Runs* runs(const DeviceTraits& traits, std::uint32_t count);
  /// A lower bound of the bytes that `layers` layers take on devices.
  Bytes least_on_devices(std::uint32_t layers);
  const estimate::RankEstimate* rank(const Shape& shape, const DeviceTraits& traits);

  /// A way to cut the model into ranks, and why the model or the engine cannot be cut so.
  struct Cut {
    /// What one rank takes of a device with `total` bytes, of the kind that `kind` stands for.
    struct Taken {
      const void* kind = nullptr;
      bool unified = false;
      Bytes total;
      bool uncertain = false;
      const estimate::RankEstimate* rank = nullptr;
      Bytes need;
      Bytes claim;
      double utilization = 0;
      bool below_need = false;
    };
    Shape shape;
    std::optional<RuleOutcome> undivided;
    std::vector<Taken> taken;  // a fleet has few kinds of devices
  };
  /// Cuts by the number of ranks, filled by their first user (layouts/ranks.h).
  std::vector<std::optional<std::vector<Cut>>> cuts;  // by the number of ranks

  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

 private:
  const Request& request_;
  const Settings& settings_;
  bool prepared_ = false;
  std::optional<estimate::LlamaModel> llama_;
  // A fleet has few kinds of devices; a deque keeps what was handed out where it is.
  struct TableRow {
    DeviceTraits traits;
    LayerTable table;
  };
  struct WholeRow {
    DeviceTraits traits;
    Whole whole;
  };
  struct RunsRow {
    DeviceTraits traits;
    Runs runs;
  };
  struct RankRow {
    DeviceTraits traits;
    Shape shape;
    std::optional<estimate::RankEstimate> rank;
  };
  std::deque<TableRow> tables_;
  std::deque<WholeRow> wholes_;
  std::optional<Interval> on_host_;
  std::deque<RunsRow> runs_;
  std::deque<RankRow> ranks_;
  std::vector<Bytes> least_;
  std::string error_;
};

/// What an engine's versions make of the model's architecture; each is asked once.
class ArchitectureAnswers {
 public:
  ArchitectureAnswers(const Engine& engine, const Request& request);

  engines::Runs runs(const std::string& version);
  /// Not known to fail.
  bool may_run(const std::string& version) { return runs(version) != engines::Runs::kNo; }
  [[nodiscard]] const engines::ArchitectureMatch& match() const { return match_; }

 private:
  engines::ArchitectureMatch match_;
  std::vector<std::pair<std::string, engines::Runs>> known_;
};

/// Whether a replica of an engine may lie on several workers, and whether each must then hold as many ranks.
enum class OverWorkers { kNo, kEvenly, kFreely };

/// One engine that the request may run on, in the order of the plan key.
struct Option {
  const Engine* engine = nullptr;
  std::uint32_t order = 0;
  std::vector<std::string> versions;  // best first, after the restriction
  Settings settings;                  // complete for this engine
  Sizes sizes;
  bool ranks = false;           // its layouts have tensor-parallel ranks
  bool pipeline = false;        // and pipeline stages
  bool data = false;            // and data-parallel copies
  bool sequences_open = false;  // as many as the utilization that was given leaves room for
  OverWorkers over_workers = OverWorkers::kNo;
  std::unique_ptr<Estimates> estimates;
  // Under Policy::estimates "published": the need, or why it is not known; the share of a device by framework.
  std::optional<estimate::PublishedNeed> published;
  std::string published_error;
  std::map<std::string, double> shares;
  std::unique_ptr<ArchitectureAnswers> architecture;
};

/// What an option claims where candidates are listed. Only options of which it is known get that far.
inline const estimate::PublishedNeed& need_of(const Option& option) {
  ASSERT(option.published);
  return *option.published;
}

struct Context {
  const FleetSnapshot& snapshot;
  const Request& request;  // canonical
  const Policy& policy;
  const EngineCatalog& catalog;
  fleet::Strategy strategy;
  std::vector<Option> options;
  std::vector<fleet::Default> defaults;
  RuleOutcome invalid;                                                    // of the request itself: unknown engine
  std::map<std::string, std::vector<std::string>, std::less<>> selected;  // worker id or name → device ids
  std::uint32_t group_size = 0;  // devices per replica under `use: all`; 0 otherwise
  RuleOutcome uneven;            // reject under `use: all` when the selection does not split
  std::set<std::string> used_accept;
  std::string model_file;  // file_key() of the request's source
  std::string draft_file;  // of its draft model's; empty: it has none
  bool listed = false;     // Policy::candidates
  bool carries_files = true;
  bool carries_interconnect = true;
  bool use_index = true;

  /// Turns a reject or unknown that the request accepts into a warn.
  RuleOutcome accepted(RuleOutcome outcome);
  [[nodiscard]] bool accepts(Reason reason) const;
};

Context make_context(const FleetSnapshot& snapshot,
                     const Request& canonical_request,
                     const Policy& policy,
                     const EngineCatalog& catalog);

/// The device ids selected on this worker; null when no device is selected there.
const std::vector<std::string>* selected_on(const Context& context, const fleet::Worker& worker);
/// What names this model's file in Worker::model_files.
std::string file_key(const fleet::ModelSource& source);

}  // namespace berth::placement
