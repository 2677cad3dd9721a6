#pragma once
// A worker without a machine: it takes instructions and moves its engines over virtual time, speaking the structs of
// wire/messages.h. Like a real one it keeps its engines while it cannot reach the server, and remembers those that
// ended until the server names them no more.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "controllers/states.h"
#include "fleet/device.h"
#include "wire/messages.h"

namespace berth::sim {

/// Every state that an engine went through, in order: what is true, whatever the server heard of it.
class Trail {
 public:
  struct Step {
    fleet::InstanceState state;
    std::uint32_t restarts;
    friend bool operator==(const Step&, const Step&) = default;
  };
  void add(const fleet::InstanceStatus& status) {
    if (const Step step{status.state, status.restarts}; steps_.empty() || steps_.back() != step) steps_.push_back(step);
  }
  /// Where it was this; absent: it never was.
  [[nodiscard]] std::optional<std::size_t> find(const fleet::InstanceStatus& status) const;

 private:
  std::vector<Step> steps_;
};

struct FakeEngine {
  wire::DesiredInstance wanted;
  fleet::InstanceStatus status;
  Time next_at{};
  bool gone = false;
};

class FakeWorker {
 public:
  explicit FakeWorker(fleet::Worker hardware) : hardware_(std::move(hardware)) {}

  [[nodiscard]] const std::string& name() const { return hardware_.name; }
  [[nodiscard]] const fleet::Worker& hardware() const { return hardware_; }
  [[nodiscard]] const std::map<std::string, FakeEngine>& engines() const { return engines_; }
  /// By instance, of all that ever were here.
  [[nodiscard]] const std::map<std::string, Trail>& trails() const { return trails_; }

  std::string id;  // issued by the server on the first join
  bool connected = false;

  void obey(const wire::Desired& desired, Rng& rng, Time now);
  /// Moves every engine whose time has come by one state; what changed is to be reported.
  std::vector<wire::InstanceReport> advance(Rng& rng, Time now);
  /// One engine exits; empty when none runs.
  std::vector<wire::InstanceReport> crash(Rng& rng, Time now);
  /// The agent starts again and finds its engines by their records; what was not begun has none.
  void restart();
  /// True when this changed something, so that a new inventory is due. Engines on a lost device exit.
  bool lose_device(bool lost, Rng& rng, Time now);
  void set_stranger(Bytes bytes) { stranger_ = bytes; }

  [[nodiscard]] wire::Hello hello() const;
  wire::Inventory inventory();
  /// What was not told on this connection yet, and how much memory is used.
  wire::Heartbeat heartbeat();
  void told(const wire::InstanceReport& report);

 private:
  [[nodiscard]] wire::Inventory all() const;
  [[nodiscard]] wire::InstanceReport report_of(const FakeEngine& engine) const;
  [[nodiscard]] bool devices_present(const FakeEngine& engine) const;
  [[nodiscard]] Bytes used_on(const std::string& device) const;
  void move(FakeEngine& engine, controllers::InstanceEvent event, Rng& rng, Time now);
  void fail_engine(FakeEngine& engine, Rng& rng, Time now);

  fleet::Worker hardware_;
  std::map<std::string, FakeEngine> engines_;
  std::map<std::string, Trail> trails_;
  std::map<std::string, std::string> told_;  // by instance, since the last inventory
  std::string lost_device_;
  Bytes stranger_;
  std::uint64_t sequence_ = 0;
};

}  // namespace berth::sim
