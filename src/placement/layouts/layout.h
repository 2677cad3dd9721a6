#pragma once
// Layouts: the ways one replica can lie on the devices of one worker. One strategy per file; each header comment states
// its assumptions. A strategy looks at a Ledger (the few numbers a search deducts) and answers with candidates, best
// first within itself, or with the rule outcome that says why not and by how much.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "placement/detail/context.h"
#include "placement/detail/few.h"
#include "placement/rules/chain.h"

namespace berth::placement {

/// Bytes that can still be claimed on one worker, during one search.
struct Ledger {
  Few<Bytes> devices;            // parallel to worker.devices
  Bytes memory;                  // host RAM, or the pool shared with unified devices
  std::uint32_t replicas = 0;    // of this request, placed here by this search
  Few<std::uint32_t> instances;  // of ours, per device
  std::uint32_t own = 0;         // instances of ours on the worker, of this deployment
  std::uint32_t others = 0;      // and of other deployments
};
/// Capacity of the worker less nothing; claims of `replaces` are given back.
Ledger ledger_of(const Context& context, const WorkerEntry& entry);

constexpr std::size_t kKeyParts = 12;
using Key = std::array<std::uint64_t, kKeyParts>;

/// What one replica takes of one worker.
struct Part {
  const WorkerEntry* entry = nullptr;
  const DeviceType* type = nullptr;
  const StaticChain* chain = nullptr;
  Few<std::uint16_t> positions;  // devices, in the order the engine sees them
  Few<std::uint32_t> layers;     // parallel, llama.cpp
  Few<Bytes> claims;             // parallel
  Bytes memory_claim;
};

/// One way to run one replica; the base is its part on the first worker.
struct Candidate : Part {
  const Option* option = nullptr;
  std::string_view layout;
  Shape shape;
  std::vector<Part> more;           // on further workers
  std::uint32_t groups_across = 0;  // tensor-parallel groups that cross workers
  std::uint32_t offload_layers = 0;
  std::uint32_t total_layers = 0;
  double utilization = 0;    // engines that take a share; 0 otherwise
  bool uncertain = false;    // claims are `expected`, by consent
  std::vector<Bytes> split;  // proportions that the layers were dealt by, those of other workers first; or none
  bool overcommit = false;   // more than there is, as the policy lets a selection by hand
  std::uint32_t listed = 0;  // place in the list, where candidates are listed: of a tie the first
  Key key{};                 // in the order of Policy::plan_key
};

template <class F>
void each_part(const Candidate& c, F&& f) {
  f(static_cast<const Part&>(c));
  for (const auto& part : c.more) f(part);
}

/// What the answer is for: strategies may leave out what nobody reads.
enum class Purpose {
  kJudge,  // the best candidate, or the nearest shortfall
  kBest,   // the best candidate
  kAny,    // whether there is one
  kAll,    // every candidate
};

class KeyOrder;

struct LayoutInput {
  Context& context;
  const Option& option;
  const WorkerEntry& entry;
  const Ledger& ledger;
  const DeviceType& type;
  const StaticChain& chain;
  std::span<const std::uint16_t> usable;  // positions of this type that the restriction admits, most allocatable first
  const KeyOrder& order;
  bool uncertain = false;  // claim `expected` instead of `high`
  Purpose purpose = Purpose::kJudge;
  bool overcommit = false;  // claims may be more than there is
};

/// The outcomes of layout, memory, RAM and disk when a strategy finds nothing, and how far off it was. The words are
/// added by worded() for the one that is shown.
struct Shortfall {
  RuleId rule = RuleId::kLayout;
  RuleOutcome outcome;
  Bytes missing;
  std::string_view layout{};
  std::optional<std::uint16_t> position{};  // of the device that is too small
  std::optional<Bytes> expected{};          // what would fit: memory_uncertain
};
/// The outcome with layout, place and expected bytes in words.
RuleOutcome worded(Shortfall shortfall, const WorkerEntry& entry);

/// A cut of a replica that some device has too little for: what of it is nearest is put in words at the end.
struct NearMiss {
  Estimates::Cut* cut = nullptr;  // null: there is none
  Few<std::uint16_t> positions;
  std::string_view layout{};
  Bytes missing;
};

struct LayoutAnswer {
  std::vector<Candidate> candidates;
  std::vector<Shortfall> shortfalls;
  NearMiss near;
};

using LayoutStrategy = void (*)(const LayoutInput& input, LayoutAnswer& answer);
struct LayoutRow {
  std::string_view name;
  bool needs_devices;
  bool all_on_one_device;
  LayoutStrategy strategy;
};
/// cpu, single_device, several_devices, partial_offload, tensor_parallel, pipeline_parallel, declared; those of a
/// policy with listed candidates are others, which every engine knows (layouts/listed.h).
std::span<const LayoutRow> layout_table(const Policy& policy);

// --- shared by the strategies ---

/// Checks claims against the ledger: devices, then RAM or the shared pool. Pass, or the reject with its numbers.
Shortfall check_claims(const LayoutInput& input,
                       std::span<const std::uint16_t> positions,
                       std::span<const Bytes> claims,
                       Bytes memory_claim,
                       std::string_view layout);
Candidate make_candidate(const LayoutInput& input, std::string_view layout);
/// The same as a further candidate of the answer.
Candidate& add_candidate(const LayoutInput& input, std::string_view layout, LayoutAnswer& answer);
/// Of the first `count` devices of a group, each of which holds the same plan: whose plan ranks first.
std::uint16_t best_device(const LayoutInput& input, std::span<const std::uint16_t> group, std::size_t count);
/// "GPU-1 of w1" for sentences.
std::string device_title(const WorkerEntry& entry, std::uint16_t position);
/// How many devices one replica must take: devices_per_replica, the group size of `use: all`, or the parallel sizes.
std::optional<std::uint32_t> fixed_device_count(const LayoutInput& input);
/// The parallel sizes of the request, where this engine cannot have them (reject) or where no strategy here judges them
/// yet (unknown); nothing when the strategies answer.
std::optional<Shortfall> refused_sizes(const LayoutInput& input);
/// Groups of `use: all` still free on this ledger; otherwise the whole usable list as one.
class SelectionGroups {
 public:
  using Group = std::span<const std::uint16_t>;
  SelectionGroups() = default;
  SelectionGroups(SelectionGroups&&) = default;  // a copy's group would lie in the original
  SelectionGroups& operator=(SelectionGroups&&) = delete;
  [[nodiscard]] const Group* begin() const { return &group_; }
  [[nodiscard]] const Group* end() const { return &group_ + (there_ ? 1 : 0); }

 private:
  friend SelectionGroups selection_groups(const LayoutInput& input);
  std::vector<std::uint16_t> owned_;
  Group group_;  // of owned_, or of LayoutInput::usable
  bool there_ = false;
};
SelectionGroups selection_groups(const LayoutInput& input);

}  // namespace berth::placement
