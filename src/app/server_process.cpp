#include "app/server_process.h"

#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <sodium.h>

#include "api/api.h"
#include "api/auth.h"
#include "api/worker_link.h"
#include "app/data_dir.h"
#include "app/route_table.h"
#include "app/usage_ledger.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "net/runtime.h"
#include "net/server.h"
#include "reconcile/reconciler.h"
#include "store/sqlite/sqlite_store.h"
#include "store/watched.h"

namespace berth::app {
namespace {

using net::awaitable;
using net::Deadline;

constexpr std::size_t kPoolThreads = 4;    // changes
constexpr std::size_t kReaderThreads = 4;  // what never waits for a change
constexpr net::Millis kTickEvery{1'000};   // at the latest; events wake it
constexpr net::Millis kUsageEvery{2'000};  // usage is written in groups
constexpr net::Millis kDrainGrace{10'000};
constexpr Duration kJoinTokenLives{600'000};

std::string new_id() {
  std::array<unsigned char, 10> raw{};
  randombytes_buf(raw.data(), raw.size());
  std::string id;
  for (const auto byte : raw) id += fmt::format("{:02x}", byte);
  return id;
}

class InferenceKeys final : public gateway::KeyCheck {
 public:
  explicit InferenceKeys(const api::Auth& auth) : auth_(auth) {}
  [[nodiscard]] std::optional<gateway::KeyInfo> check(std::string_view key) const override {
    auto principal = auth_.check(key);
    if (!principal) return std::nullopt;
    return gateway::KeyInfo{principal->key_id, principal->scopes};
  }

 private:
  const api::Auth& auth_;
};

Result<net::ServerTls> make_tls(const ServerOptions& options, const net::Endpoint& endpoint) {
  if (!options.tls_cert.empty()) return net::ServerTls::from_files(options.tls_cert, options.tls_key);
  if (endpoint.is_loopback() || options.insecure_http) return net::ServerTls();
  const std::string cert = options.data_dir + "/tls-cert.pem", key = options.secret_file + ".tls.pem";
  if (std::filesystem::exists(cert) && std::filesystem::exists(key)) return net::ServerTls::from_files(cert, key);
  TRY(const auto pair, net::make_self_signed({}));
  TRY_VOID(write_private_file(cert, pair.certificate));
  TRY_VOID(write_private_file(key, pair.key));
  return net::ServerTls::from_pem(pair);
}

}  // namespace

struct ServerProcess::State {
  explicit State(ServerOptions o) : options(std::move(o)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  /// What still runs on a pool, behind a disk that hangs, uses nearly everything else.
  ~State() {
    pool.reset();
    readers.reset();
  }

  ServerOptions options;
  SystemClock clock;
  net::Loop loop;
  std::unique_ptr<store::Watched> store;
  std::unique_ptr<net::WorkPool> pool, readers;
  std::unique_ptr<api::Auth> auth;
  std::unique_ptr<reconcile::Reconciler> reconciler;
  std::unique_ptr<net::Signal> wake;
  gateway::RouteBoard board;
  gateway::UsageTotals usage;
  UsageLedger ledger{new_id()};
  std::unique_ptr<InferenceKeys> keys;
  std::unique_ptr<gateway::DataPool> data;
  std::unique_ptr<gateway::Gateway> gate;
  std::unique_ptr<api::WorkerLinks> links;
  std::unique_ptr<api::Api> management;
  std::unique_ptr<net::Server> server;
  net::ServerTls tls;
  bool everywhere = false;  // listens on all addresses
  ServerFacts facts;
  std::function<Result<void>()> watch;   // what runs beside the server
  Result<void> failure;                  // of that
  std::unique_ptr<net::Signal> leaving;  // the server ends

  Result<void> open() {
    // The command line is wrong, not somebody's key: kInvalid, whatever the system says.
    TRY_VOID(prepare_data_dir(options.data_dir));
    TRY(auto opened, store::open_sqlite({.path = options.data_dir + "/berth.db", .pages_max = std::nullopt}));
    store = std::make_unique<store::Watched>(std::move(opened));
    TRY(const auto known, store->list({.kind = "api_key", .after = "", .limit = 1}));
    const auto lost = known.objects.empty() ? api::SecretLost::kMakeNew : api::SecretLost::kRefuse;
    TRY(auto secret, api::load_or_make_secret(options.secret_file, lost));
    auth = std::make_unique<api::Auth>(*store, std::move(secret), clock);
    TRY_VOID(auth->load());
    reconciler = std::make_unique<reconcile::Reconciler>(
        *store, reconcile::Options{.policy = fleet::standard_policy(), .catalog = options.catalog, .new_id = new_id});
    return reconciler->load(clock.now());
  }

  /// Keys that the commands of this start need: the machine's own, renewed, and one to join with. Last of all that can
  /// fail: the first start makes the password, which is told only when the start succeeds.
  Result<void> issue_keys() {
    for (const auto* name : {"local-admin", "local-join"})
      if (auto gone = auth->revoke(name); !gone && gone.error().code != Code::kNotFound) return gone.error();
    TRY(auto admin,
        auth->create(
            "local-admin",
            {std::string(api::kScopeManagement), std::string(api::kScopeOperator), std::string(api::kScopeInference)},
            std::nullopt));
    TRY(auto join, auth->create("local-join", {std::string(api::kScopeJoin)}, kJoinTokenLives));
    facts.local_key = admin.key;
    facts.join_token = join.key;
    TRY(facts.admin_password, auth->ensure_admin_password());
    return {};
  }

  void wire() {
    pool = std::make_unique<net::WorkPool>("server", kPoolThreads);
    readers = std::make_unique<net::WorkPool>("readers", kReaderThreads);
    wake = std::make_unique<net::Signal>(loop.executor());
    keys = std::make_unique<InferenceKeys>(*auth);
    data = std::make_unique<gateway::DataPool>(
        [this](const std::string& worker, std::uint32_t count) { links->request_data(worker, count); });
    gate = std::make_unique<gateway::Gateway>(gateway::Ports{board, *keys, usage, *data});
    const auto poke = [this] { wake->notify(); };
    links = std::make_unique<api::WorkerLinks>(api::LinkDeps{
        .reconciler = *reconciler,
        .auth = *auth,
        .pool = *pool,
        .clock = clock,
        .executor = loop.executor(),
        .wake = poke,
        .on_data = [this](const std::string& worker, net::Stream stream) { data->offer(worker, std::move(stream)); },
        .on_here = [this](const std::string& worker) { data->welcome(worker); },
        .on_gone = [this](const std::string& worker) { data->forget(worker); }});
    management =
        std::make_unique<api::Api>(api::RouteDeps{.reconciler = *reconciler,
                                                  .store = *store,
                                                  .auth = *auth,
                                                  .wake = poke,
                                                  .version = options.version,
                                                  .plain_http = facts.plain_http,
                                                  .store_trouble = [this] { return store->trouble(); },
                                                  .sees_files = [this] { return links->all_on_this_machine(); },
                                                  .model_roots = options.model_roots},
                                   *links,
                                   api::ApiPools{.changes = *pool, .reads = *readers},
                                   clock,
                                   api::ApiOptions{.hosts = options.hosts, .own_hosts = everywhere});
  }

  awaitable<void> handle(net::Exchange& exchange) {
    const auto path = exchange.request().path();
    const bool worker = path.starts_with("/worker/");
    const bool inference =
        gateway::Gateway::owns(path) || (path.starts_with("/v1/") && path != "/v1/model-evaluations");
    if (!worker) {
      if (const auto refused = management->check_origin(exchange.request())) {
        if (inference) co_return co_await gate->refuse(exchange, *refused);
        co_return co_await api::Api::refuse(exchange, *refused);
      }
    }
    if (inference) co_return co_await gate->handle(exchange);
    co_await management->handle(exchange);
  }

  Result<void> listen() {
    TRY(const auto endpoint, net::parse_endpoint(options.listen));
    TRY(tls, make_tls(options, endpoint));
    TRY(auto listener, net::Listener::open(loop.executor(), endpoint, "--listen"));
    const auto& real = listener.endpoint();
    const std::string host = real.host == "0.0.0.0" || real.host == "::" ? "127.0.0.1" : real.host;
    facts.url = fmt::format("{}://{}:{}",
                            tls.enabled() ? "https" : "http",
                            host.find(':') == std::string::npos ? host : "[" + host + "]",
                            real.port);
    facts.fingerprint = tls.fingerprint();
    facts.plain_http = !tls.enabled() && !endpoint.is_loopback();
    if (facts.plain_http)
      log::warn("plain HTTP beyond this machine: keys and prompts can be read on the way (--insecure-http)",
                {log::kv("url", facts.url)});
    everywhere = endpoint.host == "0.0.0.0" || endpoint.host == "::";
    if (!endpoint.is_loopback() && !everywhere) options.hosts.push_back(endpoint.host);
    server =
        std::make_unique<net::Server>(loop.executor(), [this](net::Exchange& exchange) { return handle(exchange); });
    server->listen(std::move(listener), tls);
    return {};
  }

  /// Ticks when something changed, and at least once a second, which is early enough for what a tick wants to be woken
  /// for. A tick that throws is a defect: it is told, and what it left half done is read again by the next one.
  awaitable<void> control_loop() {
    while (!(co_await net::task_cancelled())) {
      reconcile::TickResult result;
      std::function<void()> job = [this, &result] {
        try {
          result = reconciler->tick(clock.now());
        } catch (const std::exception& e) {
          log::error("a step of the control loop failed", {log::kv("error", e.what())});
          reconciler->distrust();
        }
      };
      auto done = co_await pool->run_void(std::move(job));
      if (!done) log::warn("tick postponed", {log::kv("error", done.error().message)});
      board.publish(
          route_table(*reconciler->view(), [this](const std::string& id) { return reconciler->secret_of(id); }));
      if (!result.workers.empty()) links->notify(std::move(result.workers));
      if (!result.removed.empty()) links->end(std::move(result.removed));
      static_cast<void>(co_await wake->wait(Deadline::in(kTickEvery)));
    }
  }

  /// Counts stay until they are written. While the store fails, it is tried with a write of its own too, so that
  /// /readyz turns good again without waiting for somebody's request.
  void write_usage() {
    if (ledger.empty() && store->trouble().empty()) return;
    auto done = ledger.write(*store, clock.now());
    if (done && !store->trouble().empty()) {
      store::Batch probe{.at = clock.now(), .epoch = 0, .operations = {}};
      probe.add(store::Put{.kind = "setting",
                           .id = "store_probe",
                           .name = "store_probe",
                           .spec = fmt::format(R"({{"at":"{}"}})", to_rfc3339(clock.now()))});
      if (auto tried = store->commit(std::move(probe)); !tried) done = tried.error();
    }
    if (!done) log::error("the store cannot be written, tried again", {log::kv("error", done.error().message)});
  }

  awaitable<void> flush_usage() {
    ledger.add(usage.drain());
    std::function<void()> job = [this] { write_usage(); };
    static_cast<void>(co_await pool->run_void(std::move(job)));
  }

  awaitable<void> usage_loop() {
    while (co_await net::sleep_for(kUsageEvery)) co_await flush_usage();
  }

  awaitable<void> wait_for_signal() {
    const int signal = co_await net::wait_stop_signal();
    if (signal != 0) log::info("stopping", {log::kv("signal", signal)});
    leaving->notify();
  }

  awaitable<void> watch_companions() {
    while (co_await net::sleep_for(kTickEvery)) {
      failure = watch();
      if (!failure) co_return leaving->notify();
    }
  }

  awaitable<void> main_task() {
    net::TaskGroup tasks(loop.executor());
    leaving = std::make_unique<net::Signal>(loop.executor());
    auto spawned = tasks.spawn(control_loop());
    if (spawned) spawned = tasks.spawn(usage_loop());
    if (spawned) spawned = tasks.spawn(wait_for_signal());
    if (spawned && watch) spawned = tasks.spawn(watch_companions());
    if (spawned) static_cast<void>(co_await leaving->wait(Deadline::never()));
    links->stop();
    co_await server->stop(Deadline::in(kDrainGrace));
    tasks.cancel();
    if (const auto ended = co_await tasks.join(Deadline::in(kDrainGrace)); !ended) {
      // Another thread may be writing them at this moment.
      log::error("the last token counts were not written", {log::kv("error", ended.error().message)});
      co_return;
    }
    ledger.add(usage.drain());
    write_usage();
  }
};

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(ServerOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  TRY_VOID(state->open());
  TRY_VOID(state->listen());
  TRY_VOID(state->issue_keys());
  state->wire();
  return std::unique_ptr<ServerProcess>(new ServerProcess(std::move(state)));
}

ServerProcess::ServerProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
ServerProcess::~ServerProcess() = default;

const ServerFacts& ServerProcess::facts() const { return state_->facts; }

Result<void> ServerProcess::introduce(const fleet::Worker& worker) {
  TRY_VOID(state_->reconciler->introduce(worker, state_->clock.now()));
  return {};
}

Result<void> ServerProcess::run(std::function<Result<void>()> watch) {
  state_->watch = std::move(watch);
  state_->loop.run_until_done(state_->main_task());
  return state_->failure;
}

}  // namespace berth::app
