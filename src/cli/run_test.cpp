// Commands that ask about one deployment: run, describe, get decisions.
#include <doctest/doctest.h>
#include <filesystem>
#include <unistd.h>

#include "cli/exit_codes.h"
#include "cli/server.h"
#include "cli/testing.h"

using namespace berth;
using namespace berth::cli;

namespace {

bool says(const std::string& text, std::string_view piece) { return text.find(piece) != std::string::npos; }

Surroundings asking(const FakeServer& server) {
  Surroundings s;
  s.variables = {{"BERTH_SERVER", server.address()}, {"BERTH_API_KEY", "secret-key"}};
  return s;
}

std::string deployment_in(std::string_view status, std::string_view request = "") {
  return R"({"id":"d1","name":"tiny","revision":2,"spec":{"request":{"model":"tiny","replicas":1)" +
         std::string(request) + R"(},"route":"tiny"},"status":)" + std::string(status) + "}";
}

const std::string kTooBig = R"({"verdict":"does_not_fit","asked":1,"summary":"does not fit: too big"})";
const std::string kTooBigWithFix =
    R"({"decision":)" + kTooBig + R"(,"fixes":[{"changes":[],"text":"set context to 4096","verdict":"fits"}]})";

std::map<std::string, std::vector<FakeServer::Reply>> too_big_table() {
  return {{"GET /api/v1/deployments/tiny", {{200, deployment_in(R"({"verdict":"does_not_fit","fit_count":0})")}}},
          {"GET /api/v1/deployments/tiny/decision", {{200, kTooBig}}},
          {"GET /api/v1/events?object=d1", {{200, R"({"items":[]})"}}}};
}

}  // namespace

TEST_CASE("run, describe and get decisions show the fixes that the server finds") {
  auto table = too_big_table();
  table["POST /api/v1/decisions"] = {{200, kTooBigWithFix}};
  FakeServer server(table);
  const auto described = invoke({"describe", "deployment", "tiny"}, asking(server));
  CAPTURE(described.err);
  CHECK(says(described.out, "1. set context to 4096"));
  CHECK(says(server.seen().back(), R"("model":"tiny")"));
  CHECK(says(invoke({"get", "decisions", "tiny"}, asking(server)).out, "1. set context to 4096"));
  CHECK(says(invoke({"run", "tiny", "x"}, asking(server)).err, "1. set context to 4096"));
}

TEST_CASE("nothing is called looked for that was not, and a no of the search is told as one") {
  FakeServer refuses(too_big_table());
  const auto unasked = invoke({"describe", "deployment", "tiny"}, asking(refuses));
  CHECK(says(unasked.out, "not looked for here; `berth check -f FILE`"));
  CHECK_FALSE(says(unasked.out, "none found"));
  auto table = too_big_table();
  table["POST /api/v1/decisions"] = {{200, R"({"decision":)" + kTooBig + R"(,"fixes":[]})"}};
  FakeServer none(table);
  CHECK(says(invoke({"get", "decisions", "tiny"}, asking(none)).out, "none found"));
  table["POST /api/v1/decisions"] = {{200, R"({"decision":{"verdict":"fits","asked":1,"summary":"fits"},"fixes":[]})"}};
  FakeServer moved(table);
  CHECK(says(invoke({"get", "decisions", "tiny"}, asking(moved)).out, "not looked for here"));
}

TEST_CASE("run ends at once when every instance has failed for good, with the reason and what to do") {
  const std::string gone =
      R"({"items":[{"name":"tiny-0","spec":{"deployment_name":"tiny","plan":{"engine":"llama.cpp"}},)"
      R"("status":{"state":"failed","message":"failed 3 times in the same way: bad flag --x"}}]})";
  FakeServer server({{"GET /api/v1/deployments/tiny", {{200, deployment_in(R"({"verdict":"fits","fit_count":1})")}}},
                     {"GET /api/v1/instances?deployment=tiny", {{200, gone}}}});
  const auto got = invoke({"run", "tiny", "x"}, asking(server));
  CHECK(got.status == kExitError);
  CHECK(says(got.err, "bad flag --x"));
  CHECK(says(got.err, "berth logs tiny"));
  CHECK(server.seen().size() < 10);
}

TEST_CASE("run waits on while a restart is due") {
  const std::string again =
      R"({"items":[{"name":"tiny-0","spec":{"deployment_name":"tiny","plan":{"engine":"llama.cpp"}},)"
      R"("status":{"state":"failed","message":"oom","waiting":{"text":"waiting after failure 1",)"
      R"("since":"2027-01-15T07:00:00.000Z"}}}]})";
  const std::string fits = R"({"verdict":"fits","fit_count":1})";
  FakeServer server({{"GET /api/v1/deployments/tiny",
                      {{200, deployment_in(fits)},
                       {200, deployment_in(fits)},
                       {200, deployment_in(fits)},
                       {200, deployment_in(fits)},
                       {200, deployment_in(R"({"verdict":"fits","fit_count":1,"ready_replicas":1})")}}},
                     {"GET /api/v1/instances?deployment=tiny", {{200, again}}}});
  CHECK(invoke({"run", "tiny"}, asking(server)).status == kExitOk);
}

TEST_CASE("an embedding model is not offered a chat") {
  FakeServer server(
      {{"GET /api/v1/deployments/tiny", {{200, deployment_in(R"({"ready_replicas":1})", R"(,"task":"embed")")}}}});
  const auto ready = invoke({"run", "tiny"}, asking(server));
  CHECK(ready.status == kExitOk);
  CHECK(says(ready.err, "/v1/embeddings"));
  CHECK_FALSE(says(ready.err, "berth run tiny"));
  const auto asked = invoke({"run", "tiny", "Hello"}, asking(server));
  CHECK(asked.status == kExitError);
  CHECK(says(asked.err, R"({"model":"tiny","input":"Hello"})"));
}

TEST_CASE("run --verbose counts tokens as the server does") {
  FakeServer server(
      {{"GET /api/v1/deployments/tiny", {{200, deployment_in(R"({"ready_replicas":1})")}}},
       {"POST /v1/chat/completions",
        {{.status = 200,
          .body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n"
                  "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n",
          .type = "text/event-stream"}}}});
  const auto got = invoke({"run", "tiny", "Say hello", "-v"}, asking(server));
  CHECK(says(got.err, "7 tokens"));
  CHECK(says(server.seen().back(), R"("include_usage":true)"));
}

TEST_CASE("what is wrong with the command line exits 2, and help exits 0") {
  const auto keys = invoke({"get", "keys", "alice"});
  CHECK(keys.status == kExitUsage);
  CHECK(says(keys.err, "only listed"));
  CHECK(invoke({"get", "workers", "--object", "x"}).status == kExitUsage);
  CHECK(invoke({"get", "decisions"}).status == kExitUsage);
  const auto version = invoke({"version", "--help"});
  CHECK(version.status == kExitOk);
  CHECK(says(version.out, "berth version"));
  CHECK(invoke({"version", "x"}).status == kExitUsage);
}

TEST_CASE("a followed log that ends while its instance lives exits 1 and says so") {
  const std::string one = R"({"name":"tiny-0","status":{"state":"ready"}})";
  const std::string path = "GET /api/v1/instances/tiny-0/logs?tail=100&follow=true";
  FakeServer server({{"GET /api/v1/instances/tiny-0", {{200, one}}}, {path, {{200, "line 1\n", "text/plain"}}}});
  const auto got = invoke({"logs", "-f", "tiny-0"}, asking(server));
  CHECK(got.status == kExitError);
  CHECK(got.out == "line 1\n");
  CHECK(says(got.err, "went away"));
  FakeServer deleted({{"GET /api/v1/instances/tiny-0", {{200, one}, {404, R"({"detail":"gone","code":"not_found"})"}}},
                      {path, {{200, "line 1\n", "text/plain"}}}});
  CHECK(invoke({"logs", "-f", "tiny-0"}, asking(deleted)).status == kExitOk);
}

TEST_CASE("messages keep their reason whatever was given for a value") {
  const auto got = invoke({"get", "workers", "--output", std::string(100'000, 'x')});
  CHECK(got.status == kExitUsage);
  CHECK(got.err.size() < 500);
  CHECK(says(got.err, "must be one of table"));
}

TEST_CASE("a server's key is found whatever way its address is written") {
  const auto folder = std::filesystem::temp_directory_path() / ("berth-spelling-" + std::to_string(::getpid()));
  const std::string path = (folder / "client.json").string();
  FakeServer server({{"GET /api/v1/workers", {{200, R"({"items":[]})"}}}});
  REQUIRE(write_client_file(path, {.server = server.address(), .key = "from-file", .fingerprint = ""}));
  const Surroundings s{.variables = {{"BERTH_CONFIG", path}}};
  for (const std::string& spelling : {server.address() + "/", server.address().substr(sizeof "http://" - 1)}) {
    CAPTURE(spelling);
    CHECK(invoke({"get", "workers", "--server", spelling}, s).status == kExitOk);
    CHECK(server.authorization() == "Bearer from-file");
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("a simulated worker is called so wherever it is named") {
  const std::string summary = R"x("verdict":"fits","fit_count":1,"summary":"fits: 1 of 1 on sim-1 (simulated)")x";
  const std::string answer =
      R"({"decision":{"asked":1,)" + summary +
      R"(,"plans":[{"engine":"llama.cpp","layout":"cpu","workers":[{"worker":"w1","worker_name":"sim-1",)"
      R"("simulated":true,"claim":{"memory_bytes":1073741824}}]}],)"
      R"("report":{"lines":[{"engine":"llama.cpp","workers":1,"examples":["sim-1"],"simulated":true,)"
      R"("host":{"worker":"sim-1","name":"host RAM","total":4294967296,"reserved":0,"claimed":1073741824,)"
      R"("allocatable":3221225472}}]}},"fixes":[]})";
  FakeServer server(
      {{"POST /api/v1/decisions", {{200, answer}}},
       {"GET /api/v1/deployments", {{200, R"({"items":[)" + deployment_in("{" + summary + "}") + "]}"}}}});
  const auto checked = invoke({"check", "-f", "examples/seed/deployment.yaml", "-v"}, asking(server));
  CAPTURE(checked.out);
  CHECK(says(checked.out, "on sim-1 (simulated), cpu"));
  CHECK(says(checked.out, "sim-1 (simulated, /"));
  CHECK(says(checked.out, "host RAM: claim 1.00 GiB, free 3.00 - 1.00 = 2.00 GiB (total 4.00 GiB)"));
  CHECK(says(checked.out, "sim-1/host RAM: total 4.00 GiB - reserved 0 B - claimed 1.00 GiB"));
  CHECK(says(invoke({"get", "deployments"}, asking(server)).out, "fits (simulated)"));
}
