// Whether an engine answers: before it is ready, and from time to time afterwards.
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <signal.h>
#include <utility>

#include "base/log.h"
#include "worker/supervise/supervisor_impl.h"

namespace berth::worker {
namespace {

std::uint64_t cpu_ticks(const std::vector<Member>& members) {
  std::uint64_t ticks = 0;
  for (const Member& member : members)
    if (const auto stat = process_stat(member.pid)) ticks += stat->cpu_ticks;
  return ticks;
}

}  // namespace

void Supervisor::Impl::poll_probe(Instance& instance, Time now) {
  if (instance.probe.valid()) {
    if (instance.probe.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    const Result<ProbeResult> result = instance.probe.get();
    instance.next_probe_at = now + options.limits.probe_every;
    if (result.has_value() && result->ready) {
      instance.record.ready_at = now;
      instance.unanswered = 0;
      instance.next_probe_at = now + options.limits.ask_again_every;
      set_state(instance, InstanceState::kReady, "");
      save(instance.record);
      log::info("instance ready", {log::kv("instance", instance.record.instance)});
      return;
    }
    const std::string detail = result.has_value() ? result->detail : result.error().message;
    if (detail != instance.probe_detail) ++changes;
    instance.probe_detail = detail;
    instance.message = "no answer yet: " + detail;
    return;
  }
  if (now >= instance.next_probe_at) static_cast<void>(begin_probe(instance));
}

bool Supervisor::Impl::begin_probe(Instance& instance) {
  const auto in_flight = static_cast<std::size_t>(
      std::count_if(instances.begin(), instances.end(), [](const auto& entry) { return entry.second.probe.valid(); }));
  if (in_flight + abandoned_probes.size() >= kProbesMax) return false;
  instance.probe_began = std::chrono::steady_clock::now();
  instance.cpu_at_probe = cpu_ticks(members(instance));
  const fleet::InstanceSpec& spec = instance.record.spec;
  ProbeTarget target{.instance = instance.record.instance,
                     .port = static_cast<std::uint16_t>(instance.record.port),
                     .secret = instance.secret,
                     .task = spec.task,
                     .model = spec.route.empty() ? spec.deployment_name : spec.route};
  instance.probe =
      std::async(std::launch::async, [prober = probe, target = std::move(target)] { return prober->probe(target); });
  return true;
}

void Supervisor::Impl::abandon_probe(Instance& instance) {
  // Destroying the future would wait for the engine that no longer answers.
  if (instance.probe.valid()) abandoned_probes.push_back(std::move(instance.probe));
  instance.probe = {};
}

/// An engine with much to do answers late and is not hung: one that keeps a processor busy all the while, or says
/// itself that it has too much to do, is left alone. Who waits in a loop is taken for busy, too: that is the safe
/// mistake.
bool Supervisor::Impl::has_much_to_do(Instance& instance, const ProbeResult& seen) {
  constexpr int kTooMany = 429, kUnavailable = 503;
  if (seen.status != 0) return seen.status == kTooMany || seen.status == kUnavailable;
  constexpr double kTicksPerSecond = 100;  // USER_HZ, on every architecture that engines run on
  constexpr double kBusyShare = 0.01;
  constexpr double kSecondsLeast = 0.1;  // refused at once: nothing was waited for
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - instance.probe_began;
  const std::uint64_t ticks = cpu_ticks(members(instance));
  const auto used = static_cast<double>(ticks - std::min(ticks, instance.cpu_at_probe));
  return took.count() >= kSecondsLeast && used > kBusyShare * kTicksPerSecond * took.count();
}

bool Supervisor::Impl::ask_again(Instance& instance, Time now) {
  if (!instance.probe.valid()) {
    if (now >= instance.next_probe_at) static_cast<void>(begin_probe(instance));
    return false;
  }
  if (instance.probe.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  const Result<ProbeResult> result = instance.probe.get();
  const SupervisorLimits& limits = options.limits;
  instance.next_probe_at = now + limits.ask_again_every;
  if (!result.has_value() || result->ready || has_much_to_do(instance, *result)) {
    if (std::exchange(instance.unanswered, 0U) > 0) ++changes;
    instance.message.clear();
    return false;
  }
  ++changes;
  ++instance.unanswered;
  instance.next_probe_at = now + limits.unanswered_every;
  instance.message = fmt::format(
      "does not answer ({} of {} times in a row): {}", instance.unanswered, limits.unanswered_max, result->detail);
  if (instance.unanswered < limits.unanswered_max) return false;
  fleet::ExitInfo info;
  info.cause = std::string(kUnanswered);
  info.message = fmt::format(
      "stopped answering while it was ready, {} times in a row; last: {}", instance.unanswered, result->detail);
  info.at = now;
  signal_members(members(instance), SIGKILL);
  fail_with(instance, std::move(info), now);
  return true;
}

}  // namespace berth::worker
