#include "sim/world.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <memory>
#include <set>
#include <utility>
#include <variant>

#include "sim/accounts.h"
#include "sim/checkers.h"
#include "sim/fake_worker.h"
#include "sim/faults.h"
#include "sim/faulty_store.h"
#include "sim/fleet.h"
#include "sim/lifecycle.h"
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
  bool inventory_due = false;
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
            [this] { return commit_fault(); },
            [this](const store::Batch& batch) {
              ++report_.commits;
              note(capacity_.check(*memory_, workers_));
              note(readiness_.check(batch, heard_, now()));
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
      one_step();
      clock_.advance(kStep);
    }
    const auto view = reconciler_->view();
    if (report_.ok()) note(convergence_.check(*memory_, *view, workers_));
    report_.ready_at_end =
        static_cast<std::uint64_t>(std::count_if(view->instances.begin(), view->instances.end(), [](const auto& i) {
          using enum fleet::InstanceState;
          return i.status.state == kReady || i.status.state == kSimulated;
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

  /// Half of the commits fail while a fault of the store holds; a server dies in the first that begins.
  CommitFault commit_fault() {
    if (dies_) {
      dies_ = false;
      return rng_.chance(1, 2) ? CommitFault::kDiesBefore : CommitFault::kDiesAfter;
    }
    constexpr std::pair<FaultKind, CommitFault> kFaults[] = {
        {FaultKind::kStoreConflict, CommitFault::kConflict},
        {FaultKind::kStoreFull, CommitFault::kFull},
        {FaultKind::kStoreLost, CommitFault::kLost},
        {FaultKind::kStoreUnconfirmed, CommitFault::kUnconfirmed},
    };
    for (const auto& [kind, fault] : kFaults)
      if (active(kind, 0)) return rng_.chance(1, 2) ? fault : CommitFault::kNone;
    return CommitFault::kNone;
  }
  [[nodiscard]] bool store_fails() const {
    for (const auto kind :
         {FaultKind::kStoreConflict, FaultKind::kStoreFull, FaultKind::kStoreLost, FaultKind::kStoreUnconfirmed})
      if (active(kind, 0)) return true;
    return false;
  }

  void one_step() {
    if (begins(FaultKind::kServerRestart, 0)) restart_server();
    dies_ = (dies_ && faulty()) || begins(FaultKind::kServerDies, 0);
    try {
      if (elapsed() == phase_) heal();
      for (std::size_t w = 0; w < workers_.size(); ++w) {
        connection(w);
        engines(w);
        deliver(w);
      }
      if (faulty() && rng_.chance(1, kWishEvery)) wish();
      tick();
    } catch (const ServerDied&) {
      say("server died in a commit");
      restart_server();
    }
  }

  void restart_server() {
    for (std::size_t w = 0; w < workers_.size(); ++w) {
      links_[w] = {};
      workers_[w].connected = false;
    }
    start_server();
    transitions_.server_restarted();
    say("server restarted");
    note(promises_.check(*reconciler_->view()));
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
    if (begins(FaultKind::kWorkerRestart, w)) {
      say(worker.name() + " restarts");
      worker.restart();
      return cut(w);
    }
    if (active(FaultKind::kDisconnect, w) || plan_.ends(FaultKind::kLostReports, w, elapsed())) return cut(w);
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
    if (active(FaultKind::kDuplicates, w)) queue.push_back({at, message});
    queue.push_back({at, std::move(message)});
  }

  void engines(std::size_t w) {
    auto& worker = workers_[w];
    worker.set_stranger(active(FaultKind::kStranger, w) ? Bytes(3 * kGiB) : Bytes());
    const bool silent = active(FaultKind::kSilent, w);
    if (worker.lose_device(active(FaultKind::kDeviceGone, w), rng_, now())) {
      say(worker.name() + " has other devices");
      links_[w].inventory_due = true;
    }
    if (!silent && std::exchange(links_[w].inventory_due, false)) send(w, worker.inventory());
    auto reports = worker.advance(rng_, now());
    if (begins(FaultKind::kEngineCrash, w))
      for (auto& r : worker.crash(rng_, now())) reports.push_back(std::move(r));
    for (auto& r : reports) {
      say(fmt::format("{} {} {}{}", worker.name(), r.instance, wire::enum_name(r.status.state), r.gone ? " gone" : ""));
      if (silent) continue;
      worker.told(r);
      if (!active(FaultKind::kLostReports, w)) send(w, std::move(r));
    }
    if (elapsed() % controllers::kHeartbeatEvery != Duration::zero()) return;
    if (!silent) send(w, worker.heartbeat());
  }

  void deliver(std::size_t w) {
    auto& worker = workers_[w];
    auto& queue = links_[w].to_server;
    bool inventory = false;
    while (!queue.empty() && queue.front().at <= now()) {
      auto& message = queue.front().message;
      auto& heard = heard_[worker.id];
      if (auto* i = std::get_if<wire::Inventory>(&message)) {
        for (const auto& r : i->instances) transitions_.delivered(worker, r);
        reconciler_->inventory(worker.id, std::move(*i), now());
        heard.inventory = inventory = true;
      } else if (auto* h = std::get_if<wire::Heartbeat>(&message)) {
        for (const auto& r : h->instances) transitions_.delivered(worker, r);
        reconciler_->heartbeat(worker.id, std::move(*h), now());
      } else {
        const auto& r = std::get<wire::InstanceReport>(message);
        transitions_.delivered(worker, r);
        reconciler_->report(worker.id, r, now());
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
    for (const auto& d : desired.instances) {
      text += fmt::format(" {}{}", d.run ? "+" : "-", d.name);
      if (d.run && promises_.is_stopped(d.instance)) note(d.name + " was told to stop and is told to run");
      if (!d.run) promises_.stopped(d.instance);
    }
    if (active(FaultKind::kLostDesired, w)) return say(worker.name() + " does not hear" + text);
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
    const Look look{.view = *view, .workers = workers_, .heard = heard_, .now = now()};
    note(transitions_.check(look));
    note(waiting_.check(look));
    note(promises_.check(*view));
    const bool sick = std::exchange(sick_, store_fails()) || sick_;
    if (sick) return;  // what the store did not confirm may be seen later
    note(one_place_.check(*memory_, *view, workers_));
    note(claims_.check(*memory_, *view));
    note(stored_.check(*memory_, look));
  }

  void heal() {
    say("healing");
    for (const auto& worker : workers_)
      if (!worker.id.empty()) cordon(worker, false);
  }

  void wish();
  void create(const std::string& name);
  void change(const std::string& name, bool scale);
  void cordon(const FakeWorker& worker, bool wanted);
  /// A client's answer: what was promised by it.
  template <class T>
  void answer(const std::string& what, const Result<T>& result) {
    if (result)
      promises_.done();
    else
      promises_.refused(result.error().code);
    say(result ? what : fmt::format("{} refused: {}", what, result.error().message));
  }

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
  std::set<std::string> seen_;  // instances
  std::uint64_t named_ = 0;
  std::uint64_t wishes_ = 0;
  bool dies_ = false;  // the server, in its next commit
  bool sick_ = false;  // the store, at the last look
  SimReport report_;
  CapacityChecker capacity_;
  OnePlaceChecker one_place_;
  ReadinessChecker readiness_;
  TransitionChecker transitions_;
  WaitingChecker waiting_;
  ClaimsChecker claims_;
  StoreChecker stored_;
  Promises promises_;
  ConvergenceChecker convergence_;
};

void World::create(const std::string& name) {
  auto spec = sim_deployment(rng_, ++wishes_);
  promises_.ask(deployment_key(name), mark_of(spec));
  answer("create " + name, reconciler_->create_deployment(name, std::move(spec), now()));
}

void World::change(const std::string& name, bool scale) {
  for (const auto& d : reconciler_->view()->deployments) {
    if (d.meta.name != name || d.meta.deleting) continue;
    auto spec = scale ? d.spec : sim_deployment(rng_, ++wishes_);
    spec.request.replicas = 1 + static_cast<std::uint32_t>(rng_.below(4));
    promises_.ask(deployment_key(name), mark_of(spec));
    return answer((scale ? "scale " : "change ") + name,
                  reconciler_->update_deployment(name, std::move(spec), std::nullopt, now()));
  }
}

void World::cordon(const FakeWorker& worker, bool wanted) {
  promises_.ask(worker_key(worker.name()), wanted ? std::optional<std::string>("cordoned") : std::nullopt);
  answer((wanted ? "cordon " : "uncordon ") + worker.name(), reconciler_->set_cordon(worker.id, wanted, now()));
}

/// One wish of a client: create, scale, change, delete, stop, cordon.
void World::wish() {
  const auto names = promises_.deployments();
  const std::uint64_t kind = rng_.below(8);
  if (names.empty() || (kind < 3 && names.size() < kDeploymentsMax)) return create(fmt::format("d{}", named_++));
  const auto& name = names[rng_.below(names.size())];
  if (kind < 5) return change(name, kind == 3);
  if (kind == 5) {
    promises_.ask(deployment_key(name), std::nullopt);
    return answer("delete " + name, reconciler_->delete_deployment(name, now()));
  }
  if (kind == 6) {
    const auto view = reconciler_->view();
    if (view->instances.empty()) return;
    const auto& i = view->instances[rng_.below(view->instances.size())];
    const bool done = reconciler_->delete_instance(i.meta.id, now()).has_value();
    if (done) promises_.stopped(i.meta.id);
    return say("stop " + i.meta.name + (done ? "" : " refused"));
  }
  const auto& worker = workers_[rng_.below(workers_.size())];
  if (!worker.id.empty()) cordon(worker, rng_.chance(1, 2));
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
