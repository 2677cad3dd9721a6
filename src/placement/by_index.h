#pragma once
// Placing by the index of the snapshot (DESIGN §2): leads, each with the smallest key that a plan below it may have, in
// a heap. What is on top is looked at more closely, from kinds of plan to lists of rooms to workers to plans, until a
// plan is on top: it is the one that a look at every worker would have found first.

#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "placement/search.h"

namespace berth::placement {

/// Workers that are looked at for each replica before every worker is looked at instead.
constexpr std::size_t kLooksPerReplica = 8;
constexpr std::size_t kLooksAtLeast = 1024;

class ByIndex {
 public:
  ByIndex(Search& search, Context& context);

  /// Whether the index can tell: every part of the plan key has a bound, and nothing of the request changes what is
  /// allocatable or names its workers.
  [[nodiscard]] bool possible() const { return possible_; }
  /// All replicas that were asked for, or nothing: then every worker has to be judged.
  std::optional<std::vector<Candidate>> place();

 private:
  /// Plans of one kind, in the order in which they may rank.
  enum class Stage {
    kEngine,    // all of one engine
    kOnSlots,   // all layers on so many devices of one type
    kSeveral,   // layers on several devices
    kOffload,   // some layers on the host
    kAnywhere,  // on devices, of any kind
    kOnCpu,
  };
  enum class Step { kStage, kSlots, kLane, kWorker, kPlan };
  struct Lead {
    Key least{};
    const std::string* id = nullptr;  // of the worker, or of the first that it may be
    Step step = Step::kStage;
    Stage stage = Stage::kEngine;
    std::uint32_t option = 0;
    std::uint32_t devices = 0;  // of kOnSlots
    std::uint32_t cls = 0;      // of the index, and its type
    std::uint32_t type = 0;
    bool passes = false;       // its chain does
    fleet::SlotList::At at{};  // with kSlots
    const fleet::Lane* lane = nullptr;
    std::uint32_t run = UINT32_MAX;        // with kWorker: the workers that come after this one
    const WorkerEntry* entry = nullptr;    // with kWorker and kPlan
    const Candidate* candidate = nullptr;  // with kPlan
  };
  /// What is taken of a device, by engine and kind of device.
  struct Demand {
    enum class Way { kOpen, kNone, kClaim };
    struct Claim {
      Way way = Way::kOpen;
      Bytes bytes;
    };
    const fleet::DeviceType* type = nullptr;
    std::uint32_t option = 0;
    std::uint32_t fewest = 1;   // devices
    std::vector<Claim> claims;  // [n]: of each of n devices that are alike, once it was asked for
    std::optional<Bytes> host;  // what goes with [1]
  };
  struct Replica {
    Ledger ledger;
    const Candidate* best = nullptr;
  };
  struct Looked {
    const WorkerEntry* entry = nullptr;
    std::uint32_t option = 0;
    std::uint32_t type = 0;

    friend bool operator==(const Looked&, const Looked&) = default;
    friend std::size_t hash_value(const Looked& l) {
      return std::hash<const void*>()(l.entry) * 31 + l.option * 257 + l.type;
    }
  };
  struct HashLooked {
    std::size_t operator()(const Looked& l) const { return hash_value(l); }
  };

  // Opening: leads for what a lead stands for.
  void open(const Lead& lead);
  void open_engine(std::uint32_t option);
  void open_slots(std::uint32_t option, std::uint32_t devices);
  void open_lanes(std::uint32_t option, Stage stage);
  void open_holders(std::uint32_t option);
  void push_stage(std::uint32_t option, Stage stage, std::uint32_t devices, const KeyOrder::Least& least);
  [[nodiscard]] std::uint32_t most_devices() const;

  // Looking closer at one lead.
  void look_at_slot(Lead lead);
  void look_into(const Lead& lane);
  void look_at(const Lead& worker);
  void next_of_run(std::uint32_t run);
  void take(const Lead& plan);

  /// Fills the key of a lead on slots, or says that there are no more.
  bool fill_slots(Lead& lead, Demand& demand, const StaticChain* chain);
  /// A lead for the worker; nothing when it cannot have a plan of that stage.
  std::optional<Lead> lead_of(const WorkerEntry& entry, const Lead& from, Demand& demand, const StaticChain* chain);
  [[nodiscard]] bool of_stage(Stage stage, const KeyOrder::Least& least) const;
  [[nodiscard]] bool has_file(const fleet::IndexBlock& block) const;
  const StaticChain& chain_of(const Lead& lead, const WorkerEntry& sample);
  [[nodiscard]] const fleet::DeviceType& type_of(const Lead& lead) const;
  void push(const Lead& lead);
  [[nodiscard]] bool behind(const Lead& a, const Lead& b) const;

  Demand& demand_of(const Lead& lead);
  Demand parts_demand(std::uint32_t option, const fleet::DeviceType& type);
  Demand share_demand(std::uint32_t option, const fleet::DeviceType& type);
  /// The least that each of n devices is claimed for; nothing when that many is no way.
  std::optional<Bytes> claim_of(Demand& demand, std::size_t n);
  /// What a plan on devices with these rooms, most first, takes at least; nothing when there is none.
  std::optional<KeyOrder::Least> least_of(Demand& demand, std::span<const Bytes> rooms, Bytes sum, Bytes memory);
  [[nodiscard]] std::optional<KeyOrder::Least> by_layers(Demand& demand,
                                                         std::span<const Bytes> rooms,
                                                         Bytes sum,
                                                         Bytes memory) const;

  Search& search_;
  Context& context_;
  bool possible_ = false;
  std::uint64_t whole_model_ = 0;  // bytes that a worker without the model's files fetches
  std::uint64_t file_ = 0;         // number of the model's file
  std::size_t looks_ = 0;
  std::vector<Lead> heap_;
  std::deque<std::vector<Lead>> runs_;  // heaps
  std::deque<Demand> demands_;
  std::vector<Demand*> demand_by_type_;  // options by types of the index
  std::deque<Candidate> found_;
  std::unordered_set<Looked, HashLooked> looked_;
  std::unordered_map<const WorkerEntry*, Replica> touched_;  // looked up only
  std::vector<Candidate> chosen_;
};

}  // namespace berth::placement
