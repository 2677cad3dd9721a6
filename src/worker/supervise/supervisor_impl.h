#pragma once
// Inside of Supervisor: shared by supervisor.cpp (interface, adoption), prepare.cpp (before the start) and
// transitions.cpp (everything after).

#include <future>
#include <list>
#include <set>

#include "base/assert.h"
#include "base/rng.h"
#include "worker/supervise/cgroup.h"
#include "worker/supervise/exit_cause.h"
#include "worker/supervise/instance_record.h"
#include "worker/supervise/supervisor.h"

namespace berth::worker {

constexpr std::size_t kProbesMax = 16;        // threads that wait for engines at once
constexpr std::size_t kTombstonesMax = 1024;  // ended instances that the server has not taken note of
constexpr std::size_t kPidsKeptMax = 1024;    // per instance
constexpr Duration kObserveEvery = std::chrono::seconds(5);
constexpr Duration kLogCheckEvery = std::chrono::seconds(10);
constexpr Duration kCgroupRemoveMax = std::chrono::seconds(30);    // the kernel lets go a moment after the last process
constexpr Duration kAdoptedStartGrace = std::chrono::seconds(30);  // a start deadline that passed while nobody looked

using fleet::InstanceState;

/// One instance and what of it lives only in memory.
struct Instance {
  InstanceRecord record;
  InstanceState state = InstanceState::kPreparing;
  std::string message;
  std::optional<fleet::Waiting> waiting;
  std::string secret;
  Fd pidfd;
  bool gone = false;
  bool process = false;              // started or adopted, and not yet seen to be gone with all its children
  Time deadline{};                   // starting: for the first answer; stopping: for SIGTERM to work
  std::optional<Time> cgroup_until;  // stopping: until when the removal of its cgroup is tried
  Time next_probe_at{};
  std::optional<Time> retry_at;
  Time observed_at{};
  Time log_checked_at{};
  std::future<Result<ProbeResult>> probe;
  std::string probe_detail;
  std::chrono::steady_clock::time_point probe_began;
  std::uint64_t cpu_at_probe = 0;      // ticks of its processes
  std::uint32_t unanswered = 0;        // probes in a row, since it was ready
  std::uint64_t kernel_oom_kills = 0;  // at the start
  std::set<std::int64_t> pids;         // seen as members: to find them in the driver's list after their end
  std::vector<fleet::DeviceClaim> observed;
  std::optional<Bytes> observed_memory;
  std::optional<wire::DesiredInstance> next;  // newer attempt, waits for this one to be gone
};

/// A failure before there was a process: cause and sentence.
struct Failure {
  std::string_view cause;
  std::string message;
};

struct Supervisor::Impl {
  SupervisorOptions options;
  const engines::EngineCatalog* catalog = nullptr;
  EngineProbe* probe = nullptr;
  Observer* observer = nullptr;
  Fd lock;
  std::optional<RecordStore> store;  // from open() on
  RecordStore& records() {
    ASSERT(store);
    return *store;
  }
  EngineUser user;
  std::optional<Cgroups> cgroups;
  Rng rng{1};
  std::map<std::string, Instance> instances;
  std::list<std::future<Result<ProbeResult>>> abandoned_probes;
  std::vector<std::string> notes;
  std::uint64_t changes = 0;
  std::optional<Result<Usage>> usage;  // of this tick

  // supervisor.cpp
  Result<void> open();
  void accept(const wire::DesiredInstance& desired, Time now);
  void adopt(InstanceRecord record, Time now, std::vector<std::string>& notes_out);
  /// Removes cgroups of this worker that no instance claims.
  void sweep_cgroups(std::vector<std::string>& notes_out);
  [[nodiscard]] wire::InstanceReport report_of(const Instance& instance, bool with_secrets) const;
  void save(const InstanceRecord& record);
  const Result<Usage>& look();

  // prepare.cpp
  /// From record to running process. The failure is what the report says.
  std::optional<Failure> prepare(Instance& instance, Time now);
  std::optional<Failure> check_room(const Instance& instance, const fleet::PlanWorker& part);
  Result<engines::LaunchSpec> command(Instance& instance, const fleet::PlanWorker& part, const std::string& model);
  Result<void> make_places(Instance& instance);
  /// What the names of this worker's cgroups end in. Two workers on one machine may hold instances of one name: each
  /// has its own state folder.
  [[nodiscard]] std::string cgroup_suffix() const;
  Result<void> run(Instance& instance, const engines::LaunchSpec& launch, Time now);

  // transitions.cpp
  Time step(Instance& instance, Time now);
  Time step_preparing(Instance& instance, Time now);
  Time step_starting(Instance& instance, Time now);
  Time step_ready(Instance& instance, Time now);
  Time step_failed(Instance& instance, Time now);
  Time step_stopping(Instance& instance, Time now);
  void begin_stop(Instance& instance, Time now);
  void fail_with(Instance& instance, fleet::ExitInfo info, Time now);
  void ended(Instance& instance, Time now);
  [[nodiscard]] bool has_ended_now(const Instance& instance) const;
  std::vector<Member> members(Instance& instance);
  /// Kills what is left; true when nothing is and the devices' memory is back.
  bool cleaned(Instance& instance, bool kill);
  std::optional<std::string> memory_still_held(const Instance& instance);
  /// True when its cgroup is gone, or was tried to be removed for long enough.
  bool cgroup_gone(Instance& instance, Time now);
  void free_places(Instance& instance);
  void poll_probe(Instance& instance, Time now);
  /// Asks one that is ready whether it still answers; true when it was given up.
  bool ask_again(Instance& instance, Time now);
  bool has_much_to_do(Instance& instance, const ProbeResult& seen);
  /// False while too many are under way.
  bool begin_probe(Instance& instance);
  void abandon_probe(Instance& instance);
  void observe(Instance& instance, Time now);
  void set_state(Instance& instance, InstanceState state, std::string message);
  void wait_for(Instance& instance, std::string text, Time since, std::optional<Time> next_at, std::string next);
};

/// The kernel's count of processes that it killed for memory since boot; 0 when it does not tell.
std::uint64_t kernel_oom_kills();

}  // namespace berth::worker
