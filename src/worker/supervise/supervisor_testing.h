#pragma once
// For tests of the supervisor: a machine with a state folder, fake eyes, a fake probe, virtual time, and engines that
// are shell scripts.

#include <doctest/doctest.h>
#include <mutex>
#include <set>
#include <signal.h>

#include "worker/files/fd.h"
#include "worker/supervise/identity.h"
#include "worker/supervise/supervisor.h"
#include "worker/testing.h"

namespace berth::worker::testing {

class FakeProbe final : public EngineProbe {
 public:
  Result<ProbeResult> probe(const ProbeTarget& target) override {
    const std::lock_guard hold(mutex_);
    targets_.push_back(target);
    if (ready_.contains(target.instance)) return ProbeResult{.ready = true, .status = 200, .detail = ""};
    if (takes_ > Duration::zero()) std::this_thread::sleep_for(takes_);
    return ProbeResult{.ready = false, .status = status_, .detail = status_ == 0 ? "no answer" : "503 loading model"};
  }
  /// From now on what is not ready answers with `status`, or not at all (0), after that long.
  void set_failing(int status, Duration takes = {}) {
    const std::lock_guard hold(mutex_);
    status_ = status;
    takes_ = takes;
  }
  void set_ready(const std::string& instance, bool ready = true) {
    const std::lock_guard hold(mutex_);
    if (ready)
      ready_.insert(instance);
    else
      ready_.erase(instance);
  }
  std::vector<ProbeTarget> targets() {
    const std::lock_guard hold(mutex_);
    return targets_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> ready_;
  int status_ = 503;
  Duration takes_{};
  std::vector<ProbeTarget> targets_;
};

class FakeObserver final : public Observer {
 public:
  Usage usage{.memory_total_bytes = 64 * kGiB, .memory_available_bytes = 32 * kGiB, .disk_free_bytes = 100 * kGiB};
  Result<Usage> look() override { return usage; }
};

/// Everything around one supervisor; `restart()` is an agent that dies and comes back.
class Machine {
 public:
  Folder folder;
  FakeProbe probe;
  FakeObserver observer;
  ManualClock clock{Time(std::chrono::hours(24 * 365 * 50))};
  engines::EngineCatalog catalog;
  SupervisorOptions options;
  std::unique_ptr<Supervisor> supervisor;
  std::vector<std::string> adopted;

  Machine() {
    folder.write("models/m.gguf", "weights");
    engines::Engine engine;
    engine.id = "fake";
    engine.recipe.programs = {"fake-engine"};
    catalog = engines::EngineCatalog({engine});
    options.state_dir = folder.path("state");
    options.engine_user = "nobody";
    options.model_roots = {folder.path("models")};
    options.engines.commands["fake"] = {"/bin/sh"};
    options.ports = {.first = 43'200, .last = 43'999};
    options.launch = [this](const engines::Engine&,
                            const fleet::Plan& plan,
                            const fleet::PlanWorker&,
                            const std::string&,
                            const std::string&,
                            const engines::LaunchPlace& place) -> Result<engines::LaunchSpec> {
      place_ = place;
      engines::LaunchSpec launch;
      launch.argv = {place.program, "-c", plan.settings.flags.empty() ? "exec sleep 600" : plan.settings.flags.front()};
      launch.environment = {{"PATH", "/usr/bin:/bin"}, {"SECRET_FILE", place.secret_file}};
      return launch;
    };
  }
  /// Ends every engine and frees what it held, cgroups too, whatever the test did.
  ~Machine() {
    observer.usage.processes.clear();
    if (!supervisor) {
      if (auto created = Supervisor::create(options, catalog, probe, observer); created.has_value()) {
        supervisor = std::move(*created);
        static_cast<void>(supervisor->adopt_all(clock.now()));
      }
    }
    if (supervisor) {
      for (const wire::InstanceReport& one : supervisor->reports(false))
        static_cast<void>(supervisor->stop(one.instance, one.attempt, clock.now()));
      clock.advance(options.limits.stop_grace);
      static_cast<void>(until([&] {
        for (const wire::InstanceReport& one : supervisor->reports(false))
          if (!one.gone) return false;
        return true;
      }));
      supervisor.reset();
    }
    for (const auto& [id, identity] : seen_)
      signal_members(members_of(identity, folder.path("state/logs/" + id + ".log")), SIGKILL);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void restart() {
    supervisor.reset();
    auto created = Supervisor::create(options, catalog, probe, observer);
    REQUIRE_MESSAGE(created.has_value(), created.error().message);
    supervisor = std::move(*created);
    adopted = supervisor->adopt_all(clock.now()).value();
  }

  wire::DesiredInstance desired(const std::string& id, const std::string& script, std::uint64_t attempt = 1) const {
    wire::DesiredInstance made{.instance = id, .name = "name-" + id};
    made.spec.deployment_name = "demo";
    made.spec.attempt = attempt;
    fleet::Plan& plan = made.spec.plan;
    plan.engine = "fake";
    plan.source = {.kind = "local", .path = folder.path("models/m.gguf")};
    plan.settings.flags = {script};
    plan.workers.emplace_back();
    return made;
  }

  /// Virtual time goes on by 100 ms with each look.
  template <class F>
  bool until(F&& done) {
    return eventually([&] {
      clock.advance(std::chrono::milliseconds(100));
      supervisor->tick(clock.now());
      remember();
      return done();
    });
  }
  bool until_state(const std::string& id, fleet::InstanceState state) {
    return until([&] { return report(id).status.state == state; });
  }
  bool until_gone(const std::string& id) {
    return until([&] { return report(id).gone; });
  }
  wire::InstanceReport report(const std::string& id) const {
    for (wire::InstanceReport& one : supervisor->reports(true))
      if (one.instance == id) return std::move(one);
    return {};
  }
  const engines::LaunchPlace& place() const { return place_; }
  std::string log(const std::string& id) const {
    return read_small_file(folder.path("state/logs/" + id + ".log")).value_or("");
  }

 private:
  void remember() {
    for (const wire::InstanceReport& one : supervisor->reports(false)) {
      if (!one.status.pid) continue;
      const auto record = read_small_file(folder.path("state/instances/" + one.instance + ".json"));
      const std::string text = record.value_or("");
      const std::size_t at = text.find("\"nonce\": \"");
      if (at == std::string::npos) continue;
      const auto stat = process_stat(*one.status.pid);
      seen_[one.instance] = Identity{.pid = *one.status.pid,
                                     .start_ticks = stat ? stat->start_ticks : 0,
                                     .boot_id = boot_id(),
                                     .nonce = text.substr(at + 10, 32)};
    }
  }

  engines::LaunchPlace place_;
  std::map<std::string, Identity> seen_;
};

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace berth::worker::testing
