#pragma once
// A worker without a machine: it takes instructions and moves its engines over virtual time, speaking the structs of
// wire/messages.h. Like a real one it keeps its engines while it cannot reach the server, and remembers those that
// ended until the server names them no more.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "fleet/device.h"
#include "wire/messages.h"

namespace berth::sim {

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

  std::string id;  // issued by the server on the first join
  bool connected = false;

  void obey(const wire::Desired& desired, Rng& rng, Time now);
  /// Moves every engine whose time has come by one state; what changed is to be reported.
  std::vector<wire::InstanceReport> advance(Rng& rng, Time now);
  /// One engine exits; empty when none runs.
  std::vector<wire::InstanceReport> crash(Rng& rng, Time now);
  /// True when this changed something, so that a new inventory is due. Engines on a lost device exit.
  bool lose_device(bool lost, Rng& rng, Time now);
  void set_stranger(Bytes bytes) { stranger_ = bytes; }

  [[nodiscard]] wire::Hello hello() const;
  [[nodiscard]] wire::Inventory inventory() const;
  wire::Heartbeat heartbeat();

 private:
  [[nodiscard]] wire::InstanceReport report_of(const FakeEngine& engine) const;
  [[nodiscard]] bool devices_present(const FakeEngine& engine) const;
  [[nodiscard]] Bytes used_on(const std::string& device) const;
  void fail_engine(FakeEngine& engine, Rng& rng, Time now);

  fleet::Worker hardware_;
  std::map<std::string, FakeEngine> engines_;
  std::string lost_device_;
  Bytes stranger_;
  std::uint64_t sequence_ = 0;
};

}  // namespace berth::sim
