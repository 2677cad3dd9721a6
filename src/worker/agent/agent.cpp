#include "worker/agent/agent.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/rng.h"
#include "net/loopback.h"
#include "wire/json.h"
#include "worker/agent/credentials.h"
#include "worker/agent/relay.h"
#include "worker/agent/session.h"

namespace berth::worker {
namespace {

using net::awaitable;
using net::Deadline;
using wire::MessageType;

constexpr std::size_t kFileThreads = 2;  // one may look at the machine for seconds
constexpr std::size_t kFileJobsMax = 256;
constexpr net::Millis kPruneEvery{5'000};
constexpr net::Millis kEndMax{30'000};  // for all tasks after stop(): a sick driver may hold one of them
constexpr std::uint32_t kDoublingsMax = 10;

/// A refusal that waiting does not heal. The server may say the same for a moment while it is repaired, so that it ends
/// only an agent that was never welcomed.
bool final_refusal(Code code) {
  return code == Code::kUnauthenticated || code == Code::kForbidden || code == Code::kInvalid ||
         code == Code::kNotSupported;
}

}  // namespace

struct Agent::Impl {
  Impl(net::Executor on, AgentOptions with, Supervisor& supervisor, Observer& observer, fleet::Worker detected)
      : executor(on),
        options(std::move(with)),
        clock(options.clock != nullptr ? *options.clock : own_clock),
        worker(std::move(detected)),
        rng(options.seed),
        local(on, supervisor, observer, clock),
        relay([this](const std::string& instance) { return endpoint(instance); }),
        data(on, options.server, options.tls, [this](net::Exchange& exchange) { return relay.serve(exchange); }),
        files("worker files", kFileThreads, kFileJobsMax),
        stopped(on),
        tasks(on),
        lasting(on) {}

  std::optional<Endpoint> endpoint(const std::string& instance) const {
    const auto picture = local.picture();
    const auto at = picture->endpoints.find(instance);
    return at == picture->endpoints.end() ? std::nullopt : std::optional(at->second);
  }

  awaitable<Result<void>> run();
  awaitable<Result<void>> begin();
  awaitable<void> stay_connected();
  awaitable<Result<void>> connect_once();
  awaitable<Result<net::FrameChannel>> dial(std::string key);
  awaitable<Result<wire::Welcome>> introduce(net::FrameChannel& channel);
  awaitable<Result<void>> keep_key(const wire::Welcome& welcome);
  awaitable<void> keep_house();
  awaitable<void> look_again();
  net::Millis pause_after(std::uint32_t failures);
  void stop_now();

  net::Executor executor;
  AgentOptions options;
  SystemClock own_clock;
  const Clock& clock;
  fleet::Worker worker;
  Rng rng;
  Credentials credentials;
  Local local;
  Relay relay;
  DataLinks data;
  net::WorkPool files;
  std::shared_ptr<Session> session;  // also after its end, until its tasks were joined
  std::uint64_t sessions = 0;
  bool connected = false;
  bool key_refused = false;  // by the last connection
  bool joining = false;      // the next one shows the token although there is a key
  bool stopping = false;
  std::optional<Error> fatal;
  std::string last_error;  // said once
  net::Signal stopped;
  net::TaskGroup tasks;    // the connection
  net::TaskGroup lasting;  // what goes on until the connection has ended
};

awaitable<Result<void>> Agent::Impl::begin() {
  std::function<Result<Credentials>()> load = [this] { return load_credentials(options.state_dir); };
  CO_TRY(credentials, co_await files.run<Credentials>(std::move(load)));
  if (credentials.worker_key.empty() && options.token.empty())
    co_return fail(Code::kUnauthenticated,
                   "this worker has not joined yet and has no token: make one on the server with `berth worker token`");
  co_return co_await local.begin();
}

awaitable<Result<void>> Agent::Impl::run() {
  CO_TRY_VOID(co_await begin());
  Result<void> spawned = lasting.spawn(local.run());
  if (spawned) spawned = lasting.spawn(keep_house());
  if (spawned) spawned = lasting.spawn(data.run());
  if (spawned && options.redetect) spawned = lasting.spawn(look_again());
  if (spawned) spawned = tasks.spawn(stay_connected());
  if (!spawned) fatal = spawned.error();
  while (!stopping && !fatal) co_await stopped.wait(Deadline::never());
  stopping = true;
  tasks.cancel();
  lasting.cancel();
  const Deadline deadline = Deadline::in(kEndMax);
  auto ended = co_await tasks.join(deadline);
  if (ended && session) ended = co_await session->join(deadline);
  if (ended) ended = co_await lasting.join(deadline);
  co_await data.end();
  if (!ended) log::error("tasks of the worker did not end", {log::kv("error", ended.error().message)});
  if (fatal) co_return *fatal;
  co_return Result<void>{};
}

void Agent::Impl::stop_now() {
  stopping = true;
  stopped.notify();
}

net::Millis Agent::Impl::pause_after(std::uint32_t failures) {
  const AgentTiming& timing = options.timing;
  const std::uint32_t doublings = std::min(failures, kDoublingsMax);
  const net::Millis most = std::min(timing.backoff_max, timing.backoff_min * (1 << doublings));
  // Between half and all of it, so that a fleet does not come back in step.
  const auto half = static_cast<std::uint64_t>(most.count() / 2);
  return net::Millis(half + rng.below(half + 1));
}

awaitable<void> Agent::Impl::stay_connected() {
  std::uint32_t failures = 0;
  while (!stopping) {
    const std::uint64_t before = sessions;
    const auto ended = co_await connect_once();
    connected = false;
    if (stopping || co_await net::task_cancelled()) co_return;
    if (sessions > before) failures = 0;
    const Error error = ended ? Error{} : ended.error();
    if (key_refused && !joining) {
      joining = !options.token.empty();
      if (joining) {
        log::warn("the server does not know this worker's key: joining again with the token");
        continue;
      }
    } else {
      joining = false;  // a token that failed too: the key has its turn again
    }
    if (!ended && final_refusal(error.code) && sessions == 0) {
      fatal = in(fmt::format("server {}", options.server.authority()), error);
      stopped.notify();
      co_return;
    }
    if (error.message != last_error)
      log::warn("no connection to the server",
                {log::kv("server", options.server.authority()), log::kv("error", error.message)});
    last_error = error.message;
    if (!co_await net::sleep_for(pause_after(failures++))) co_return;
  }
}

awaitable<Result<net::FrameChannel>> Agent::Impl::dial(std::string key) {
  net::Url url = options.server;
  url.target = wire::kControlPath;
  net::HeaderList headers;
  headers.add("Authorization", "Bearer " + key);
  std::string protocol(wire::kControlUpgrade);
  int status = 0;
  auto stream = co_await net::dial_upgrade(std::move(url),
                                           options.tls,
                                           std::move(protocol),
                                           std::move(headers),
                                           Deadline::in(options.timing.dial_max),
                                           &status);
  // Said by the server itself: a certificate that is not the pinned one ends before the key is shown.
  constexpr int kUnauthorized = 401;
  key_refused = status == kUnauthorized;
  if (!stream) co_return stream.error();
  co_return net::FrameChannel(std::move(*stream));
}

/// hello → welcome or refused.
awaitable<Result<wire::Welcome>> Agent::Impl::introduce(net::FrameChannel& channel) {
  const wire::Hello hello{.worker_id = credentials.worker_id,
                          .name = options.name,
                          .version = options.version,
                          .host_id = credentials.host_id,
                          .loopback = net::loopback_id(),
                          .simulated = options.simulated};
  std::string payload = wire::to_json(hello);
  CO_TRY_VOID(co_await channel.write(
      static_cast<std::uint8_t>(MessageType::kHello), std::move(payload), Deadline::in(options.timing.welcome_max)));
  for (;;) {
    CO_TRY(const net::Frame frame, co_await channel.read(options.timing.welcome_max));
    if (frame.type == static_cast<std::uint8_t>(MessageType::kRefused)) {
      CO_TRY(const wire::Refused refused, wire::from_json<wire::Refused>(frame.payload, wire::Strictness::kLenient));
      co_return fail(code_from_name(refused.code).value_or(Code::kUnavailable), refused.message);
    }
    if (frame.type != static_cast<std::uint8_t>(MessageType::kWelcome)) continue;
    auto welcome = wire::from_json<wire::Welcome>(frame.payload, wire::Strictness::kLenient);
    if (welcome && welcome->worker_id.empty()) co_return invalid("the server's welcome names no worker");
    co_return welcome;
  }
}

/// On disk before anything else is said: a key that is lost means joining again.
awaitable<Result<void>> Agent::Impl::keep_key(const wire::Welcome& welcome) {
  Credentials fresh = credentials;
  fresh.worker_id = welcome.worker_id;
  if (!welcome.worker_key.empty()) fresh.worker_key = welcome.worker_key;
  if (fresh.worker_id == credentials.worker_id && fresh.worker_key == credentials.worker_key) co_return Result<void>{};
  std::function<Result<void>()> save = [this, &fresh] { return save_credentials(options.state_dir, fresh); };
  std::optional<Result<void>> saved;
  std::function<void()> job = [&save, &saved] { saved.emplace(save()); };
  CO_TRY_VOID(co_await files.run_void(std::move(job)));
  ASSERT(saved);
  CO_TRY_VOID(std::move(*saved));
  credentials = std::move(fresh);
  co_return Result<void>{};
}

awaitable<Result<void>> Agent::Impl::connect_once() {
  if (session) {
    CO_TRY_VOID(co_await session->join(Deadline::in(kEndMax)));
    session.reset();
  }
  const bool own_key = !credentials.worker_key.empty() && !joining;
  std::string key = own_key ? credentials.worker_key : options.token;
  auto dialed = co_await dial(std::move(key));
  key_refused = key_refused && own_key;
  CO_TRY(net::FrameChannel channel, std::move(dialed));
  auto introduced = co_await introduce(channel);
  key_refused = own_key && !introduced && introduced.error().code == Code::kUnauthenticated;
  CO_TRY(wire::Welcome welcome, std::move(introduced));
  CO_TRY_VOID(co_await keep_key(welcome));
  ++sessions;
  connected = true;
  last_error.clear();
  log::info("connected to the server",
            {log::kv("server", options.server.authority()), log::kv("worker", welcome.worker_id)});
  worker.id = welcome.worker_id;
  session = std::make_shared<Session>(executor,
                                      SessionWorld{.local = local,
                                                   .data = data,
                                                   .files = files,
                                                   .clock = clock,
                                                   .worker = worker,
                                                   .key = credentials.worker_key,
                                                   .simulated = options.simulated,
                                                   .ping_every = options.timing.ping_every,
                                                   .silence_max = options.timing.silence_max},
                                      std::move(channel),
                                      std::move(welcome));
  co_return co_await session->run();
}

awaitable<void> Agent::Impl::keep_house() {
  while (co_await net::sleep_for(kPruneEvery)) relay.prune();
}

/// Engines that were installed, more memory: rare, and seen without a restart.
awaitable<void> Agent::Impl::look_again() {
  while (co_await net::sleep_for(options.timing.redetect_every)) {
    std::function<Result<fleet::Worker>()> job = options.redetect;
    auto seen = co_await files.run<fleet::Worker>(std::move(job));
    if (!seen) {
      log::warn("the machine was not looked at again", {log::kv("error", seen.error().message)});
      continue;
    }
    // Devices come with each heartbeat; the rest is compared here.
    fleet::Worker next = worker;
    next.engines = seen->engines;
    next.memory_total_bytes = seen->memory_total_bytes;
    next.container_runtime = seen->container_runtime;
    if (wire::to_json(next) == wire::to_json(worker)) continue;
    worker = std::move(next);
    if (connected && session) co_await session->tell_inventory();
  }
}

Agent::Agent(
    net::Executor executor, AgentOptions options, Supervisor& supervisor, Observer& observer, fleet::Worker worker)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options), supervisor, observer, std::move(worker))) {}

Agent::~Agent() = default;

awaitable<Result<void>> Agent::run() { co_return co_await impl_->run(); }

void Agent::stop() {
  net::asio::post(impl_->executor, [weak = std::weak_ptr<Impl>(impl_)] {
    if (const auto impl = weak.lock()) impl->stop_now();
  });
}

AgentStatus Agent::status() const {
  return {.connected = impl_->connected,
          .worker_id = impl_->credentials.worker_id,
          .data_connections = impl_->data.open(),
          .sessions = impl_->sessions};
}

}  // namespace berth::worker
