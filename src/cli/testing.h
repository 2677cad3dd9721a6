#pragma once
// For tests of cli: commands with captured streams, and a server that answers from a table.

#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/commands.h"
#include "net/runtime.h"
#include "net/server.h"

namespace berth::cli {

struct Captured {
  int status = 0;
  std::string out;
  std::string err;
};

struct Surroundings {
  std::map<std::string, std::string> variables;
  std::string input;
  bool terminal = false;
  Time now{Duration{1'800'000'000'000}};
};

inline Captured invoke(std::vector<std::string> args, Surroundings surroundings = {}) {
  Captured got;
  Environment e;
  e.out = [&](std::string_view text) { got.out += text; };
  e.err = [&](std::string_view text) { got.err += text; };
  surroundings.variables.emplace("LANG", "C.UTF-8");
  surroundings.variables.emplace("BERTH_CONFIG", "/nonexistent/client.json");
  e.variable = [&](const std::string& name) -> std::optional<std::string> {
    const auto at = surroundings.variables.find(name);
    if (at == surroundings.variables.end()) return std::nullopt;
    return at->second;
  };
  e.read_input = [&](std::size_t max) { return surroundings.input.substr(0, max); };
  Time now = surroundings.now;
  e.now = [&] { return now; };
  e.sleep = [&](Duration time) { now += time; };
  e.out_is_terminal = e.err_is_terminal = surroundings.terminal;
  e.in_is_terminal = surroundings.input.empty();
  std::vector<const char*> argv = {"berth"};
  for (const auto& arg : args) argv.push_back(arg.c_str());
  got.status = run(static_cast<int>(argv.size()), argv.data(), e, standard_commands());
  return got;
}

/// Compares with a file; BERTH_GOLDEN=write writes it instead, to be read before it is committed.
inline void check_golden(const std::string& path, const std::string& text) {
  const char* mode = std::getenv("BERTH_GOLDEN");
  if (mode != nullptr && std::string_view(mode) == "write") std::ofstream(path, std::ios::trunc) << text;
  std::ifstream file(path);
  const std::string wanted{std::istreambuf_iterator<char>(file), {}};
  CHECK_MESSAGE(wanted == text, path);
}

/// Answers on a loopback port from its own thread. Keys are "METHOD target"; what is not in the table is a 404 problem.
class FakeServer {
 public:
  struct Reply {
    int status = 200;
    std::string body;
    std::string type = "application/json";
  };

  explicit FakeServer(std::map<std::string, std::vector<Reply>> replies)
      : replies_(std::move(replies)), server_(loop_.executor(), [this](net::Exchange& e) { return answer(e); }) {
    auto listener = net::Listener::open(loop_.executor(), net::Endpoint{.host = "127.0.0.1", .port = 0});
    REQUIRE(listener);
    address_ = "http://" + listener->endpoint().text();
    server_.listen(std::move(*listener));
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~FakeServer() {
    loop_.stop();
    thread_.join();
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }
  /// "METHOD target\nbody" of each request, and its Authorization header.
  [[nodiscard]] std::vector<std::string> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  [[nodiscard]] std::string authorization() {
    const std::lock_guard lock(mutex_);
    return authorization_;
  }

 private:
  net::awaitable<void> answer(net::Exchange& exchange) {
    const std::string key = exchange.request().method + " " + exchange.request().target;
    const std::string authorization(exchange.request().headers.get("authorization").value_or(""));
    auto body = co_await exchange.read_body();
    Reply reply{.status = 404,
                .body = R"({"title":"Not Found","status":404,"detail":"there is no such thing","code":"not_found"})",
                .type = "application/problem+json"};
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back(key + "\n" + body.value_or("?"));
      authorization_ = authorization;
      if (const auto at = replies_.find(key); at != replies_.end() && !at->second.empty()) {
        reply = at->second.front();
        if (at->second.size() > 1) at->second.erase(at->second.begin());
      }
    }
    auto sent = co_await exchange.respond(net::make_response(reply.status, reply.type, reply.body));
    (void)sent;
  }

  std::mutex mutex_;
  std::map<std::string, std::vector<Reply>> replies_;  // in order; the last one stays
  std::vector<std::string> seen_;
  std::string authorization_;
  std::string address_;
  net::Loop loop_;
  net::Server server_;
  std::thread thread_;
};

}  // namespace berth::cli
