#pragma once
// The search behind decide(): judge every worker once, then place replica by replica.
//
// Where the index of the snapshot tells (by_index.h), only workers that may come first are looked at. Else, and for the
// report, every worker is judged:
//
//   1. gate: state, cordon, labels, selection of each worker (hide nothing)
//   2. class: the static chain once per class of workers, engine and device type
//   3. layouts: for each worker and type that the chain admits, candidates or the nearest shortfall
//   4. place: best key first; only when the greedy walk falls short, exact counts per worker decide which plan may be
//      taken without costing a later replica its place

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "placement/layouts/layout.h"
#include "placement/ranking.h"

namespace berth::placement {

/// What one option comes to on one worker, on its present figures.
struct Judgement {
  Judgement();                       // not an aggregate: the plan's room is not cleared first
  const DeviceType* type = nullptr;  // the one that gets farthest
  const StaticChain* chain = nullptr;
  RuleOutcome layout;
  RuleOutcome memory;
  RuleOutcome ram;
  RuleOutcome disk;
  std::optional<Candidate> best;  // what would be taken, were the gate open
  bool fits = false;              // no reject and nothing unknown behind the gate
  bool unknown = false;           // no reject, but something could not be answered
};

/// Static answers for all workers of one class: types, and per option and type the chain.
struct ClassEval {
  std::vector<DeviceType> types;
  std::vector<std::vector<const StaticChain*>> chains;  // [option][type]
  std::vector<std::unique_ptr<Judgement>> shut;         // [option]: no type passes, whatever the figures; else null
};

struct WorkerEval {
  const WorkerEntry* entry = nullptr;
  const ClassEval* cls = nullptr;
  WorkerGate gate;
  bool open = false;
  Ledger ledger;
  std::span<const Judgement*> judgements;  // per option, of Search
};

class Search {
 public:
  /// `before`: a search on an earlier snapshot with the same request, policy and catalog, which outlives this one;
  /// workers whose entry is the same are not judged again.
  explicit Search(Context& context, const Search* before = nullptr);

  struct Placement {
    std::vector<Candidate> chosen;
    bool search_limit = false;
    std::uint64_t steps = 0;
    bool unknown = false;                   // a plan over several workers could not be judged
    std::vector<RuleOutcome> over_workers;  // what such plans lacked
  };
  /// Places up to request.replicas; with `accept: memory_uncertain` a second round claims `expected`.
  Placement place();
  /// Steps 1–3 for every worker, once.
  void judge_all();

  /// The worker without judgements.
  const WorkerEval& look_at(const WorkerEntry& entry);
  /// The chain of a type of this worker; equal for equal kinds.
  const StaticChain& chain_of(std::size_t option, const WorkerEntry& entry, const DeviceType& type);
  /// Nothing is rejected and nothing unknown.
  [[nodiscard]] static bool passes(const StaticChain& chain);
  /// The best plan on the worker as it is, with one engine on devices of one of its types.
  std::optional<Candidate> best_with(const WorkerEntry& entry, std::size_t option, const DeviceType& type);
  /// The best plan on the worker with that ledger.
  std::optional<Candidate> best_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain);
  /// Where candidates are listed: all of them for one replica on these ledgers, parallel to workers(), best first.
  /// `overcommit`: those that claim more than there is.
  std::vector<Candidate> list(const std::vector<Ledger>& ledgers, bool overcommit);
  /// Of the untouched fleet; what is chosen by hand is listed though it is too small, where the policy takes it.
  std::vector<Candidate> list_first();

  /// Nothing static rules out what the chain is about on this worker, and nothing is unknown.
  [[nodiscard]] bool admits(const WorkerEval& worker, const StaticChain& chain) const;
  /// Whether one replica would find a place on this worker with that ledger.
  bool fits_on(const WorkerEval& worker, const Ledger& ledger);

  /// After judge_all(), in the order of the snapshot.
  [[nodiscard]] const std::vector<const WorkerEval*>& workers() const { return workers_; }
  [[nodiscard]] const KeyOrder& order() const { return order_; }
  /// True when some worker with an open gate has no reject but something unknown.
  [[nodiscard]] bool something_unknown() const;

 private:
  const ClassEval& class_of(const WorkerEntry& entry);
  Placement place_listed();
  std::vector<Candidate> list_or_overcommit(const std::vector<Ledger>& ledgers);
  void number(const std::vector<Ledger>& ledgers, std::vector<Candidate>& list) const;
  /// On the worker's present figures.
  void judge(const WorkerEval& worker, std::size_t option, Judgement& best);
  void judge_class(ClassEval& cls) const;
  void judge_type(const WorkerEval& worker, std::size_t option, std::size_t type, Judgement& j);
  [[nodiscard]] bool cannot_pass(const Judgement& best, const DeviceType& type, const StaticChain& chain) const;
  Candidate* first_of(std::vector<Candidate>& candidates, const Ledger& ledger) const;
  [[nodiscard]] const Candidate* judged_best(const WorkerEval& worker) const;
  /// The answer is good until the next call.
  LayoutAnswer& run_layouts(const LayoutInput& input, std::size_t option);
  template <class Visit>
  void each_layout(const WorkerEval& worker, const Ledger& ledger, bool uncertain, Purpose purpose, Visit&& visit);
  void all_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain, std::vector<Candidate>& out);
  std::uint32_t count_on(const WorkerEval& worker, const Ledger& ledger, bool uncertain, std::uint32_t enough);
  std::uint32_t count_exact(const WorkerEval& worker,
                            const Ledger& ledger,
                            bool uncertain,
                            std::uint32_t enough,
                            std::map<std::vector<std::uint64_t>, std::uint32_t>& memo);
  /// One replica placed: the ledger after it, how many are still to come, how many find room here (before it, then
  /// after it).
  struct Step {
    Candidate taken;
    Ledger rest;
    std::uint32_t left = 0;
    std::uint32_t room = 0;
  };
  Step careful_step(const WorkerEval& worker, const Ledger& ledger, bool uncertain, Step taken, std::uint64_t others);
  std::vector<Candidate> walk(std::vector<Ledger>& ledgers, std::uint32_t wanted, bool uncertain, bool careful);
  std::vector<std::uint32_t> counts(const std::vector<Ledger>& ledgers, std::uint32_t wanted, bool uncertain);

  Placement place_among_all();
  void fill(WorkerEval& worker, const WorkerEntry& entry);

  Context& context_;
  const Search* before_;
  KeyOrder order_;
  struct ByLow {
    std::size_t operator()(const Hash& h) const { return h.lo; }
  };
  std::unordered_map<Hash, ClassEval, ByLow> classes_;  // by WorkerEntry::types_key; never walked through
  std::vector<std::map<Hash, StaticChain>> chains_;     // [option], by DeviceType::kind: classes share them
  std::vector<std::vector<bool>> layouts_;              // [option][row of layout_table()]: the engine knows it
  bool all_judged_ = false;
  std::deque<WorkerEval> looked_at_;        // one by one
  std::vector<WorkerEval> judged_;          // here, not by `before`
  std::vector<Judgement> judgements_;       // of those, where their class does not tell
  std::vector<const Judgement*> told_;      // of those, per option
  std::vector<const WorkerEval*> workers_;  // in the order of the snapshot
  LayoutAnswer answer_;                     // of the layouts that are being looked at
  std::size_t open_workers_ = 0;            // with an open gate
  std::uint64_t steps_ = 0;
  bool limit_ = false;
};

/// Takes the claims of a part off the ledger of its worker.
void deduct(Ledger& ledger, const Part& part);
/// The devices of `type` on this worker that the restriction admits, most allocatable first, then id.
Few<std::uint16_t> usable_devices(const Context& context,
                                  const WorkerEntry& entry,
                                  const Ledger& ledger,
                                  const DeviceType& type);

}  // namespace berth::placement
