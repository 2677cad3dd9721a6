#pragma once
// The order of plans: a lexicographic integer key, part by part, never summed, never normalised over the candidates
// (DESIGN §1). Policy::plan_key names the parts; each is one function here.

#include <span>
#include <string>
#include <vector>

#include "placement/layouts/layout.h"

namespace berth::placement {

/// Fills candidate.key for the policy's list. Parts beyond kKeyParts or unknown names are refused by make_key_order.
class KeyOrder {
 public:
  /// Unknown names in policy.plan_key are ignored and listed in `unknown`.
  explicit KeyOrder(const Policy& policy);

  /// A part with the figures of its worker.
  struct Rated {
    const Part* part = nullptr;
    const Ledger* ledger = nullptr;
  };
  void fill(const Context& context, const Ledger& ledger, Candidate& candidate) const;
  void fill(const Context& context, std::span<const Rated> parts, Candidate& candidate) const;
  /// True when `a` ranks before `b`. The part "ids" compares worker id, then device ids.
  [[nodiscard]] bool before(const Candidate& a, const Candidate& b) const;
  /// Of two plans for one worker that differ in nothing but their one device, and whose claim both devices hold: true
  /// when the one on `a` ranks before the one on `b`.
  [[nodiscard]] bool device_before(
      const Context& context, const WorkerEntry& entry, const Ledger& ledger, std::uint16_t a, std::uint16_t b) const;
  /// What the parts of a plan's key are at least, before the plan is known.
  struct Least {
    std::uint64_t one = 1;  // workers, stages
    std::uint64_t simulated = 0;
    std::uint64_t engine_order = 0;
    std::uint64_t host_layers = 0;
    std::uint64_t devices = 0;
    std::uint64_t bytes_to_fetch = 0;
    std::uint64_t strategy = 0;
    std::uint64_t bytes_left = 0;
  };
  /// Whether every part has such a bound.
  [[nodiscard]] bool bounded() const { return bounded_; }
  void fill(const Least& least, Key& key) const;
  /// Bytes that a plan on this worker fetches first; with the bytes of an engine that is installed there.
  [[nodiscard]] static std::uint64_t bytes_to_fetch(const Context& context,
                                                    const WorkerEntry& entry,
                                                    const StaticChain& chain);
  /// On a worker with `ours` instances, `busy` of them on a device, and this much room on its devices of one type.
  [[nodiscard]] static std::uint64_t least_strategy(const Context& context,
                                                    std::uint32_t ours,
                                                    std::uint32_t busy,
                                                    Bytes room);
  /// Of plans on one worker each, by key and worker id: negative when `a` ranks first, 0 when they do not tell.
  [[nodiscard]] int compare(const Key& a, std::string_view worker_a, const Key& b, std::string_view worker_b) const;
  /// True when both are alike in what comes before the score.
  [[nodiscard]] bool same_step(const Candidate& a, const Candidate& b) const;
  [[nodiscard]] std::vector<fleet::KeyPart> explain(const Candidate& candidate) const;
  [[nodiscard]] const std::vector<std::string>& unknown() const { return unknown_; }
  /// True when, of the plans for one worker, those with all layers on one device rank before all others: other layouts
  /// need not be looked at once there is one.
  [[nodiscard]] bool one_device_wins() const { return one_device_wins_; }

 private:
  [[nodiscard]] bool devices_decide() const;
  struct KeyPart;
  std::vector<const KeyPart*> parts_;
  std::vector<const KeyPart*> device_parts_;  // of those, what goes by the device
  std::vector<std::string> unknown_;
  bool one_device_wins_ = false;
  bool bounded_ = true;
};

}  // namespace berth::placement
