#pragma once
// Replicas over several workers: by consent, and only for those that no single worker takes (DESIGN §1, "Replicas").
//
// A replica is a number of equal groups of ranks (pipeline stages, or copies of them), each group inside one worker and
// on devices of one kind. Stages may lie on another kind of device on each worker; that is tried where one kind alone
// does not suffice. Or, where no worker has devices enough for a group, one group spread evenly over workers.
// For one replica the verdict is exact: every shape is tried, and the fewest workers whose groups suffice are found by
// counting. For more, replicas are placed one by one, and where that falls short every way is tried within a bound.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placement/layouts/ranks.h"
#include "placement/search.h"

namespace berth::placement {

class Across {
 public:
  Across(Search& search, Context& context);

  /// Whether the request consents and some engine can.
  [[nodiscard]] bool possible() const { return possible_; }
  /// Up to `wanted` replicas on what `ledgers` (parallel to Search::workers()) leave; takes them off.
  std::vector<Candidate> place(std::vector<Ledger>& ledgers, std::uint32_t wanted, bool uncertain);

  /// The bound was hit before an answer was certain.
  [[nodiscard]] bool limited() const { return limited_; }
  /// Facts were missing for some engine that could have.
  [[nodiscard]] bool unknown() const { return unknown_; }
  /// What the nearest shape lacked, one for each engine; empty when every replica was placed.
  [[nodiscard]] std::vector<RuleOutcome> shortfalls() const;

 private:
  [[nodiscard]] std::optional<RuleOutcome> limited_version(std::size_t option) const;
  struct Offer;
  struct Kind;
  struct Need;
  struct Short {
    const Option* option = nullptr;
    double ratio = 0;  // of the groups needed
    Shape shape;
    Bytes claim;
    std::string device;
    std::uint64_t has = 0;
  };
  using Ledgers = std::vector<Ledger>;
  using Visit = std::function<void(Candidate)>;

  [[nodiscard]] std::vector<Kind> kinds_of(std::size_t option, const Ledgers& ledgers) const;
  template <class F>
  void each_shape(const Option& option, const Kind& kind, F&& visit);
  std::optional<Need> need_of(const Option& option, const Kind& kind, const Shape& shape, bool uncertain);
  /// The shapes of all engines and kinds, with what one rank takes.
  enum class Mixed { kNo, kYes };
  template <class F>
  void each_need(const Ledgers& ledgers, bool uncertain, Mixed mixed, F&& visit);
  /// Sets of two or more kinds that stages of one replica may be spread over.
  [[nodiscard]] static std::vector<std::vector<const Kind*>> mixable(const std::vector<Kind>& kinds);
  /// For each utilization that is the least one for some kind: the kinds it suffices for, one kind a worker.
  std::vector<std::pair<Kind, Need>> mixed_needs(const Option& option,
                                                 const std::vector<const Kind*>& kinds,
                                                 const Shape& shape,
                                                 const Ledgers& ledgers,
                                                 bool uncertain);
  [[nodiscard]] std::vector<Offer> offers_for(const Option& option,
                                              const Kind& kind,
                                              const Need& need,
                                              const Ledgers& ledgers) const;
  /// How many groups of the need an offer holds.
  [[nodiscard]] std::uint32_t groups_on(const Offer& offer, const Need& need, const Ledger& ledger) const;
  [[nodiscard]] const fleet::Device& device_of(const Offer& offer) const;
  std::optional<Candidate> best(const Ledgers& ledgers, bool uncertain, Mixed mixed);
  std::optional<Candidate> fewest_workers(const Option& option,
                                          const Kind& kind,
                                          const Need& need,
                                          const Ledgers& ledgers);
  std::optional<Candidate> one_group(const Option& option, const Kind& kind, const Need& need, const Ledgers& ledgers);
  [[nodiscard]] Part part_of(const Offer& offer, const Need& need, std::uint32_t ranks) const;
  [[nodiscard]] Candidate candidate(const Option& option, const Need& need, std::string_view layout) const;
  void add_part(Candidate& c, Part part) const;
  void fill_key(Candidate& c, const Ledgers& ledgers) const;
  [[nodiscard]] std::size_t place_of(const Part& part) const;
  void take_off(Ledgers& ledgers, const Candidate& c) const;
  /// Every plan for one replica, however unattractive.
  void each_plan(const Ledgers& ledgers, bool uncertain, const Visit& visit);
  void note_short(const Option& option, const Kind& kind, const Need& need, std::uint64_t has);

  class Exhaust;

  Search& search_;
  Context& context_;
  bool possible_ = false;
  bool limited_ = false;
  bool unknown_ = false;
  std::vector<Short> short_;
};

}  // namespace berth::placement
