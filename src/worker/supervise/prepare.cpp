#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/text.h"
#include "engines/paths.h"
#include "worker/files/resolve.h"
#include "worker/supervise/supervisor_impl.h"

namespace berth::worker {
namespace {

/// What an instance that is loading will still take: its claim, less what it is seen to hold.
Bytes still_to_take(Bytes claim, Bytes held) { return claim.minus_or_zero(held); }

Bytes bytes_on(const std::vector<fleet::DeviceClaim>& claims, const std::string& device) {
  Bytes sum;
  for (const fleet::DeviceClaim& claim : claims)
    if (claim.device == device) sum += claim.bytes;
  return sum;
}

Failure refused(std::string_view what, Bytes needed, Bytes available) {
  return {kRefused,
          fmt::format("not started: {} {} needed, {} available ({} and {} bytes)",
                      what,
                      human(needed),
                      human(available),
                      needed.value,
                      available.value)};
}

const fleet::Device* device_of(const Usage& usage, const std::string& id) {
  for (const fleet::Device& device : usage.devices)
    if (device.id == id) return &device;
  return nullptr;
}

/// What a claim takes of host RAM: on unified memory its devices' share comes out of the same pool.
Bytes host_part(const Usage& usage, Bytes memory, const std::vector<fleet::DeviceClaim>& devices) {
  for (const fleet::DeviceClaim& claim : devices)
    if (const auto* device = device_of(usage, claim.device); device != nullptr && device->unified_memory)
      memory += claim.bytes;
  return memory;
}

std::string framework_of(const fleet::PlanWorker& part, const Usage& usage) {
  if (part.devices.empty()) return "cpu";
  for (const fleet::Device& device : usage.devices)
    if (device.id == part.devices.front()) return device.framework;
  return "";
}

/// Where each device stands in its driver's list now. A slice of a device has no place there: it goes by its id only.
std::map<std::string, std::string> places_of(const Usage& usage) {
  std::map<std::string, std::string> out;
  for (const fleet::Device& device : usage.devices)
    if (!device.partition) out.emplace(device.id, std::to_string(device.index));
  return out;
}

}  // namespace

std::optional<Failure> Supervisor::Impl::check_room(const Instance& instance, const fleet::PlanWorker& part) {
  const Result<Usage>& now = look();
  if (!now.has_value())
    return Failure{kRefused, "not started: this machine's memory cannot be read: " + now.error().message};
  Bytes loading_memory;
  std::vector<fleet::DeviceClaim> loading;
  for (const auto& [id, other] : instances) {
    if (&other == &instance || other.state != InstanceState::kStarting || other.record.spec.plan.workers.empty())
      continue;
    const fleet::Claim& claim = other.record.spec.plan.workers.front().claim;
    std::vector<fleet::DeviceClaim> left;
    for (const fleet::DeviceClaim& device : claim.devices)
      left.push_back({device.device, still_to_take(device.bytes, bytes_on(other.observed, device.device))});
    const Bytes left_memory = still_to_take(claim.memory_bytes, other.observed_memory.value_or(Bytes(0)));
    loading_memory += host_part(*now, left_memory, left);
    loading.insert(loading.end(), left.begin(), left.end());
  }
  const Bytes available = now->memory_available_bytes.minus_or_zero(loading_memory);
  const Bytes wanted = host_part(*now, part.claim.memory_bytes, part.claim.devices);
  if (wanted > available) return refused("host memory:", wanted, available);
  if (const auto& free = now->disk_free_bytes; free && part.claim.disk_bytes > *free)
    return refused("disk:", part.claim.disk_bytes, *free);
  for (const fleet::DeviceClaim& claim : part.claim.devices) {
    const auto* device = device_of(*now, claim.device);
    if (device == nullptr)
      return Failure{kRefused, fmt::format("not started: device {} is not on this machine", claim.device)};
    const Bytes free = device->memory_total_bytes.minus_or_zero(device->memory_used_bytes)
                           .minus_or_zero(bytes_on(loading, claim.device));
    if (claim.bytes > free) return refused(fmt::format("memory of device {}:", claim.device), claim.bytes, free);
  }
  return std::nullopt;
}

std::string Supervisor::Impl::cgroup_suffix() const {
  return "." + Hasher().add(options.state_dir).finish().text().substr(0, 8);
}

Result<void> Supervisor::Impl::make_places(Instance& instance) {
  InstanceRecord& record = instance.record;
  const std::string& state = options.state_dir;
  record.log_file = state + "/logs/" + record.instance + ".log";
  record.secret_file = state + "/secrets/" + record.instance;
  record.work_dir = state + "/run/" + record.instance;
  TRY_VOID(make_folder(record.work_dir, 0700));
  if (user.switches && ::chown(record.work_dir.c_str(), user.uid, user.gid) != 0)
    return system_error("cannot set the owner of " + record.work_dir, errno);
  TRY(instance.secret, make_secret(record.secret_file, user));
  if (cgroups) {
    TRY(record.cgroup, cgroups->make(record.instance + cgroup_suffix()));
  }
  const auto taken = [&](std::uint16_t port) {
    return std::any_of(instances.begin(), instances.end(), [&](const auto& entry) {
      return &entry.second != &instance && !entry.second.gone && entry.second.record.port == port;
    });
  };
  const auto spread = static_cast<std::uint16_t>(rng.below(static_cast<std::uint64_t>(options.ports.last) + 1));
  // The former port again where possible; else anywhere, so that a port just freed is not the next one handed out.
  const auto start = record.port != 0 ? static_cast<std::uint16_t>(record.port) : spread;
  TRY(record.port, pick_port(options.ports, start, taken));
  return {};
}

Result<engines::LaunchSpec> Supervisor::Impl::command(Instance& instance,
                                                      const fleet::PlanWorker& part,
                                                      const std::string& model) {
  const fleet::InstanceSpec& spec = instance.record.spec;
  const engines::Engine* engine = catalog->find(spec.plan.engine);
  if (engine == nullptr)
    return fail(Code::kNotFound, fmt::format("engine {} is not in this worker's catalog", spec.plan.engine));
  engines::LaunchPlace place;
  if (spec.plan.settings.image)
    return fail(Code::kNotSupported,
                fmt::format("settings.image is {}: this worker starts programs, and no containers yet",
                            printable(*spec.plan.settings.image)));
  if (!engine->recipe.command_from_request) {
    TRY(EngineProgram program, find_engine(*engine, options.engines));
    place.program = std::move(program.program);
    place.program_args = std::move(program.args);
  }
  place.model_path = model;
  place.alias = spec.route.empty() ? spec.deployment_name : spec.route;
  place.port = static_cast<std::uint16_t>(instance.record.port);
  place.secret_file = instance.record.secret_file;
  place.secret = instance.secret;
  place.threads = options.threads;
  place.path_roots = options.model_roots;
  const Result<Usage>& now = look();
  const std::string framework = now.has_value() ? framework_of(part, *now) : "";
  if (now.has_value()) place.device_indices = places_of(*now);
  if (options.launch) return options.launch(*engine, spec.plan, part, framework, spec.task, place);
  TRY(const auto paths, engines::flag_paths(*engine, spec.plan.settings.flags));
  TRY(place.real_paths, resolve_flag_paths(paths, options.model_roots));
  return engines::launch(*engine, spec.plan, part, framework, spec.task, place);
}

Result<void> Supervisor::Impl::run(Instance& instance, const engines::LaunchSpec& launch, Time now) {
  InstanceRecord& record = instance.record;
  record.process = {};
  TRY(record.process.nonce, random_hex(16));
  record.ready_at.reset();
  // On disk before the start: an agent that dies in between finds the engine by its nonce.
  TRY_VOID(records().save(record));
  ::rename(record.log_file.c_str(), (record.log_file + ".1").c_str());  // the former run's log; none is fine
  instance.kernel_oom_kills = kernel_oom_kills();
  ProcessSpec spec;
  spec.argv = launch.argv;
  spec.environment = launch.environment;
  spec.user = user;
  spec.folder = record.work_dir;
  spec.log_file = record.log_file;
  spec.cgroup = record.cgroup;
  spec.nonce = record.process.nonce;
  auto started = spawn(spec);
  if (!started.has_value()) {
    record.process = {};
    save(record);
    return std::move(started).error();
  }
  record.process = std::move(*started);
  record.started_at = now;
  instance.process = true;
  instance.pids = {record.process.pid};
  if (auto pidfd = open_pidfd(record.process.pid); pidfd.has_value()) instance.pidfd = std::move(*pidfd);
  save(record);
  return {};
}

std::optional<Failure> Supervisor::Impl::prepare(Instance& instance, Time now) {
  InstanceRecord& record = instance.record;
  const fleet::Plan& plan = record.spec.plan;
  if (plan.workers.size() != 1)
    return Failure{
        kConfiguration,
        fmt::format("the plan spans {} workers; this worker starts plans of exactly one", plan.workers.size())};
  const fleet::PlanWorker& part = plan.workers.front();
  const auto model = resolve_model(plan.source, options.model_roots);
  if (!model.has_value()) {
    const bool unsupported = model.error().code == Code::kNotSupported || model.error().code == Code::kForbidden;
    return Failure{unsupported ? kConfiguration : kModelUnreadable, model.error().message};
  }
  record.model_bytes = model->size_bytes.value;
  if (auto failure = check_room(instance, part)) return failure;
  if (const auto made = make_places(instance); !made.has_value()) return Failure{kRefused, made.error().message};
  const auto launch = command(instance, part, model->path);
  if (!launch.has_value()) return Failure{kConfiguration, launch.error().message};
  if (const auto running = run(instance, *launch, now); !running.has_value())
    return Failure{running.error().code == Code::kUnavailable ? kRefused : kConfiguration, running.error().message};
  return std::nullopt;
}

}  // namespace berth::worker
