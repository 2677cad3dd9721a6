#pragma once
// The comparison of one decision with what a case expects of it.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/conformance/facts.h"
#include "cli/conformance/judge.h"
#include "placement/listing.h"

namespace berth::cli::conformance {

class Comparison {
 public:
  Comparison(const Case& c, const World& world, const fleet::Decision& decision, const ReasonMap& reasons);

  /// Every reject of the report is true in the case. Counts as nothing compared: it expects nothing of the case.
  void facts_hold();
  /// What decide() returned, verify() lets pass.
  void plan_holds(const fleet::Plan& plan, const fleet::Verification& verification);
  void schedule();
  /// The same under a policy that lists its candidates.
  void schedule_listed();
  /// The order of listed candidates is compared, too.
  void be_strict() { strict_ = true; }
  /// Whether the request would run at all, and what the model is taken for.
  void evaluate();
  /// What the flags make of one replica, and whether that agrees with what is selected.
  void count();
  void filter();

  [[nodiscard]] std::size_t compared() const { return compared_; }
  [[nodiscard]] const std::vector<std::string>& differences() const { return differences_; }
  /// What of a recorded case is no matter of berth's policy, and was not compared.
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  void check(bool ok, std::string difference);
  void differs(std::string difference) { differences_.push_back(std::move(difference)); }
  void verdict();
  void reported(const std::vector<std::string>& any_of);
  void listed_reasons();
  /// Names what is expected and not looked at.
  void not_compared();
  void bypass(bool expected);
  void categories(const std::vector<std::string>& expected);
  /// Some reject that says `code` says these values, too.
  void said_with(const std::string& code, const std::map<std::string, std::string>& args);
  void recorded();
  void listed_place(const std::string& what, const CasePlace& wanted);
  void listed_choice(const std::vector<CasePlace>& candidates);
  void listed_candidates(const std::vector<CasePlace>& wanted, const placement::Listing& listing);
  void listed_estimate(const CaseEstimate& wanted, const placement::Listing& listing);
  void choice(const wire::RawJson& wanted);
  void place(const std::string& what, const CasePlace& wanted);
  void followers(const std::string& what, const std::vector<CaseFollower>& wanted);
  void devices(const std::string& what,
               const fleet::PlanWorker& got,
               const std::optional<std::string>& runtime,
               const std::optional<std::vector<int>>& indexes);
  void share(const std::string& what, const fleet::PlanWorker& got, const CaseShare& wanted);
  void estimate(const CaseEstimate& wanted);
  void never_used(const std::vector<std::string>& names);
  void numbered_reason(const CaseReason& reason);
  void selected_workers(const CaseReason& reason,
                        std::uint64_t matched,
                        const std::vector<const fleet::RuleResult*>& rejects);
  [[nodiscard]] const CaseWorker* worker_named(const std::string& name) const;
  /// True when some reject says that a worker which is selected and is not there is missing.
  [[nodiscard]] bool says_missing(const fleet::RuleResult& result, const std::string& code) const;
  /// Workers on which some reject says `code`.
  [[nodiscard]] std::set<std::string> rejected_for(const std::string& code) const;
  /// Workers that the stage rejects with every engine that it was judged with; `judged`: all that were.
  [[nodiscard]] std::set<std::string> rejected_by(const std::vector<std::string>& ours,
                                                  std::set<std::string>& judged) const;
  [[nodiscard]] std::vector<const fleet::RuleResult*> request_rejects() const;

  const Case& case_;
  const World& world_;
  const fleet::Decision& decision_;
  const ReasonMap& reasons_;
  std::vector<Line> lines_;
  bool strict_ = false;
  std::size_t compared_ = 0;
  std::vector<std::string> differences_;
  std::vector<std::string> left_out_;
};

}  // namespace berth::cli::conformance
