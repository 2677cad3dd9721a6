#pragma once
// Placing by the index of the snapshot (DESIGN §2): leads, each with the smallest key that a plan below it may have, in
// a heap. What is on top is looked at more closely, from lanes to workers to plans, until a plan is on top: it is the
// one that a look at every worker would have found first.

#include <deque>
#include <optional>
#include <unordered_map>
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
  struct Lead {
    Key least{};
    const std::string* id = nullptr;  // of the worker, or of the first that it may be
    std::uint32_t option = 0;
    bool close = false;  // a lane of which every worker was looked at for the bound
    const fleet::Lane* lane = nullptr;
    const WorkerEntry* entry = nullptr;    // with a lane: a worker of it
    const Candidate* candidate = nullptr;  // with an entry: its plan
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

  void open_option();
  void open_lanes(std::uint32_t option, bool cpu);
  void add_lane(const fleet::Lane& lane, Demand& demand);
  void on_one_device(const fleet::Lane& lane, Bytes claim, KeyOrder::Least& least) const;
  void look_closer(Lead lead);
  void look_into(const Lead& lead);
  /// Calls visit(Lead) for each worker of the lane that may have a plan; its chain is that of the lane, if known.
  template <class Visit>
  void each_worker(const Lead& lead, const StaticChain* chain, Visit&& visit);
  void look_at(const Lead& lead);
  void take(const Lead& lead);
  void push(Lead lead);
  Demand& demand_of(std::uint32_t option, const fleet::DeviceType& type);
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
  [[nodiscard]] bool behind(const Lead& a, const Lead& b) const;

  Search& search_;
  Context& context_;
  bool possible_ = false;
  std::uint64_t whole_model_ = 0;  // bytes that a worker without the model's files fetches
  std::size_t next_option_ = 0;
  bool cpus_next_ = false;  // of the option before next_option_
  std::size_t looks_ = 0;
  std::vector<Lead> heap_;
  std::deque<Demand> demands_;
  std::deque<Candidate> found_;
  std::unordered_map<const WorkerEntry*, Replica> touched_;  // looked up only
  std::vector<Candidate> chosen_;
};

}  // namespace berth::placement
