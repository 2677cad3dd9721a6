#include "worker/supervise/exit_cause.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <doctest/doctest.h>
#include <signal.h>

#include "worker/files/fd.h"
#include "worker/supervise/resources.h"
#include "worker/testing.h"

using namespace berth;
using namespace berth::worker;

TEST_CASE("the cause of an exit is read from the log, the weightiest first") {
  struct Row {
    const char* log;
    std::string_view cause;
  };
  const Row rows[] = {
      {"loading\nggml_cuda: cudaMalloc failed: out of memory\nerror: failed to load model '/m.gguf'\n", kOutOfMemory},
      {"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n", kOutOfMemory},
      {"start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 41000\n", kPortInUse},
      {"OSError: [Errno 98] Address already in use\n", kPortInUse},
      {"error: invalid argument: --ctx-sise\n", kConfiguration},
      {"vllm: error: unrecognized arguments: --foo\n", kConfiguration},
      {"llama_model_load: error loading model: unknown model architecture: 'x'\n", kModelUnreadable},
      {"hello\n", kExit},
      {"", kExit},
  };
  for (const Row& row : rows) {
    CAPTURE(row.log);
    const auto info = classify_exit({.exit = {.status = 1}, .log_tail = row.log});
    CHECK(info.cause == row.cause);
    CHECK(info.status == 1);
    CHECK(info.message.starts_with("exited with status 1"));
  }
}

TEST_CASE("signals are told by name, and a kill by the kernel for memory is told apart") {
  auto info = classify_exit({.exit = {.signal = SIGSEGV}, .log_tail = "hello\n"});
  CHECK(info.cause == kSignal);
  CHECK(info.message == "killed by signal 11 (SIGSEGV): hello");
  info = classify_exit({.exit = {.signal = SIGKILL}, .log_tail = "earlier: out of memory, going on\n"});
  CHECK(info.cause == kSignal);
  info = classify_exit({.exit = {.signal = SIGKILL}, .log_tail = "", .kernel_oom_kill = true});
  CHECK(info.cause == kOutOfMemory);
  CHECK(classify_exit({.exit = {.signal = SIGABRT}, .log_tail = "std::bad_alloc\n"}).cause == kOutOfMemory);
  CHECK(classify_exit({}).cause == kVanished);
}

TEST_CASE("a crash is told by its signal and the failed check, not by what a debugger prints after it") {
  const char* log =
      "load: model read\n"
      "/src/llama-context.cpp:120: GGML_ASSERT(n_ctx >= 32) failed\n"
      "[New LWP 4711]\n"
      "[Thread debugging using libthread_db enabled]\n"
      "0x00007f0012 in __GI___wait4 (pid=38) at ../sysdeps/unix/sysv/linux/wait4.c:30\n"
      "38\t../sysdeps/unix/sysv/linux/wait4.c: No such file or directory.\n"
      "#0  0x00007f0012 in __GI___wait4 ()\n"
      "#1  0x00007f0013 in ggml_abort () from libggml.so\n"
      "[Inferior 1 (process 38) detached]\n";
  auto info = classify_exit({.exit = {.signal = SIGABRT}, .log_tail = log});
  CHECK(info.cause == kAborted);
  CHECK(info.message == "killed by signal 6 (SIGABRT): /src/llama-context.cpp:120: GGML_ASSERT(n_ctx >= 32) failed");
  CHECK(repeats(info.cause));
  info = classify_exit({.exit = {.signal = SIGSEGV}, .log_tail = "open x: no such file or directory\nserving\n"});
  CHECK(info.cause == kSignal);
  CHECK(info.message == "killed by signal 11 (SIGSEGV): open x: no such file or directory | serving");
  CHECK_FALSE(repeats(info.cause));
  CHECK(classify_exit({.exit = {.status = 1}, .log_tail = "38\t../sysdeps/x.c: No such file or directory\n"}).cause ==
        kExit);
}

TEST_CASE("messages from logs are bounded and cannot drive a terminal") {
  const auto info = classify_exit({.exit = {.status = 1}, .log_tail = "\x1b[2J" + std::string(100'000, 'x') + "\n"});
  CHECK(info.message.size() < kExitMessageBytesMax + 100);
  CHECK(info.message.find('\x1b') == std::string::npos);
  CHECK(classify_exit({.exit = {.status = 1}, .log_tail = "\xff\xfe\n"}).message.find("not UTF-8") !=
        std::string::npos);
}

TEST_CASE("a port in use is passed over and the range is bounded") {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(::listen(fd.get(), 1) == 0);
  socklen_t size = sizeof(address);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::uint16_t used = ntohs(address.sin_port);
  const auto nothing = [](std::uint16_t) { return false; };
  CHECK_FALSE(port_is_free(used));
  const auto none = pick_port({used, used}, used, nothing);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().message.find(std::to_string(used)) != std::string::npos);
  const PortRange range{43'000, 43'099};
  const auto first = pick_port(range, 43'050, nothing);
  REQUIRE(first.has_value());
  CHECK(*pick_port(range, 43'050, [&](std::uint16_t p) { return p == *first; }) != *first);
  CHECK(pick_port({10, 9}, 10, nothing).error().code == Code::kInvalid);
}

TEST_CASE("a secret is random, private to the engine's user, and checked when read") {
  const testing::Folder folder;
  const EngineUser user = engine_user("nobody").value();
  const auto one = make_secret(folder.path("one"), user);
  const auto two = make_secret(folder.path("two"), user);
  REQUIRE(one.has_value());
  CHECK(one->size() == 64);
  CHECK(*one != *two);
  CHECK(*read_secret(folder.path("one")) == *one);
  struct stat info{};
  REQUIRE(::stat(folder.path("one").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(info.st_uid == user.uid);
  folder.write("one", "short");
  CHECK_FALSE(read_secret(folder.path("one")).has_value());
}
