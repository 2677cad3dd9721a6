#include "sim/world.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <memory>
#include <set>
#include <utility>
#include <variant>

#include "sim/checkers.h"
#include "sim/fake_worker.h"
#include "sim/faults.h"
#include "sim/faulty_store.h"
#include "sim/fleet.h"
#include "store/memory/memory_store.h"
#include "wire/json.h"

namespace berth::sim {
namespace {

constexpr Duration kStep{1'000};
constexpr std::size_t kDeploymentsMax = 6;
constexpr std::uint64_t kWishEvery = 7;  // seconds between two wishes of clients, on average
constexpr Time kStart{Duration{1'700'000'000'000}};
constexpr std::uint64_t kLateSeconds = 5;

using Message = std::variant<wire::Inventory, wire::Heartbeat, wire::InstanceReport>;

/// One control connection: messages arrive in order, none overtakes another.
struct Link {
  struct Item {
    Time at;
    Message message;
  };
  std::deque<Item> to_server;
  std::string desired;  // told last, to log changes only
};

class World {
 public:
  explicit World(const SimOptions& options)
      : options_(options),
        rng_(options.seed),
        clock_(kStart),
        memory_(store::make_memory_store()),
        store_(
            *memory_,
            [this] { return active(FaultKind::kStoreConflict, 0) && rng_.chance(1, 2); },
            [this] {
              ++report_.commits;
              note(capacity_.check(*memory_, workers_));
            }) {
    report_.seed = options.seed;
    for (std::uint32_t i = 0; i < options.workers; ++i) workers_.emplace_back(sim_worker(rng_, i));
    links_.resize(workers_.size());
    phase_ = kStep * 60 * options.minutes;
    plan_ = draw_faults(rng_, workers_.size(), phase_);
    report_.faults = plan_.text();
    start_server();
  }

  SimReport run() {
    const Duration end = phase_ + kStep * 60 * options_.heal_minutes;
    while (elapsed() < end && report_.ok()) {
      if (elapsed() == phase_) heal();
      one_step();
      clock_.advance(kStep);
    }
    const auto view = reconciler_->view();
    if (report_.ok()) note(convergence_.check(*memory_, *view, workers_, wanted_));
    report_.ready_at_end =
        static_cast<std::uint64_t>(std::count_if(view->instances.begin(), view->instances.end(), [](const auto& i) {
          return i.status.state == fleet::InstanceState::kReady;
        }));
    return std::move(report_);
  }

 private:
  [[nodiscard]] Time now() const { return clock_.now(); }
  [[nodiscard]] Duration elapsed() const { return now() - kStart; }
  [[nodiscard]] bool faulty() const { return elapsed() < phase_; }
  [[nodiscard]] bool active(FaultKind kind, std::size_t worker) const {
    return faulty() && plan_.active(kind, worker, elapsed());
  }
  [[nodiscard]] bool begins(FaultKind kind, std::size_t worker) const {
    return std::any_of(plan_.faults.begin(), plan_.faults.end(), [&](const Fault& f) {
      return f.kind == kind && f.worker == worker && f.at == elapsed();
    });
  }

  void say(std::string line) { report_.log.push_back(fmt::format("{:>4}s {}", elapsed() / kStep, line)); }
  void note(const Violation& violation) {
    if (!violation || !report_.ok()) return;
    report_.violation = *violation;
    say("VIOLATION " + *violation);
  }

  void start_server() {
    reconcile::Options options;
    options.catalog = sim_catalog();
    options.new_id = [this] { return fmt::format("{:016x}", rng_.next()); };
    reconciler_ = std::make_unique<reconcile::Reconciler>(store_, std::move(options));
    if (const auto loaded = reconciler_->load(now()); !loaded) note("load: " + loaded.error().message);
    heard_.clear();
  }

  void one_step() {
    if (begins(FaultKind::kServerRestart, 0)) {
      for (std::size_t w = 0; w < workers_.size(); ++w) cut(w);
      start_server();
      transitions_.forget();
      say("server restarted");
    }
    for (std::size_t w = 0; w < workers_.size(); ++w) {
      connection(w);
      engines(w);
      deliver(w);
    }
    if (faulty() && rng_.chance(1, kWishEvery)) wish();
    tick();
  }

  void cut(std::size_t w) {
    auto& worker = workers_[w];
    if (!worker.connected) return;
    worker.connected = false;
    links_[w] = {};
    reconciler_->disconnected(worker.id, now());
    heard_[worker.id].disconnected_at = now();
    say(worker.name() + " disconnected");
  }

  void connection(std::size_t w) {
    auto& worker = workers_[w];
    if (active(FaultKind::kDisconnect, w)) return cut(w);
    if (worker.connected) return;
    const auto id = reconciler_->join(worker.hello(), "", now());
    if (!id) return say(worker.name() + " refused: " + id.error().message);
    worker.id = *id;
    worker.connected = true;
    heard_[worker.id].disconnected_at.reset();
    heard_[worker.id].inventory = false;
    say(worker.name() + " joined");
    send(w, worker.inventory());
  }

  void send(std::size_t w, Message message) {
    if (!workers_[w].connected) return;
    auto& queue = links_[w].to_server;
    Time at = now();
    if (active(FaultKind::kLate, w)) at += kStep * static_cast<std::int64_t>(rng_.below(kLateSeconds));
    if (!queue.empty()) at = std::max(at, queue.back().at);
    queue.push_back({at, std::move(message)});
  }

  void engines(std::size_t w) {
    auto& worker = workers_[w];
    worker.set_stranger(active(FaultKind::kStranger, w) ? Bytes(3 * kGiB) : Bytes());
    if (worker.lose_device(active(FaultKind::kDeviceGone, w), rng_, now())) {
      say(worker.name() + " has other devices");
      send(w, worker.inventory());
    }
    auto reports = worker.advance(rng_, now());
    if (begins(FaultKind::kEngineCrash, w))
      for (auto& r : worker.crash(rng_, now())) reports.push_back(std::move(r));
    for (auto& r : reports) {
      say(fmt::format("{} {} {}{}", worker.name(), r.instance, wire::enum_name(r.status.state), r.gone ? " gone" : ""));
      send(w, std::move(r));
    }
    if (elapsed() % controllers::kHeartbeatEvery != Duration::zero()) return;
    if (active(FaultKind::kLostHeartbeats, w)) return;
    auto beat = worker.heartbeat();
    if (active(FaultKind::kDuplicates, w)) send(w, beat);
    send(w, std::move(beat));
  }

  void deliver(std::size_t w) {
    auto& worker = workers_[w];
    auto& queue = links_[w].to_server;
    bool inventory = false;
    while (!queue.empty() && queue.front().at <= now()) {
      auto& message = queue.front().message;
      auto& heard = heard_[worker.id];
      if (auto* i = std::get_if<wire::Inventory>(&message)) {
        reconciler_->inventory(worker.id, std::move(*i), now());
        heard.inventory = inventory = true;
      } else if (auto* h = std::get_if<wire::Heartbeat>(&message)) {
        reconciler_->heartbeat(worker.id, std::move(*h), now());
      } else {
        reconciler_->report(worker.id, std::get<wire::InstanceReport>(message), now());
      }
      heard.at = now();
      queue.pop_front();
    }
    if (inventory) tell(w);
  }

  /// Instructions reach a worker at once, and only after its inventory.
  void tell(std::size_t w) {
    auto& worker = workers_[w];
    if (!worker.connected || !heard_[worker.id].inventory) return;
    const auto desired = reconciler_->desired(worker.id);
    std::string text;
    for (const auto& d : desired.instances) text += fmt::format(" {}{}", d.run ? "+" : "-", d.name);
    if (text != links_[w].desired) say(worker.name() + " desired" + text);
    links_[w].desired = std::move(text);
    worker.obey(desired, rng_, now());
  }

  void tick() {
    const auto result = reconciler_->tick(now());
    const auto view = reconciler_->view();
    for (std::size_t w = 0; w < workers_.size(); ++w)
      if (result.workers.contains(workers_[w].id)) tell(w);
    for (const auto& i : view->instances) report_.placed += seen_.insert(i.meta.id).second ? 1U : 0U;
    note(one_place_.check(*memory_, *view, workers_));
    note(readiness_.check(*view, heard_, now()));
    note(transitions_.check(*view));
  }

  void heal() {
    say("healing");
    for (const auto& worker : workers_)
      if (!worker.id.empty()) (void)reconciler_->set_cordon(worker.id, false, now());
  }

  void wish();
  void answer(const std::string& what, bool done) { say(what + (done ? "" : " refused")); }

  SimOptions options_;
  Rng rng_;
  ManualClock clock_;
  std::unique_ptr<store::Store> memory_;
  FaultyStore store_;
  std::vector<FakeWorker> workers_;
  std::vector<Link> links_;
  std::unique_ptr<reconcile::Reconciler> reconciler_;
  Duration phase_{};
  FaultPlan plan_;
  std::map<std::string, Heard> heard_;
  std::set<std::string> wanted_;  // names of deployments
  std::set<std::string> seen_;    // instances
  std::uint64_t named_ = 0;
  SimReport report_;
  CapacityChecker capacity_;
  OnePlaceChecker one_place_;
  ReadinessChecker readiness_;
  TransitionChecker transitions_;
  ConvergenceChecker convergence_;
};

/// One wish of a client: create, scale, change, delete, cordon.
void World::wish() {
  const auto pick = [&] {
    return *std::next(wanted_.begin(), static_cast<std::ptrdiff_t>(rng_.below(wanted_.size())));
  };
  const std::uint64_t kind = rng_.below(8);
  if (wanted_.empty() || (kind < 3 && wanted_.size() < kDeploymentsMax)) {
    const auto name = fmt::format("d{}", named_++);
    const bool done = reconciler_->create_deployment(name, sim_deployment(rng_), now()).has_value();
    if (done) wanted_.insert(name);
    return answer("create " + name, done);
  }
  const auto name = pick();
  if (kind < 5) {
    for (const auto& d : reconciler_->view()->deployments) {
      if (d.meta.name != name) continue;
      auto spec = kind == 3 ? d.spec : sim_deployment(rng_);
      spec.request.replicas = 1 + static_cast<std::uint32_t>(rng_.below(4));
      const bool done = reconciler_->update_deployment(name, std::move(spec), std::nullopt, now()).has_value();
      return answer((kind == 3 ? "scale " : "change ") + name, done);
    }
    return;
  }
  if (kind == 5) {
    const bool done = reconciler_->delete_deployment(name, now()).has_value();
    if (done) wanted_.erase(name);
    return answer("delete " + name, done);
  }
  if (kind == 6) {
    const auto view = reconciler_->view();
    if (view->instances.empty()) return;
    const auto& i = view->instances[rng_.below(view->instances.size())];
    return answer("stop " + i.meta.name, reconciler_->delete_instance(i.meta.id, now()).has_value());
  }
  const auto& worker = workers_[rng_.below(workers_.size())];
  if (worker.id.empty()) return;
  const bool cordon = rng_.chance(1, 2);
  answer((cordon ? "cordon " : "uncordon ") + worker.name(),
         reconciler_->set_cordon(worker.id, cordon, now()).has_value());
}

}  // namespace

std::string SimReport::text() const {
  std::string out = faults;
  for (const auto& line : log) out += line + "\n";
  if (!ok()) out += fmt::format("violated: {}\nrepeat with BERTH_SIM_SEED={}\n", violation, seed);
  return out;
}

Result<SimReport> run_sim(const SimOptions& options) {
  if (options.workers < 1 || options.workers > kSimWorkersMax)
    return invalid(fmt::format("workers is {}, must be from 1 to {}", options.workers, kSimWorkersMax));
  for (const auto minutes : {options.minutes, options.heal_minutes})
    if (minutes < 1 || minutes > kSimMinutesMax)
      return invalid(fmt::format("minutes is {}, must be from 1 to {}", minutes, kSimMinutesMax));
  World world(options);
  return world.run();
}

}  // namespace berth::sim
