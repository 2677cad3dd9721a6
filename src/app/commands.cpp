#include "app/commands.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <unistd.h>

#include "app/server_process.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/exit_codes.h"
#include "cli/server.h"
#include "net/client.h"
#include "net/stream.h"
#include "wire/catalog.h"
#include "wire/files.h"
#include "wire/json.h"
#include "worker/agent/run_worker.h"
#include "worker/files/resolve.h"

namespace berth::app {
namespace {

namespace fs = std::filesystem;
constexpr std::uintmax_t kFileMax = 4 * 1024 * 1024;

std::string base_dir(const cli::Environment& e, std::string_view sub) {
  if (::geteuid() == 0) return fmt::format("/var/lib/berth/{}", sub);
  const auto home = e.variable("HOME").value_or("/tmp");
  return fmt::format("{}/.local/share/berth/{}", home, sub);
}

std::string secret_path(const cli::Environment& e) {
  if (::geteuid() == 0) return "/etc/berth/secret.key";
  return fmt::format("{}/.config/berth/secret.key", e.variable("HOME").value_or("/tmp"));
}

Result<std::string> read_file(const std::string& path) {
  std::error_code ec;
  if (fs::file_size(path, ec) > kFileMax && !ec) return fail(Code::kTooLarge, path + " is too large");
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::kNotFound, fmt::format("{} cannot be read", path));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// berth's own launchers: beside the binary's install, or in the checkout it was built in.
std::vector<std::string> launcher_dirs(const std::vector<std::string>& asked) {
  std::vector<std::string> out = asked;
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  if (ec) return out;
  out.push_back((self.parent_path() / "../libexec/berth").lexically_normal().string());
  out.push_back((self.parent_path() / "../../tools/engines").lexically_normal().string());
  return out;
}

template <class T>
Result<void> in_flag(std::string_view flag, const Result<T>& value) {
  if (!value) return in(flag, value.error());
  return {};
}

struct ServerArgs {
  std::string listen = "127.0.0.1:8080", data_dir, secret_file, tls_cert, tls_key;
  std::vector<std::string> hosts;
  bool insecure = false;

  void declare(cli::Arguments& a) {
    a.option("--listen", listen, "address:port; beyond loopback it is TLS or --insecure-http");
    a.option("--data-dir", data_dir, "database and state");
    a.option("--secret-file", secret_file, "key that digests are made with; keep it out of backups of the data");
    a.option("--tls-cert", tls_cert, "PEM certificate; without one a self-signed is made when needed");
    a.option("--tls-key", tls_key, "PEM key of --tls-cert");
    a.option("--host", hosts, "further host names that clients may use");
    a.flag("--insecure-http", insecure, "plain HTTP beyond loopback");
  }
  Result<ServerOptions> options(const cli::Environment& e) const {
    TRY(auto catalog, wire::embedded_catalog());
    TRY_VOID(in_flag("--listen", net::parse_endpoint(listen)));
    if (tls_cert.empty() != tls_key.empty()) return invalid("--tls-cert and --tls-key belong together");
    return ServerOptions{.listen = listen,
                         .data_dir = data_dir.empty() ? base_dir(e, "server") : data_dir,
                         .secret_file = secret_file.empty() ? secret_path(e) : secret_file,
                         .insecure_http = insecure,
                         .tls_cert = tls_cert,
                         .tls_key = tls_key,
                         .hosts = hosts,
                         .catalog = std::move(catalog),
                         .version = BERTH_VERSION};
  }
};

struct WorkerArgs {
  std::string name, state_dir, engine_user = "berth-engine", nvml = "libnvidia-ml.so.1";
  std::vector<std::string> model_roots, launchers;
  std::optional<std::uint32_t> threads, port_first;

  void declare(cli::Arguments& a) {
    a.option("--name", name, "name of this worker; the host's name otherwise");
    a.option("--state-dir", state_dir, "where instances are remembered");
    a.option("--model-root", model_roots, "folder that local models may lie in; may be given several times");
    a.option("--engine-user", engine_user, "user that engines run as");
    a.option("--launcher-dir", launchers, "folder with engine launchers");
    a.option("--threads", threads, "processors per engine");
    a.option("--engine-port", port_first, "first port for engines; 1,000 from there on");
    a.option("--nvml", nvml, "library that NVIDIA devices are read with");
  }
  /// What is wrong with the command line itself.
  Result<void> check() const {
    TRY_VOID(worker::check_folders("--model-root", model_roots));
    return worker::check_folders("--launcher-dir", launchers);
  }
  Result<worker::WorkerOptions> options(const cli::Environment& e) const {
    worker::WorkerOptions o;
    TRY(o.catalog, wire::embedded_catalog());
    o.name = name;
    o.version = BERTH_VERSION;
    o.state_dir = state_dir.empty() ? base_dir(e, "worker") : state_dir;
    o.model_roots = model_roots;
    o.engines.path = e.variable("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
    o.engines.launcher_dirs = launcher_dirs(launchers);
    o.engine_user = ::geteuid() == 0 ? engine_user : "";
    o.threads = threads.value_or(0);
    o.nvidia_library = nvml;
    if (port_first) {
      constexpr std::uint32_t kPorts = 1000;
      if (*port_first < 1024 || *port_first > 65535 - kPorts)
        return invalid(fmt::format("--engine-port is {}, must be from 1024 to {}", *port_first, 65535 - kPorts));
      o.ports = {static_cast<std::uint16_t>(*port_first), static_cast<std::uint16_t>(*port_first + kPorts - 1)};
    }
    return o;
  }
};

void start_log(bool json, bool debug) {
  log::set_sink(debug ? log::Level::kDebug : log::Level::kInfo, log::stderr_sink(json));
}

struct LogArgs {
  bool json = false, debug = false;
  void declare(cli::Arguments& a) {
    a.flag("--log-json", json, "log lines as JSON");
    a.flag("--debug", debug, "more log lines");
  }
};

/// The server that the client file belongs to, when it is another one and answers.
std::optional<std::string> other_server(const std::string& client_file, const std::string& own_url) {
  constexpr net::Millis kAnswerMax{1'500};
  const auto text = read_file(client_file);
  if (!text) return std::nullopt;
  const auto file = wire::from_json<cli::ClientFile>(*text, wire::Strictness::kLenient);
  if (!file || file->server.empty() || file->server == own_url) return std::nullopt;
  net::FetchOptions how;
  how.connect_max = how.total_max = kAnswerMax;
  if (!file->fingerprint.empty()) {
    net::TrustOptions trust;
    trust.fingerprint = file->fingerprint;
    if (auto tls = net::ClientTls::make(trust)) how.tls = std::move(*tls);
  }
  const auto answer = net::fetch_blocking("GET", file->server + "/healthz", {}, "", how);
  return answer ? std::optional(file->server) : std::nullopt;
}

Result<void> tell(cli::Context& context, const ServerProcess& server, const ServerOptions& options) {
  const auto& f = server.facts();
  context.out(fmt::format("berth {}\n", BERTH_VERSION));
  context.out(fmt::format("  server          {}\n", f.url));
  if (!f.fingerprint.empty()) context.out(fmt::format("  certificate     {}\n", f.fingerprint));
  if (f.plain_http)
    context.out("  WARNING         plain HTTP: keys and prompts can be read on the way (--insecure-http)\n");
  if (f.admin_password) context.out(fmt::format("  admin password  {}   (shown once)\n", *f.admin_password));
  context.out(fmt::format("  data            {}\n", options.data_dir));
  std::string path = cli::client_file_path(context.environment);
  if (path.empty()) return {};
  const auto other = other_server(path, f.url);
  if (other) path = options.data_dir + "/client.json";
  TRY_VOID(cli::write_client_file(path, {.server = f.url, .key = f.local_key, .fingerprint = f.fingerprint}));
  if (!other) {
    context.out(fmt::format("  client          {}   (commands on this machine are logged in)\n", path));
    return {};
  }
  context.out(fmt::format("  client          {}\n", path));
  context.out(fmt::format("                  commands on this machine go to {}, which runs too;\n", *other));
  context.out(fmt::format("                  for this server: export BERTH_CONFIG={}\n", path));
  return {};
}

int server_command(cli::Context& context, const std::vector<std::string>& args) {
  ServerArgs server_args;
  LogArgs log_args;
  std::vector<std::string> model_roots;
  cli::Arguments a(
      "server", "Run a server: workers join it with `berth worker`.", {"berth server --listen 0.0.0.0:8443"});
  server_args.declare(a);
  a.option("--model-root", model_roots, "folder that local models are read in for their facts; as the workers' own");
  log_args.declare(a);
  auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) return context.out(*page), cli::kExitOk;
  if (auto ok = worker::check_folders("--model-root", model_roots); !ok) return context.misused(ok.error());
  start_log(log_args.json, log_args.debug);
  auto options = server_args.options(context.environment);
  if (!options) return context.misused(options.error());
  options->model_roots = model_roots;
  auto server = ServerProcess::start(*options);
  if (!server) return context.failed(server.error());
  if (auto told = tell(context, **server, *options); !told) return context.failed(told.error());
  if (auto ran = (*server)->run(); !ran) return context.failed(ran.error());
  return cli::kExitOk;
}

Result<std::vector<fleet::Worker>> read_profiles(const std::string& path) {
  std::vector<fleet::Worker> out;
  std::vector<std::string> files;
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    for (const auto& entry : fs::directory_iterator(path, ec))
      if (entry.path().extension() == ".yaml") files.push_back(entry.path().string());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  for (const auto& file : files) {
    TRY(const auto text, read_file(file));
    if (auto worker = wire::read_profile(text)) {
      out.push_back(std::move(*worker));
    } else if (auto fleet_file = wire::read_fleet_file(text)) {
      for (auto& w : fleet_file->workers) {
        w.simulated = true;
        out.push_back(std::move(w));
      }
    } else if (files.size() == 1) {
      return in(file, worker.error());
    }
  }
  // A folder may hold a worker in its own file and in a fleet file: one of them is enough.
  std::sort(out.begin(), out.end(), [](const auto& x, const auto& y) { return x.name < y.name; });
  out.erase(std::unique(out.begin(), out.end(), [](const auto& x, const auto& y) { return x.name == y.name; }),
            out.end());
  if (out.empty()) return invalid(fmt::format("--profile {}: no worker in there", path));
  return out;
}

int up_command(cli::Context& context, const std::vector<std::string>& args) {
  ServerArgs server_args;
  WorkerArgs worker_args;
  LogArgs log_args;
  std::string profile;
  cli::Arguments a(
      "up", "Run a server and a worker on this machine.", {"berth up", "berth up --profile examples/seed"});
  server_args.declare(a);
  worker_args.declare(a);
  log_args.declare(a);
  a.option(
      "--profile", profile, "simulated workers out of a fleet file, a worker file or a folder of them, to ask about");
  auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) return context.out(*page), cli::kExitOk;
  if (auto ok = worker_args.check(); !ok) return context.misused(ok.error());
  start_log(log_args.json, log_args.debug);
  auto options = server_args.options(context.environment);
  if (!options) return context.misused(options.error());
  auto own = worker_args.options(context.environment);
  if (!own) return context.misused(own.error());
  std::vector<fleet::Worker> profiles;
  if (!profile.empty()) {
    auto read = read_profiles(profile);
    if (!read) return context.failed(read.error());
    profiles = std::move(*read);
  }
  options->model_roots = own->model_roots;
  auto server = ServerProcess::start(*options);
  if (!server) return context.failed(server.error());
  if (auto told = tell(context, **server, *options); !told) return context.failed(told.error());
  std::vector<std::unique_ptr<worker::WorkerThread>> workers;
  const auto start = [&](worker::WorkerOptions w) -> Result<void> {
    w.server = (*server)->facts().url;
    w.fingerprint = (*server)->facts().fingerprint;
    w.token = (*server)->facts().join_token;
    TRY(auto thread, worker::WorkerThread::start(w));
    workers.push_back(std::move(thread));
    return {};
  };
  if (auto started = start(*own); !started) return context.failed(started.error());
  for (auto& p : profiles) {
    if (p.state != fleet::WorkerState::kReady) {
      // Nobody joins for it: the server knows it by its last report, as it would know a worker that went away.
      if (auto known = (*server)->introduce(p); !known) return context.failed(known.error());
      context.out(fmt::format("  simulated       {}   (not ready, known by its last report)\n", p.name));
      continue;
    }
    worker::WorkerOptions w = *own;
    w.state_dir = fmt::format("{}-sim-{}", own->state_dir, p.name);
    w.name = p.name;
    w.profile = p;
    context.out(fmt::format("  simulated       {}\n", p.name));
    if (auto started = start(std::move(w)); !started) return context.failed(started.error());
  }
  context.out("  stop with Ctrl-C; engines go on and are adopted at the next start\n");
  const auto all_there = [&workers]() -> Result<void> {
    for (auto& w : workers) {
      if (!w->ended()) continue;
      if (auto why = w->stop(); !why) return in("the worker on this machine", why.error());
      return fail(Code::kInternal, "the worker on this machine ended");
    }
    return {};
  };
  if (auto ran = (*server)->run(all_there); !ran) return context.failed(ran.error());
  for (auto& w : workers)
    if (auto stopped = w->stop(); !stopped) log::warn("worker", {log::kv("error", stopped.error().message)});
  return cli::kExitOk;
}

int worker_run_command(cli::Context& context, const std::vector<std::string>& args) {
  // `berth worker ls|cordon|uncordon|token` are clients.
  if (!args.empty() && !args.front().starts_with("-")) return cli::worker_command(context, args);
  WorkerArgs worker_args;
  LogArgs log_args;
  std::string server, token, token_file, fingerprint, ca, profile;
  cli::Arguments a("worker",
                   "Run a worker and join it to a server.",
                   {"berth worker --server https://head:8443 --token-file join.token --fingerprint sha256:…"});
  a.option("--server", server, "address of the server");
  a.option("--token-file", token_file, "file with the join token; only for the first start");
  a.option("--token", token, "the join token itself (others on this machine can see it: prefer --token-file)");
  a.option("--fingerprint", fingerprint, "of the server's certificate, as the server prints it");
  a.option("--ca", ca, "PEM file of the CA that signed the server's certificate");
  a.option("--profile", profile, "simulate this worker file: accepts plans, starts nothing");
  worker_args.declare(a);
  log_args.declare(a);
  auto help = a.parse(args);
  if (!help) return context.misused(help.error());
  if (const auto& page = *help) return context.out(*page), cli::kExitOk;
  if (server.empty()) return context.misused(invalid("--server is missing: the address that `berth server` prints"));
  if (auto ok = worker_args.check(); !ok) return context.misused(ok.error());
  start_log(log_args.json, log_args.debug);
  auto options = worker_args.options(context.environment);
  if (!options) return context.misused(options.error());
  options->server = server;
  options->token = token;
  options->token_file = token_file;
  options->fingerprint = fingerprint;
  options->ca_path = ca;
  if (!profile.empty()) {
    auto read = read_profiles(profile);
    if (!read) return context.failed(read.error());
    if (read->size() != 1)
      return context.misused(
          invalid(fmt::format("--profile {} holds {} workers, must hold one", profile, read->size())));
    options->profile = read->front();
  }
  auto ran = worker::run_worker(*options);
  if (!ran) return context.failed(ran.error());
  return *ran;
}

}  // namespace

void register_commands(cli::CommandTable& table) {
  table.register_command({"up", "run a server and a worker on this machine", up_command});
  table.register_command({"server", "run a server", server_command});
  table.register_command({"worker", "run a worker; or ls, cordon, uncordon, token", worker_run_command});
}

}  // namespace berth::app
