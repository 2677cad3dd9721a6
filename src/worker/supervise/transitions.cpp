#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "worker/logs/log_file.h"
#include "worker/supervise/supervisor_impl.h"

namespace berth::worker {
namespace {

constexpr std::uint32_t kBackoffDoublingsMax = 20;
constexpr std::uint64_t kJitterPercent = 20;

Duration backoff(const SupervisorLimits& limits, std::uint32_t failures, Rng& rng) {
  const std::uint32_t doublings = std::min(failures == 0 ? 0 : failures - 1, kBackoffDoublingsMax);
  const Duration plain = std::min<Duration>(limits.backoff_max, limits.backoff_base * (std::int64_t{1} << doublings));
  const auto percent = static_cast<std::int64_t>(100 - kJitterPercent + rng.below(2 * kJitterPercent + 1));
  return plain * percent / 100;
}

/// Messages that differ only in numbers (times, pids, ports) are the same error.
std::string without_numbers(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit)
      out += c;
    else if (out.empty() || out.back() != '#')
      out += '#';
  }
  return out;
}

Duration start_limit(const SupervisorLimits& limits, std::uint64_t model_bytes) {
  return limits.start_base + limits.start_per_gib * static_cast<std::int64_t>(div_ceil(model_bytes, kGiB));
}

}  // namespace

std::uint64_t kernel_oom_kills() {
  const auto table = read_small_file("/proc/vmstat");
  for (const std::string& line : split(table.value_or(""), '\n'))
    if (line.starts_with("oom_kill ")) return parse_u64(trim(std::string_view(line).substr(9))).value_or(0);
  return 0;
}

void Supervisor::Impl::set_state(Instance& instance, InstanceState state, std::string message) {
  instance.state = state;
  instance.message = std::move(message);
  instance.waiting.reset();
  ++changes;
}

void Supervisor::Impl::wait_for(
    Instance& instance, std::string text, Time since, std::optional<Time> next_at, std::string next) {
  instance.waiting =
      fleet::Waiting{.text = std::move(text), .since = since, .next_at = next_at, .next = std::move(next)};
}

Time Supervisor::Impl::step(Instance& instance, Time now) {
  const Time idle = now + options.limits.idle_every;
  switch (instance.state) {
    case InstanceState::kPreparing:
      return step_preparing(instance, now);
    case InstanceState::kStarting:
      return step_starting(instance, now);
    case InstanceState::kReady:
      return step_ready(instance, now);
    case InstanceState::kFailed:
      return step_failed(instance, now);
    case InstanceState::kStopping:
      return instance.gone ? idle : step_stopping(instance, now);
    case InstanceState::kScheduled:
    case InstanceState::kSimulated:
    case InstanceState::kUnknown:
      return idle;
  }
  return idle;
}

Time Supervisor::Impl::step_preparing(Instance& instance, Time now) {
  if (const auto failure = prepare(instance, now)) {
    fleet::ExitInfo info;
    info.cause = std::string(failure->cause);
    info.message = failure->message;
    info.at = now;
    fail_with(instance, std::move(info), now);
    return now + options.limits.tick_every;
  }
  instance.deadline = now + start_limit(options.limits, instance.record.model_bytes);
  instance.next_probe_at = now + options.limits.tick_every;
  instance.probe_detail.clear();
  set_state(instance, InstanceState::kStarting, "the engine is starting");
  wait_for(instance,
           "waiting for the engine to answer its first request",
           now,
           instance.deadline,
           "stop it and start it again");
  log::info("engine started",
            {log::kv("instance", instance.record.instance), log::kv("pid", instance.record.process.pid)});
  return now + options.limits.tick_every;
}

Time Supervisor::Impl::step_starting(Instance& instance, Time now) {
  if (has_ended_now(instance)) {
    ended(instance, now);
    return now + options.limits.tick_every;
  }
  observe(instance, now);
  poll_probe(instance, now);
  if (instance.state != InstanceState::kStarting) return now + options.limits.tick_every;
  if (now >= instance.deadline) {
    fleet::ExitInfo info;
    info.cause = std::string(kNotReady);
    info.message = fmt::format("no answer within {} of the start ({} to load); last: {}",
                               human(start_limit(options.limits, instance.record.model_bytes)),
                               human(Bytes(instance.record.model_bytes)),
                               instance.probe_detail.empty() ? "nothing" : instance.probe_detail);
    info.at = now;
    signal_members(members(instance), SIGKILL);
    fail_with(instance, std::move(info), now);
  }
  return now + options.limits.tick_every;
}

Time Supervisor::Impl::step_ready(Instance& instance, Time now) {
  if (has_ended_now(instance)) {
    ended(instance, now);
    return now + options.limits.tick_every;
  }
  if (ask_again(instance, now)) return now + options.limits.tick_every;
  InstanceRecord& record = instance.record;
  if (record.failures != 0 && record.ready_at && now - *record.ready_at >= options.limits.stable_after) {
    record.failures = record.same_errors = 0;
    save(record);
  }
  observe(instance, now);
  return now + options.limits.idle_every;
}

void Supervisor::Impl::observe(Instance& instance, Time now) {
  if (now - instance.log_checked_at >= kLogCheckEvery) {
    instance.log_checked_at = now;
    if (const auto cut = cap_log(instance.record.log_file); !cut.has_value())
      log::warn("log cannot be cut", {log::kv("error", cut.error().message)});
  }
  if (now - instance.observed_at < kObserveEvery) return;
  instance.observed_at = now;
  const std::vector<Member> present = members(instance);
  instance.observed_memory = resident_bytes(present);
  const Result<Usage>& seen = look();
  if (!seen.has_value()) return;
  std::map<std::string, Bytes> by_device;
  for (const ProcessUse& use : seen->processes) {
    const bool ours = std::any_of(present.begin(), present.end(), [&](const Member& m) { return m.pid == use.pid; });
    if (ours && use.bytes) by_device[use.device] += *use.bytes;
  }
  instance.observed.clear();
  for (const auto& [device, bytes] : by_device) instance.observed.push_back({device, bytes});
}

bool Supervisor::Impl::has_ended_now(const Instance& instance) const {
  if (instance.pidfd.valid()) return has_ended(instance.pidfd);
  const Identity& identity = instance.record.process;  // kernels without pidfd
  const auto stat = process_stat(identity.pid);
  return !stat || stat->state == 'Z' || stat->start_ticks != identity.start_ticks;
}

void Supervisor::Impl::ended(Instance& instance, Time now) {
  ExitFacts facts;
  // Not taken yet: while the leader is a zombie its group's number is surely ours, and what is left can be killed.
  facts.exit = peek_exit(instance.record.process.pid).value_or(ExitStatus{});
  facts.log_tail = tail_lines(instance.record.log_file, kExitLogLines).value_or("");
  facts.kernel_oom_kill = kernel_oom_kills() > instance.kernel_oom_kills;
  facts.at = now;
  fail_with(instance, classify_exit(facts), now);
}

void Supervisor::Impl::fail_with(Instance& instance, fleet::ExitInfo info, Time now) {
  abandon_probe(instance);
  InstanceRecord& record = instance.record;
  const bool same = record.last_exit && record.last_exit->cause == info.cause &&
                    without_numbers(record.last_exit->message) == without_numbers(info.message);
  record.same_errors = same ? record.same_errors + 1 : 1;
  ++record.failures;
  // A check that failed while serving may not fail again; one that failed on the way up will.
  const bool will_repeat = repeats(info.cause) && !(info.cause == kAborted && record.ready_at);
  record.ready_at.reset();
  record.given_up = will_repeat && record.same_errors >= options.limits.same_errors_max;
  instance.observed.clear();
  instance.observed_memory.reset();
  log::warn("instance failed",
            {log::kv("instance", record.instance), log::kv("cause", info.cause), log::kv("message", info.message)});
  std::string message = info.message;
  if (record.given_up)
    message = fmt::format(
        "failed {} times in the same way and is not started again until the deployment is changed "
        "(engine, flags or model): {}",
        record.same_errors,
        info.message);
  set_state(instance, InstanceState::kFailed, std::move(message));
  instance.retry_at.reset();
  if (!record.given_up) {
    instance.retry_at = now + backoff(options.limits, record.failures, rng);
    wait_for(instance,
             fmt::format("waiting after failure {} in a row ({})", record.failures, info.cause),
             now,
             instance.retry_at,
             "restart the engine");
  }
  record.last_exit = std::move(info);
  save(record);
}

Time Supervisor::Impl::step_failed(Instance& instance, Time now) {
  if (!cleaned(instance, true)) return now + options.limits.tick_every;
  if (!instance.retry_at) return now + options.limits.idle_every;
  if (now < *instance.retry_at) return *instance.retry_at;
  instance.retry_at.reset();
  ++instance.record.restarts;
  set_state(instance, InstanceState::kPreparing, "starting again");
  return now;
}

std::vector<Member> Supervisor::Impl::members(Instance& instance) {
  const InstanceRecord& record = instance.record;
  if (record.process.nonce.empty()) return {};
  std::vector<Member> found = members_of(record.process, record.log_file);
  for (const std::int64_t pid : cgroup_processes(record.cgroup)) {
    const bool known = std::any_of(found.begin(), found.end(), [&](const Member& m) { return m.pid == pid; });
    const auto stat = known ? std::nullopt : process_stat(pid);
    if (stat && stat->state != 'Z') found.push_back({.pid = pid, .start_ticks = stat->start_ticks});
  }
  for (const Member& member : found)
    if (instance.pids.size() < kPidsKeptMax) instance.pids.insert(member.pid);
  return found;
}

std::optional<std::string> Supervisor::Impl::memory_still_held(const Instance& instance) {
  const Result<Usage>& seen = look();
  if (!seen.has_value()) return std::nullopt;  // no driver to ask any more: the process is gone, that must do
  for (const ProcessUse& use : seen->processes) {
    if (!instance.pids.contains(use.pid) || process_stat(use.pid)) continue;  // alive: the number is someone else's now
    return fmt::format("the driver still counts {} on device {} for process {}, which has ended",
                       use.bytes ? human(*use.bytes) : "memory",
                       use.device,
                       use.pid);
  }
  return std::nullopt;
}

bool Supervisor::Impl::cleaned(Instance& instance, bool kill) {
  if (!instance.process) return true;
  const std::vector<Member> left = members(instance);
  if (!left.empty()) {
    if (kill) {
      signal_members(left, SIGKILL);
      cgroup_kill(instance.record.cgroup);
    }
    return false;
  }
  take_exit(instance.record.process.pid);
  if (auto held = memory_still_held(instance)) {
    if (instance.message != *held) {
      instance.message = std::move(*held);
      ++changes;
    }
    return false;
  }
  instance.process = false;
  instance.pidfd.reset();
  instance.pids.clear();
  return true;
}

void Supervisor::Impl::begin_stop(Instance& instance, Time now) {
  abandon_probe(instance);
  instance.record.stopping = true;
  save(instance.record);
  instance.retry_at.reset();
  instance.deadline = now + options.limits.stop_grace;
  set_state(instance, InstanceState::kStopping, "stopping");
  wait_for(instance, "waiting for the engine to end", now, instance.deadline, "kill it");
  if (instance.process) signal_members(members(instance), SIGTERM);
}

Time Supervisor::Impl::step_stopping(Instance& instance, Time now) {
  // Once the leader is gone nobody answers requests: what it left behind needs no grace.
  const bool kill = now >= instance.deadline || (instance.process && has_ended_now(instance));
  if (!cleaned(instance, kill)) return now + options.limits.tick_every;
  if (!cgroup_gone(instance, now)) return now + options.limits.tick_every;
  free_places(instance);
  instance.gone = true;
  set_state(instance, InstanceState::kStopping, "stopped");
  log::info("instance gone", {log::kv("instance", instance.record.instance)});
  if (instance.next) {
    const wire::DesiredInstance next = std::move(*instance.next);
    accept(next, now);  // replaces `instance`
  }
  return now + options.limits.tick_every;
}

bool Supervisor::Impl::cgroup_gone(Instance& instance, Time now) {
  const std::string& path = instance.record.cgroup;
  if (cgroup_remove(path)) return true;
  if (!instance.cgroup_until) {
    instance.cgroup_until = now + kCgroupRemoveMax;
    wait_for(instance, "waiting for the kernel to let go of the engine's cgroup", now, instance.cgroup_until, "go on");
  }
  cgroup_kill(path);
  if (now < *instance.cgroup_until) return false;
  // Not for ever: its name is this worker's, and its next start sweeps it away.
  log::warn("cgroup cannot be removed", {log::kv("path", path)});
  return true;
}

void Supervisor::Impl::free_places(Instance& instance) {
  const InstanceRecord& record = instance.record;
  if (!record.secret_file.empty()) ::unlink(record.secret_file.c_str());
  if (!record.log_file.empty()) {
    ::unlink(record.log_file.c_str());
    ::unlink((record.log_file + ".1").c_str());
  }
  std::error_code error;
  if (!record.work_dir.empty()) std::filesystem::remove_all(record.work_dir, error);
  if (error)
    log::warn("folder cannot be removed", {log::kv("path", record.work_dir), log::kv("error", error.message())});
  if (const auto removed = records().remove(record.instance); !removed.has_value())
    log::warn("record cannot be removed", {log::kv("error", removed.error().message)});
  instance.secret.clear();
  instance.record.port = 0;
}

}  // namespace berth::worker
