#include "worker/agent/run_worker.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "net/stream.h"
#include "worker/files/fd.h"

namespace berth::worker {
namespace {

using net::awaitable;

constexpr std::size_t kTokenBytesMax = 4 * 1024;

/// A simulated machine has no eyes: its figures are those of the profile.
class BlindObserver final : public Observer {
 public:
  Result<Usage> look() override { return fail(Code::kNotSupported, "a simulated worker has no devices to look at"); }
};

Result<net::Url> server_url(const WorkerOptions& options) {
  TRY(net::Url url, net::parse_url(options.server));
  if (url.target != "/" && !url.target.empty())
    return invalid(fmt::format("server \"{}\" must be a scheme, a host and a port, without a path", options.server));
  if (!url.tls && !options.fingerprint.empty())
    return invalid(fmt::format("a fingerprint is given, but server \"{}\" is not https", options.server));
  if (!url.tls && url.unix_path.empty() && !net::Endpoint{.host = url.host, .port = url.port}.is_loopback())
    log::warn("the connection to the server is not encrypted", {log::kv("server", url.authority())});
  return url;
}

Result<std::string> join_token(const WorkerOptions& options) {
  if (!options.token.empty() || options.token_file.empty()) return options.token;
  auto text = read_small_file(options.token_file, kTokenBytesMax);
  if (!text) return in("join token", std::move(text).error());
  return std::string(trim(*text));
}

fleet::Worker simulated_worker(fleet::Worker worker) {
  worker.simulated = true;
  worker.state = fleet::WorkerState::kReady;  // it is here; the server judges
  worker.state_reason.reset();
  return worker;
}

DetectOptions detection(const WorkerOptions& options) {
  DetectOptions detect;
  detect.host.model_dir = options.model_roots.empty() ? options.state_dir : options.model_roots.front();
  detect.nvidia.library = options.nvidia_library;
  detect.engines = options.engines;
  detect.engine_user = options.engine_user;
  return detect;
}

/// All parts of a worker, in the order in which they need each other.
struct Parts {
  engines::EngineCatalog catalog;
  SystemClock clock;
  std::unique_ptr<Observer> observer;
  std::unique_ptr<EngineProbe> probe;
  std::unique_ptr<Supervisor> supervisor;
  net::Loop loop;
  std::unique_ptr<Agent> agent;
};

Result<fleet::Worker> machine(const WorkerOptions& options, const engines::EngineCatalog& catalog) {
  if (options.profile) return simulated_worker(*options.profile);
  TRY(Detection found, detect(detection(options), catalog));
  for (const std::string& note : found.notes) log::info("detection", {log::kv("note", note)});
  if (found.worker.engines && found.worker.engines->empty())
    log::warn(
        "no engine was found here: put llama-server on PATH, or start with --launcher-dir",
        {log::kv("path", options.engines.path), log::kv("launcher_dirs", join(options.engines.launcher_dirs, ":"))});
  return std::move(found.worker);
}

SupervisorOptions supervision(const WorkerOptions& options) {
  SupervisorOptions to;
  to.state_dir = options.state_dir;
  to.engine_user = options.engine_user;
  to.model_roots = options.model_roots;
  to.engines = options.engines;
  to.ports = options.ports;
  to.threads = options.threads != 0 ? options.threads : cpu_count(HostPaths{});
  to.simulated = options.profile.has_value();
  to.seed = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  return to;
}

Result<std::unique_ptr<Parts>> assemble(const WorkerOptions& options) {
  auto parts = std::make_unique<Parts>();
  parts->catalog = options.catalog;
  AgentOptions agent;
  TRY(agent.server, server_url(options));
  TRY(agent.token, join_token(options));
  if (agent.server.tls) {
    const net::TrustOptions trust{.fingerprint = options.fingerprint, .ca_path = options.ca_path};
    TRY(agent.tls, net::ClientTls::make(trust));
  }
  SupervisorOptions supervise = supervision(options);
  agent.seed = supervise.seed;
  if (options.profile)
    parts->observer = std::make_unique<BlindObserver>();
  else
    parts->observer = make_observer(detection(options).host, detection(options).nvidia);
  parts->probe = make_http_probe();
  TRY(parts->supervisor, Supervisor::create(std::move(supervise), parts->catalog, *parts->probe, *parts->observer));
  for (const std::string& note : parts->supervisor->notes()) log::info("worker", {log::kv("note", note)});
  TRY(fleet::Worker worker, machine(options, parts->catalog));
  if (!options.name.empty()) worker.name = options.name;
  if (!is_name(worker.name))
    return invalid(fmt::format("worker name \"{}\" must be 1 to 63 of a-z, 0-9, '-', '.', '_'; give one with --name",
                               printable(worker.name)));
  agent.name = worker.name;
  agent.version = options.version;
  agent.state_dir = options.state_dir;
  agent.simulated = options.profile.has_value();
  agent.clock = &parts->clock;
  agent.timing = options.timing;
  if (!options.profile) {
    agent.redetect = [detect_options = detection(options), catalog = &parts->catalog]() -> Result<fleet::Worker> {
      TRY(Detection found, detect(detect_options, *catalog));
      return std::move(found.worker);
    };
  }
  parts->agent = std::make_unique<Agent>(
      parts->loop.executor(), std::move(agent), *parts->supervisor, *parts->observer, std::move(worker));
  return parts;
}

awaitable<void> keep_result(Agent& agent, std::optional<Result<void>>& into) { into.emplace(co_await agent.run()); }

awaitable<void> stop_on_signal(Agent& agent) {
  const int number = co_await net::wait_stop_signal();
  if (number == 0) co_return;
  log::info("stopping, engines go on", {log::kv("signal", number)});
  agent.stop();
}

awaitable<void> run_until_signal(net::Executor executor, Agent& agent, std::optional<Result<void>>& into) {
  net::TaskGroup signals(executor);
  if (const auto spawned = signals.spawn(stop_on_signal(agent)); !spawned) {
    into.emplace(spawned.error());
    co_return;
  }
  into.emplace(co_await agent.run());
  signals.cancel();
  static_cast<void>(co_await signals.join(net::Deadline::in(net::Millis(1'000))));
}

}  // namespace

Result<int> run_worker(const WorkerOptions& options) {
  TRY(const std::unique_ptr<Parts> parts, assemble(options));
  std::optional<Result<void>> ended;
  parts->loop.run_until_done(run_until_signal(parts->loop.executor(), *parts->agent, ended));
  if (ended) TRY_VOID(std::move(*ended));
  return 0;
}

struct WorkerThread::State {
  std::unique_ptr<Parts> parts;
  std::optional<Result<void>> result;
  std::atomic<bool> ended = false;
  std::thread thread;
};

WorkerThread::WorkerThread(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<WorkerThread>> WorkerThread::start(const WorkerOptions& options) {
  auto state = std::make_unique<State>();
  TRY(state->parts, assemble(options));
  state->thread = std::thread([to = state.get()] {
    try {
      to->parts->loop.run_until_done(keep_result(*to->parts->agent, to->result));
    } catch (const std::exception& e) {
      to->result.emplace(fail(Code::kInternal, e.what()));
      log::error("worker ended by an exception", {log::kv("what", std::string_view(e.what()))});
    }
    to->ended = true;
  });
  return std::unique_ptr<WorkerThread>(new WorkerThread(std::move(state)));
}

bool WorkerThread::ended() const { return state_->ended; }

Result<void> WorkerThread::stop() {
  if (state_->thread.joinable()) {
    state_->parts->agent->stop();
    state_->thread.join();
  }
  return state_->result.value_or(Result<void>{});
}

WorkerThread::~WorkerThread() { static_cast<void>(stop()); }

}  // namespace berth::worker
