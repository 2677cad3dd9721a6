#include "cli/server.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>

#include "base/text.h"
#include "cli/inputs.h"
#include "cli/views.h"
#include "net/client.h"
#include "net/runtime.h"
#include "wire/json.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyFileMaxBytes = 4096;
constexpr std::size_t kAnswerMaxBytes = 256UL << 20;  // a report over a large fleet
constexpr net::Millis kPieceMax{24UL * 3600 * 1000};  // a followed log may be silent for long
constexpr std::size_t kProblemMaxBytes = 1UL << 20;

Result<std::optional<ClientFile>> read_client_file(const std::string& path) {
  struct stat status{};
  if (path.empty() || ::stat(path.c_str(), &status) != 0) return std::optional<ClientFile>();
  if ((status.st_mode & 077U) != 0)
    return fail(Code::kForbidden,
                fmt::format("{} holds a key and can be read by others: chmod 600 it, or delete it", printable(path)));
  TRY(const auto text, read_text_file(path));
  auto file = wire::from_json<ClientFile>(text, wire::Strictness::kLenient);
  if (!file) return in(path, std::move(file).error());
  return std::optional<ClientFile>(std::move(*file));
}

Code code_of(int status) {
  switch (status) {
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kForbidden;
    case 404:
      return Code::kNotFound;
    case 409:
    case 412:
      return Code::kConflict;
    case 408:
    case 504:
      return Code::kTimeout;
    case 413:
      return Code::kTooLarge;
    case 429:
      return Code::kRateLimited;
    case 502:
    case 503:
      return Code::kUnavailable;
    default:
      return status >= 500 ? Code::kInternal : Code::kInvalid;
  }
}

/// The server's own words; an answer that is no problem document is shown with its status.
Error problem(int status, const std::string& body) {
  const Code code = code_of(status);
  if (const auto p = wire::from_json<Problem>(body, wire::Strictness::kLenient);
      p && !(p->detail.empty() && p->title.empty())) {
    std::string text = p->detail.empty() ? p->title : p->detail;
    for (const auto& item : p->errors)
      if (text.find(item.message) == std::string::npos) text += fmt::format("\n  {} {}", item.path, item.message);
    if (code == Code::kInternal && !p->request_id.empty()) text += " (request " + p->request_id + ")";
    return fail(code_from_name(p->code).value_or(code), text);
  }
  if (const auto c = wire::from_json<ChatChunk>(body, wire::Strictness::kLenient))
    if (const auto& error = c->error) return fail(code, error->message);
  constexpr std::size_t kShown = 200;
  return fail(code,
              fmt::format("the server answered {}: {}", status, printable(std::string_view(body).substr(0, kShown))));
}

Error with_hint(Error error, const std::string& address) {
  if (error.code == Code::kUnavailable)
    error.message = fmt::format(
        "no server answers at {} ({}); start one with `berth up`, or name another with --server or BERTH_SERVER",
        address,
        error.message);
  if (error.code == Code::kUnauthenticated)
    error.message += "; give a key with --api-key-file or BERTH_API_KEY (`berth up` writes one for this machine)";
  return error;
}

/// One spelling of an address: "host:port/" and "http://host:port" are the same server.
std::string normal(std::string address) {
  while (address.ends_with("/")) address.pop_back();
  if (address.empty()) return address;
  if (address.find("://") == std::string::npos && !address.starts_with("unix:")) address = "http://" + address;
  if (address.starts_with("unix:") && address.find(':', 5) == std::string::npos) address += ":";
  return address;
}

struct StreamCall {
  std::string url;
  net::Request request;
  net::ClientTls tls;
  std::function<bool(std::string_view)> piece;
};

net::awaitable<Result<bool>> run_stream(StreamCall call) {
  CO_TRY(const net::Url url, net::parse_url(call.url));
  const auto connect_by = net::Deadline::in(net::kConnectMax);
  CO_TRY(net::ClientConnection connection, co_await net::open_url(url, call.tls, connect_by));
  call.request.target = url.target;
  CO_TRY_VOID(co_await connection.send(call.request, connect_by));
  CO_TRY(const net::Response* head, co_await connection.read_head(net::Deadline::in(kPieceMax)));
  const int status = head->status;
  if (status < 200 || status > 299) {
    CO_TRY(const std::string body,
           co_await connection.read_body(kProblemMaxBytes, net::Deadline::in(net::kConnectMax)));
    co_return problem(status, body);
  }
  for (;;) {
    CO_TRY(const std::string_view bytes, co_await connection.read_some(net::Deadline::in(kPieceMax)));
    if (bytes.empty() || !call.piece(bytes)) co_return true;
  }
}

Result<net::ClientTls> tls_for(const std::string& fingerprint) {
  if (fingerprint.empty()) return net::ClientTls();
  net::TrustOptions trust;
  trust.fingerprint = fingerprint;
  return net::ClientTls::make(trust);
}

net::HeaderList headers_for(const std::string& key, bool body) {
  net::HeaderList headers;
  if (!key.empty()) headers.add("Authorization", "Bearer " + key);
  if (body) headers.add("Content-Type", "application/json");
  headers.add("Accept", "application/json, application/problem+json, text/plain, text/event-stream");
  return headers;
}

}  // namespace

void ServerFlags::declare(Arguments& arguments) {
  arguments.option("--server", server, "Address of the server, before BERTH_SERVER and the client file");
  arguments.option("--api-key-file", api_key_file, "File with the API key, before BERTH_API_KEY and the client file");
  arguments.option("--fingerprint", fingerprint, "SHA-256 of the server's own certificate: sha256:HEX");
}

std::string client_file_path(const Environment& e) {
  if (const auto path = e.variable("BERTH_CONFIG"); path && !path->empty()) return *path;
  if (const auto base = e.variable("XDG_CONFIG_HOME"); base && !base->empty()) return *base + "/berth/client.json";
  if (const auto home = e.variable("HOME"); home && !home->empty()) return *home + "/.config/berth/client.json";
  return "";
}

Result<void> write_client_file(const std::string& path, const ClientFile& file) {
  std::error_code error;
  const fs::path target(path);
  fs::create_directories(target.parent_path(), error);
  if (error) return fail(Code::kForbidden, fmt::format("{}: {}", target.parent_path().string(), error.message()));
  const std::string temporary = path + ".new";
  const mode_t before = ::umask(077);
  std::ofstream out(temporary, std::ios::trunc);
  ::umask(before);
  fs::permissions(temporary, fs::perms::owner_read | fs::perms::owner_write, error);
  out << wire::to_json_pretty(file) << "\n";
  out.close();
  if (!out || error)
    return fail(Code::kUnavailable, fmt::format("cannot write {}: {}", temporary, std::strerror(errno)));
  fs::rename(temporary, target, error);
  if (error) return fail(Code::kUnavailable, fmt::format("cannot write {}: {}", path, error.message()));
  return {};
}

Result<Server> Server::find(const Context& context, const ServerFlags& flags) {
  const auto& e = context.environment;
  Server server;
  server.address_ = normal(flags.server.empty() ? e.variable("BERTH_SERVER").value_or("") : flags.server);
  server.key_ = e.variable("BERTH_API_KEY").value_or("");
  server.fingerprint_ = flags.fingerprint;
  if (!flags.api_key_file.empty()) {
    TRY(const auto text, read_text_file(flags.api_key_file, kKeyFileMaxBytes));
    server.key_ = std::string(trim(text));
  }
  if (server.address_.empty() || server.key_.empty()) {
    TRY(const auto file, read_client_file(client_file_path(e)));
    // Its key belongs to its server: another server must not get to see it.
    const bool same = file && (server.address_.empty() || server.address_ == normal(file->server));
    if (same && server.key_.empty()) server.key_ = file->key;
    if (same && server.address_.empty()) server.address_ = normal(file->server);
    if (same && server.fingerprint_.empty()) server.fingerprint_ = file->fingerprint;
  }
  if (server.address_.empty()) server.address_ = kDefaultServer;
  TRY(const auto url, net::parse_url(server.address_ + "/"));
  if (!url.tls && url.unix_path.empty() && !server.key_.empty() && !net::Endpoint{url.host, url.port, ""}.is_loopback())
    context.err(fmt::format("warning: {} is plain HTTP: the key and what is said can be read on the way\n",
                            printable(server.address_)));
  return server;
}

Result<std::string> Server::call(const std::string& method, const std::string& path, const std::string& body) const {
  net::FetchOptions options;
  options.body_max = kAnswerMaxBytes;
  TRY(options.tls, tls_for(fingerprint_));
  auto answer = net::fetch_blocking(method, address_ + path, headers_for(key_, !body.empty()), body, options);
  if (!answer) return with_hint(std::move(answer).error(), address_);
  if (answer->status >= 200 && answer->status < 300) return std::move(answer->body);
  Error error = problem(answer->status, answer->body);
  if (error.code == Code::kUnavailable) return error;  // it answered, so there is a server
  return with_hint(std::move(error), address_);
}

Result<void> Server::stream(const std::string& method,
                            const std::string& path,
                            const std::string& body,
                            std::function<bool(std::string_view)> piece) const {
  StreamCall call{.url = address_ + path, .request = {}, .tls = {}, .piece = std::move(piece)};
  TRY(call.tls, tls_for(fingerprint_));
  call.request.method = method;
  call.request.headers = headers_for(key_, !body.empty());
  call.request.body = body;
  net::Loop loop;
  TRY_VOID(loop.wait_for<bool>(run_stream(std::move(call))));
  return {};
}

std::string segment(std::string_view name) { return net::percent_encode(name); }

}  // namespace berth::cli
