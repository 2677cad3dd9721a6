#include "worker/supervise/supervisor.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "worker/supervise/supervisor_impl.h"

namespace berth::worker {
namespace {

/// The first folder on the way to `path` that the user may not pass; by mode bits, which is what root's folders use.
std::optional<std::string> closed_folder(const std::string& path, const EngineUser& user) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string folder = path.substr(0, slash);
    struct stat info{};
    if (::stat(folder.c_str(), &info) == 0) {
      const unsigned bit = info.st_uid == user.uid ? 0100 : info.st_gid == user.gid ? 0010 : 0001;
      if ((info.st_mode & bit) == 0) return folder;
    }
    if (slash == std::string::npos) return std::nullopt;
  }
}

}  // namespace

Result<void> Supervisor::Impl::open() {
  rng = Rng(options.seed);
  if (options.state_dir.empty() || options.state_dir.front() != '/')
    return invalid(fmt::format("state folder \"{}\" must be absolute", options.state_dir));
  TRY_VOID(make_folder(options.state_dir, 0711));
  const std::string path = options.state_dir + "/lock";
  lock = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return system_error("cannot open " + path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(Code::kConflict, fmt::format("another worker uses the state folder {}", options.state_dir));
  TRY_VOID(make_folder(options.state_dir + "/secrets", 0711));
  TRY_VOID(make_folder(options.state_dir + "/run", 0711));
  TRY_VOID(make_folder(options.state_dir + "/logs", 0700));
  TRY(store, RecordStore::open(options.state_dir + "/instances"));
  if (options.simulated) {
    notes.emplace_back("simulated worker: plans are accepted and nothing is started");
    return {};
  }
  TRY(user, engine_user(options.engine_user));
  if (!user.switches)
    notes.push_back(fmt::format("not root: engines run as user {} itself, not as {}", user.uid, options.engine_user));
  if (const auto closed = user.switches ? closed_folder(options.state_dir + "/secrets", user) : std::nullopt)
    return fail(Code::kForbidden,
                fmt::format("user {} cannot pass folder {}: engines could not read their keys; choose a state folder "
                            "like /var/lib/berth",
                            user.name,
                            *closed));
  cgroups = ::geteuid() == 0 ? Cgroups::find(options.cgroup_root) : std::nullopt;
  if (!cgroups) notes.emplace_back("no writable cgroup: engines are kept together by process group and nonce");
  return {};
}

void Supervisor::Impl::save(const InstanceRecord& record) {
  // The engine goes on either way; a lost record only costs adoption, and the next save may succeed.
  if (const auto saved = records().save(record); !saved.has_value())
    log::warn("record not saved", {log::kv("instance", record.instance), log::kv("error", saved.error().message)});
}

const Result<Usage>& Supervisor::Impl::look() {
  if (!usage) usage.emplace(observer->look());
  return *usage;
}

void Supervisor::Impl::accept(const wire::DesiredInstance& desired, Time now) {
  Instance instance;
  instance.record.instance = desired.instance;
  instance.record.name = desired.name;
  instance.record.attempt = desired.spec.attempt;
  instance.record.spec = desired.spec;
  instance.record.simulated = options.simulated;
  instance.observed_at = instance.log_checked_at = now;
  if (options.simulated)
    set_state(instance, InstanceState::kSimulated, "simulated: accepted, nothing runs");
  else
    set_state(instance, InstanceState::kPreparing, "preparing");
  save(instance.record);
  instances.insert_or_assign(desired.instance, std::move(instance));
}

void Supervisor::Impl::adopt(InstanceRecord record, Time now, std::vector<std::string>& notes_out) {
  const std::string id = record.instance;
  Instance& instance = instances[id];
  instance.record = std::move(record);
  InstanceRecord& kept = instance.record;
  instance.observed_at = instance.log_checked_at = now;
  if (kept.simulated) return set_state(instance, InstanceState::kSimulated, "simulated: accepted, nothing runs");
  instance.secret = kept.secret_file.empty() ? "" : read_secret(kept.secret_file).value_or("");
  const bool started = !kept.process.nonce.empty();
  if (started && kept.process.pid == 0) {
    if (auto found = find_by_nonce(kept.process.nonce)) {
      kept.process = std::move(*found);
      kept.started_at = now;
      save(kept);
    }
  }
  const bool alive = started && kept.process.pid != 0 && match(kept.process, kept.log_file) == Match::kSame;
  instance.process = started;  // children may have outlived the leader: they are looked for until none is left
  if (alive) {
    instance.pids.insert(kept.process.pid);
    if (auto pidfd = open_pidfd(kept.process.pid); pidfd.has_value()) instance.pidfd = std::move(*pidfd);
    // The number may have changed hands before the descriptor was held.
    if (match(kept.process, kept.log_file) != Match::kSame) instance.pidfd.reset();
  }
  instance.kernel_oom_kills = kernel_oom_kills();
  if (kept.stopping) return begin_stop(instance, now);
  if (kept.given_up) {  // this worker may have other folders, engines and libraries than the one before
    kept.given_up = false;
    kept.same_errors = 0;
  }
  if (alive && kept.ready_at) {
    notes_out.push_back(fmt::format("instance {} goes on as process {}", id, kept.process.pid));
    instance.next_probe_at = now;  // it was ready once; whether it still answers is asked at once
    return set_state(instance, InstanceState::kReady, "");
  }
  if (alive) {
    notes_out.push_back(fmt::format("instance {} is still starting as process {}", id, kept.process.pid));
    instance.deadline =
        std::max(now + kAdoptedStartGrace,
                 kept.started_at.value_or(now) + options.limits.start_base +
                     options.limits.start_per_gib * static_cast<std::int64_t>(div_ceil(kept.model_bytes, kGiB)));
    instance.next_probe_at = now;
    set_state(instance, InstanceState::kStarting, "the engine is starting");
    return wait_for(instance,
                    "waiting for the engine to answer its first request",
                    kept.started_at.value_or(now),
                    instance.deadline,
                    "stop it and start it again");
  }
  const bool ended_unseen = started && kept.started_at && (!kept.last_exit || kept.last_exit->at < *kept.started_at);
  if (!started) return set_state(instance, InstanceState::kPreparing, "preparing");
  if (!ended_unseen) {  // it had failed before; what it left behind is killed before it starts again
    set_state(instance, InstanceState::kFailed, kept.last_exit ? kept.last_exit->message : "not started yet");
    instance.retry_at = now;
    return;
  }
  notes_out.push_back(fmt::format("instance {} has ended while no worker was running", id));
  ended(instance, now);
}

void Supervisor::Impl::sweep_cgroups(std::vector<std::string>& notes_out) {
  if (!cgroups) return;
  for (const std::string& folder : cgroups->ending_in(cgroup_suffix())) {
    const bool known = std::any_of(
        instances.begin(), instances.end(), [&](const auto& entry) { return entry.second.record.cgroup == folder; });
    if (known) continue;
    // One with processes is an engine whose record was lost: it is told, and not killed on a guess.
    notes_out.push_back(cgroup_remove(folder) ? fmt::format("cgroup {} was left over and is removed", folder)
                                              : fmt::format("cgroup {} belongs to no instance and is in use", folder));
  }
}

wire::InstanceReport Supervisor::Impl::report_of(const Instance& instance, bool with_secrets) const {
  const InstanceRecord& record = instance.record;
  wire::InstanceReport report;
  report.instance = record.instance;
  report.attempt = record.attempt;
  report.gone = instance.gone;
  if (with_secrets) report.secret = instance.secret;
  fleet::InstanceStatus& status = report.status;
  status.state = instance.state;
  status.message = instance.message;
  status.waiting = instance.waiting;
  if (record.port != 0 && instance.process) status.port = record.port;
  if (instance.process && record.process.pid != 0) status.pid = record.process.pid;
  status.restarts = record.restarts;
  status.last_exit = record.last_exit;
  status.started_at = record.started_at;
  status.ready_at = record.ready_at;
  status.observed = instance.observed;
  status.observed_memory_bytes = instance.observed_memory;
  status.stop = record.stopping;
  return report;
}

Supervisor::Supervisor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Supervisor::~Supervisor() = default;

Result<std::unique_ptr<Supervisor>> Supervisor::create(SupervisorOptions options,
                                                       const engines::EngineCatalog& catalog,
                                                       EngineProbe& probe,
                                                       Observer& observer) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  impl->catalog = &catalog;
  impl->probe = &probe;
  impl->observer = &observer;
  TRY_VOID(impl->open());
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(impl)));
}

Result<std::vector<std::string>> Supervisor::adopt_all(Time now) {
  TRY(RecordStore::Loaded loaded, impl_->records().load_all());
  std::vector<std::string> notes = std::move(loaded.notes);
  for (InstanceRecord& record : loaded.records) impl_->adopt(std::move(record), now, notes);
  impl_->sweep_cgroups(notes);
  return notes;
}

Result<void> Supervisor::apply(const wire::DesiredInstance& desired, Time now) {
  return desired.run ? start(desired, now) : stop(desired.instance, desired.spec.attempt, now);
}

Result<void> Supervisor::start(const wire::DesiredInstance& desired, Time now) {
  if (!is_instance_id(desired.instance))
    return invalid(
        fmt::format("instance id \"{}\" is not 1-64 letters, digits, '-', '_' or '.'", printable(desired.instance)));
  const auto at = impl_->instances.find(desired.instance);
  if (at == impl_->instances.end()) {
    if (impl_->instances.size() >= kInstancesMax + kTombstonesMax)
      return fail(Code::kTooLarge, "this worker keeps too many instances");
    const auto live = std::count_if(
        impl_->instances.begin(), impl_->instances.end(), [](const auto& entry) { return !entry.second.gone; });
    if (static_cast<std::size_t>(live) >= kInstancesMax)
      return fail(Code::kTooLarge, fmt::format("this worker has {} instances, the most it keeps", live));
    impl_->accept(desired, now);
    return {};
  }
  Instance& present = at->second;
  if (desired.spec.attempt <= present.record.attempt) return {};
  if (present.gone || present.state == InstanceState::kSimulated) {
    impl_->accept(desired, now);
  } else if (!present.next || present.next->spec.attempt < desired.spec.attempt) {
    present.next = desired;
    if (present.state != InstanceState::kStopping) impl_->begin_stop(present, now);
  }
  return {};
}

Result<void> Supervisor::stop(const std::string& instance, std::uint64_t attempt, Time now) {
  if (!is_instance_id(instance)) return invalid(fmt::format("instance id \"{}\" is malformed", printable(instance)));
  const auto at = impl_->instances.find(instance);
  if (at == impl_->instances.end()) {
    Instance unknown;
    unknown.record.instance = instance;
    unknown.record.attempt = attempt;
    unknown.gone = true;
    impl_->set_state(unknown, InstanceState::kStopping, "not on this worker");
    impl_->instances.emplace(instance, std::move(unknown));
    return {};
  }
  Instance& present = at->second;
  if (present.next && present.next->spec.attempt <= attempt) present.next.reset();
  if (present.record.attempt > attempt || present.gone || present.state == InstanceState::kStopping) return {};
  impl_->begin_stop(present, now);
  return {};
}

Time Supervisor::tick(Time now) {
  impl_->usage.reset();
  std::vector<std::string> ids;
  ids.reserve(impl_->instances.size());
  for (const auto& [id, instance] : impl_->instances) ids.push_back(id);
  Time wake = now + impl_->options.limits.idle_every;
  for (const std::string& id : ids) {
    const Time at = impl_->step(impl_->instances.at(id), now);
    wake = std::min(wake, at);
  }
  impl_->abandoned_probes.remove_if(
      [](const auto& probe) { return probe.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
  auto gone = static_cast<std::size_t>(std::count_if(
      impl_->instances.begin(), impl_->instances.end(), [](const auto& entry) { return entry.second.gone; }));
  for (auto at = impl_->instances.begin(); gone > kTombstonesMax && at != impl_->instances.end();) {
    if (!at->second.gone) {
      ++at;
      continue;
    }
    at = impl_->instances.erase(at);
    --gone;
  }
  return wake;
}

std::vector<wire::InstanceReport> Supervisor::reports(bool with_secrets) const {
  std::vector<wire::InstanceReport> reports;
  reports.reserve(impl_->instances.size());
  for (const auto& [id, instance] : impl_->instances) reports.push_back(impl_->report_of(instance, with_secrets));
  return reports;
}

std::uint64_t Supervisor::changes() const { return impl_->changes; }

void Supervisor::forget(const std::string& instance) {
  const auto at = impl_->instances.find(instance);
  if (at != impl_->instances.end() && at->second.gone) impl_->instances.erase(at);
}

std::optional<Endpoint> Supervisor::endpoint(const std::string& instance) const {
  const auto at = impl_->instances.find(instance);
  if (at == impl_->instances.end() || at->second.state != InstanceState::kReady) return std::nullopt;
  return Endpoint{.port = static_cast<std::uint16_t>(at->second.record.port), .secret = at->second.secret};
}

std::optional<std::string> Supervisor::log_file(const std::string& instance) const {
  const auto at = impl_->instances.find(instance);
  if (at == impl_->instances.end() || at->second.record.log_file.empty()) return std::nullopt;
  return at->second.record.log_file;
}

const std::vector<std::string>& Supervisor::notes() const { return impl_->notes; }

}  // namespace berth::worker
