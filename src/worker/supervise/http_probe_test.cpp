#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <doctest/doctest.h>
#include <thread>
#include <unistd.h>

#include "worker/files/fd.h"
#include "worker/supervise/probe.h"

using namespace berth;
using namespace berth::worker;

namespace {

/// Answers one connection with fixed bytes and keeps what was asked.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : answer_(std::move(answer)) {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~OneAnswer() { join(); }
  OneAnswer(const OneAnswer&) = delete;
  OneAnswer& operator=(const OneAnswer&) = delete;
  void join() {
    if (thread_.joinable()) thread_.join();
  }

  std::uint16_t port = 0;
  std::string asked;

 private:
  void serve() {
    const Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 4096> buffer;
    while (asked.find("}") == std::string::npos && asked.find("GET") == std::string::npos) {
      const ssize_t n = ::recv(peer.get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      asked.append(buffer.data(), static_cast<std::size_t>(n));
    }
    static_cast<void>(::send(peer.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL));
  }

  std::string answer_;
  Fd listener_;
  std::thread thread_;
};

std::string reply(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) +
         "\r\nconnection: close\r\n\r\n" + body;
}

ProbeResult ask(OneAnswer& engine, const std::string& task) {
  const auto probe = make_http_probe();
  const auto result =
      probe->probe({.instance = "i", .port = engine.port, .secret = "s3cret", .task = task, .model = "m\"x"});
  engine.join();
  REQUIRE(result.has_value());
  return *result;
}

}  // namespace

TEST_CASE("one generated token makes an engine ready, asked with its key and model") {
  OneAnswer engine(reply(200, R"({"object":"text_completion","choices":[{"text":"x"}]})"));
  CHECK(ask(engine, "generate").ready);
  CHECK(engine.asked.starts_with("POST /v1/completions HTTP/1.1\r\n"));
  CHECK(engine.asked.find("Bearer s3cret") != std::string::npos);
  CHECK(engine.asked.find(R"("model":"m\"x")") != std::string::npos);
  CHECK(engine.asked.find(R"("max_tokens":1)") != std::string::npos);
}

TEST_CASE("embedding engines are asked for a vector") {
  OneAnswer engine(reply(200, R"({"data":[{"embedding":[0.1]}]})"));
  CHECK(ask(engine, "embed").ready);
  CHECK(engine.asked.starts_with("POST /v1/embeddings "));
}

TEST_CASE("an engine that is loading, answers errors or nothing is not ready, and the reason is told") {
  OneAnswer loading(reply(503, R"({"error":{"message":"Loading model"}})"));
  const ProbeResult busy = ask(loading, "generate");
  CHECK_FALSE(busy.ready);
  CHECK(busy.detail.find("503") != std::string::npos);
  CHECK(busy.detail.find("Loading model") != std::string::npos);
  OneAnswer empty(reply(200, R"({"status":"ok"})"));
  CHECK_FALSE(ask(empty, "generate").ready);
  OneAnswer silent("");
  CHECK_FALSE(ask(silent, "generate").ready);
  const auto nobody =
      make_http_probe()->probe({.instance = "i", .port = 1, .secret = "", .task = "generate", .model = "m"});
  REQUIRE(nobody.has_value());
  CHECK_FALSE(nobody->ready);
  CHECK_FALSE(nobody->detail.empty());
}
