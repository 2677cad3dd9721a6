#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

#include "cli/exit_codes.h"
#include "cli/server.h"
#include "cli/testing.h"

using namespace berth;
using namespace berth::cli;

namespace {

bool shows(const std::string& text, std::string_view piece) { return text.find(piece) != std::string::npos; }

Surroundings at(const FakeServer& server) {
  Surroundings s;
  s.variables = {{"BERTH_SERVER", server.address()}, {"BERTH_API_KEY", "secret-key"}};
  return s;
}

const std::string kWorkers =
    R"({"items":[{"id":"w1","name":"gpu-01","revision":4,"created_at":"2027-01-15T07:00:00.000Z",)"
    R"("spec":{"labels":{"os":"linux"},"cordoned":true},)"
    R"("status":{"connected":true,"version":"0.1.0","reason":"",)"
    R"("worker":{"id":"w1",)"
    R"("name":"gpu-01","os":"linux","arch":"amd64","state":"ready",)"
    R"("memory_total_bytes":68719476736,)"
    R"("devices":[{"id":"g0","name":"NVIDIA L4","vendor":"nvidia"},)"
    R"({"id":"g1","name":"NVIDIA L4","vendor":"nvidia"}]}}}]})";

std::string deployment(std::string_view status) {
  return R"({"id":"d1","name":"tiny","revision":2,"spec":{"request":{"model":"tiny","replicas":1},)"
         R"("route":"tiny"},"status":)" +
         std::string(status) + "}";
}

std::string instances(std::string_view status) {
  return R"({"items":[{"name":"tiny-0","spec":{"deployment_name":"tiny","plan":{"engine":"llama.cpp","workers":)"
         R"([{"worker":"w1","worker_name":"gpu-01"}]}},"status":)" +
         std::string(status) + "}]}";
}

FakeServer::Reply chunk_stream(const std::string& body) {
  return {.status = 200, .body = body, .type = "text/event-stream"};
}

}  // namespace

TEST_CASE("without arguments berth shows its commands and exits 2") {
  const auto got = invoke({});
  CHECK(got.status == kExitUsage);
  CHECK(shows(got.err, "Commands:"));
  CHECK(invoke({"help"}).status == kExitOk);
  CHECK(shows(invoke({"help", "check"}).out, "--metadata-only"));
  CHECK(shows(invoke({"check", "--help"}).out, "Examples:"));
}

TEST_CASE("an unknown command or flag is answered with the nearest one") {
  const auto command = invoke({"chekc"});
  CHECK(command.status == kExitUsage);
  CHECK(shows(command.err, "did you mean \"check\"?"));
  const auto flag = invoke({"get", "workers", "--ouput", "json"});
  CHECK(flag.status == kExitUsage);
  CHECK(shows(flag.err, "did you mean \"--output\"?"));
  const auto type = invoke({"get", "wokers"});
  CHECK(type.status == kExitUsage);
  CHECK(shows(type.err, "did you mean \"workers\"?"));
  CHECK(invoke({"--nonsense"}).status == kExitUsage);
}

TEST_CASE("version prints the version") { CHECK(invoke({"version"}).out.starts_with("berth ")); }

TEST_CASE("a server that is not there exits 7 and says how to start one") {
  const auto got = invoke({"get", "workers", "--server", "http://127.0.0.1:9"});
  CHECK(got.status == kExitUnavailable);
  CHECK(shows(got.err, "berth up"));
  CHECK(invoke({"get", "workers", "--server", "ftp://x"}).status == kExitError);
}

TEST_CASE("get shows tables, names and documents, and sends the key") {
  FakeServer server({{"GET /api/v1/workers", {{200, kWorkers}}}});
  const auto table = invoke({"get", "workers"}, at(server));
  CHECK(table.status == kExitOk);
  CHECK(table.out ==
        "NAME    STATE           OS     ARCH   RAM        DEVICES       AGE\n"
        "gpu-01  ready,cordoned  linux  amd64  64.00 GiB  2x NVIDIA L4  1h\n");
  CHECK(server.authorization() == "Bearer secret-key");
  CHECK(invoke({"get", "worker", "-o", "name"}, at(server)).out == "worker/gpu-01\n");
  CHECK(shows(invoke({"get", "workers", "-o", "json"}, at(server)).out, "\"name\": \"gpu-01\""));
  CHECK(shows(invoke({"get", "workers", "-o", "yaml"}, at(server)).out, "name: gpu-01"));
  CHECK(shows(invoke({"worker", "ls"}, at(server)).out, "gpu-01"));
}

TEST_CASE("problems become exit codes and their own words") {
  FakeServer server(
      {{"GET /api/v1/workers",
        {{401, R"({"title":"Unauthorized","detail":"the key is not known","code":"unauthenticated"})"}}},
       {"DELETE /api/v1/workers/gpu-01", {{409, R"({"detail":"gpu-01 is connected","code":"conflict"})"}}},
       {"GET /api/v1/devices", {{503, R"({"detail":"starting","code":"unavailable"})"}}},
       {"GET /api/v1/usage", {{500, "<html>"}}}});
  const auto unknown_key = invoke({"get", "workers"}, at(server));
  CHECK(unknown_key.status == kExitAuth);
  CHECK(shows(unknown_key.err, "the key is not known"));
  CHECK(shows(unknown_key.err, "--api-key-file"));
  const auto conflict = invoke({"delete", "worker", "gpu-01"}, at(server));
  CHECK(conflict.status == kExitConflict);
  CHECK(shows(conflict.err, "gpu-01 is connected"));
  CHECK(invoke({"get", "worker", "nobody"}, at(server)).status == kExitNotFound);
  CHECK(invoke({"get", "devices"}, at(server)).status == kExitUnavailable);
  CHECK(invoke({"get", "usage"}, at(server)).status == kExitError);
}

TEST_CASE("the client file names server and key, for its owner only and for its own server only") {
  const auto folder = std::filesystem::temp_directory_path() / ("berth-client-" + std::to_string(::getpid()));
  const std::string path = (folder / "berth" / "client.json").string();
  FakeServer server({{"GET /api/v1/workers", {{200, R"({"items":[]})"}}}});
  REQUIRE(write_client_file(path, {.server = server.address(), .key = "from-file", .fingerprint = ""}));
  const Surroundings s{.variables = {{"BERTH_CONFIG", path}}};
  CHECK(invoke({"get", "workers"}, s).status == kExitOk);
  CHECK(server.authorization() == "Bearer from-file");
  FakeServer other({{"GET /api/v1/workers", {{200, R"({"items":[]})"}}}});
  CHECK(invoke({"get", "workers", "--server", other.address()}, s).status == kExitOk);
  CHECK(other.authorization().empty());
  std::filesystem::permissions(path, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
  const auto open = invoke({"get", "workers"}, s);
  CHECK(open.status == kExitAuth);
  CHECK(shows(open.err, "chmod 600"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("a key is printed alone on stdout") {
  FakeServer server({{"POST /api/v1/keys", {{201, R"({"id":"k1","name":"alice","key":"bk-123"})"}}}});
  const auto got = invoke({"key", "create", "alice"}, at(server));
  CHECK(got.status == kExitOk);
  CHECK(got.out == "bk-123\n");
  CHECK(shows(server.seen().front(), R"("scopes":["inference"])"));
  const auto token = invoke({"worker", "token"}, at(server));
  CHECK(token.out == "bk-123\n");
  CHECK(shows(server.seen().back(), R"("scopes":["join"],"expires_in_s":86400)"));
  CHECK(invoke({"key", "create"}, at(server)).status == kExitUsage);
  CHECK(invoke({"key", "create", "a", "--scope", "root"}, at(server)).status == kExitUsage);
}

TEST_CASE("deploy creates what is new and updates what is there") {
  FakeServer server({{"POST /api/v1/deployments", {{201, "{}"}}}});
  const auto created = invoke({"deploy", "-f", "examples/seed/deployment.yaml"}, at(server));
  CHECK(created.out == "deployment/qwen3-32b created\n");
  CHECK(shows(server.seen().back(), R"("weight_bytes":65524246528)"));
  FakeServer has(
      {{"GET /api/v1/deployments/qwen3-32b", {{200, "{}"}}}, {"PUT /api/v1/deployments/qwen3-32b", {{200, "{}"}}}});
  CHECK(invoke({"deploy", "-f", "examples/seed/deployment.yaml"}, at(has)).out == "deployment/qwen3-32b updated\n");
  CHECK(invoke({"deploy"}, at(has)).status == kExitUsage);
}

TEST_CASE("check without a fleet asks the server and exits by its verdict") {
  FakeServer server(
      {{"POST /api/v1/decisions",
        {{200, R"({"decision":{"verdict":"fits_after","asked":1,"summary":"fits after releasing"},"fixes":[]})"}}}});
  const auto got = invoke({"check", "-f", "examples/seed/deployment.yaml"}, at(server));
  CHECK(got.status == kExitFitsAfter);
  CHECK(shows(got.out, "fits after releasing"));
}

TEST_CASE("run waits with the server's sentences, then streams the answer") {
  const std::string waiting = R"({"verdict":"fits","fit_count":1,"ready_replicas":0,"summary":"fits"})";
  FakeServer server(
      {{"GET /api/v1/deployments/tiny",
        {{200, deployment(waiting)},
         {200, deployment(waiting)},
         {200, deployment(R"({"verdict":"fits","fit_count":1,"ready_replicas":1})")}}},
       {"GET /api/v1/instances?deployment=tiny",
        {{200,
          instances(R"({"state":"starting",)"
                    R"("waiting":{"text":"waiting for the engine","since":"2027-01-15T07:00:00.000Z"}})")}}},
       {"POST /v1/chat/completions",
        {chunk_stream("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
                      "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n: keep-alive\n\n"
                      "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n")}}});
  const auto got = invoke({"run", "tiny", "Say hello", "--verbose"}, at(server));
  CAPTURE(got.err);
  CHECK(got.status == kExitOk);
  CHECK(got.out == "Hello\n");
  CHECK(shows(got.err, "tiny-0: waiting for the engine"));
  CHECK(shows(got.err, "2 pieces"));
  CHECK(shows(server.seen().back(), R"("messages":[{"role":"user","content":"Say hello"}])"));
  auto piped = at(server);
  piped.input = "From a pipe";
  CHECK(invoke({"run", "tiny"}, piped).status == kExitOk);
  CHECK(shows(server.seen().back(), "From a pipe"));
}

TEST_CASE("run tells why there is no place, and that a simulated worker answers nothing") {
  FakeServer none({{"GET /api/v1/deployments/tiny", {{200, deployment(R"({"verdict":"does_not_fit","fit_count":0})")}}},
                   {"GET /api/v1/deployments/tiny/decision",
                    {{200, R"({"verdict":"does_not_fit","asked":1,"summary":"does not fit: too big"})"}}}});
  const auto no = invoke({"run", "tiny", "x"}, at(none));
  CHECK(no.status == kExitDoesNotFit);
  CHECK(shows(no.err, "does not fit: too big"));
  FakeServer simulated({{"GET /api/v1/deployments/tiny", {{200, deployment(R"({"verdict":"fits","fit_count":1})")}}},
                        {"GET /api/v1/instances?deployment=tiny", {{200, instances(R"({"state":"simulated"})")}}}});
  const auto sim = invoke({"run", "tiny", "x"}, at(simulated));
  CHECK(sim.status == kExitError);
  CHECK(shows(sim.err, "simulated worker gpu-01"));
  FakeServer empty({});
  const auto unknown = invoke({"run", "tiny"}, at(empty));
  CHECK(unknown.status == kExitNotFound);
  CHECK(shows(unknown.err, "neither a file nor a deployment"));
}

TEST_CASE("a deployment that never gets ready ends in exit 6 and names what to look at") {
  FakeServer server({{"GET /api/v1/deployments/tiny", {{200, deployment(R"({"verdict":"fits","fit_count":1})")}}},
                     {"GET /api/v1/instances?deployment=tiny", {{200, R"({"items":[]})"}}}});
  const auto got = invoke({"run", "tiny", "x"}, at(server));
  CHECK(got.status == kExitTimeout);
  CHECK(shows(got.err, "berth describe deployment tiny"));
}

TEST_CASE("logs of a deployment are those of its first instance") {
  FakeServer server(
      {{"GET /api/v1/instances?deployment=tiny", {{200, instances(R"({"state":"ready"})")}}},
       {"GET /api/v1/instances/tiny-0/logs?tail=5&follow=false", {{200, "line 1\nline 2\n", "text/plain"}}}});
  const auto got = invoke({"logs", "tiny", "--tail", "5"}, at(server));
  CHECK(got.status == kExitOk);
  CHECK(got.out == "line 1\nline 2\n");
  CHECK(invoke({"logs", "nobody"}, at(server)).status == kExitNotFound);
}

TEST_CASE("delete waits until the object is gone") {
  FakeServer server(
      {{"DELETE /api/v1/deployments/tiny", {{202, ""}}},
       {"GET /api/v1/deployments/tiny", {{200, "{}"}, {200, "{}"}, {404, R"({"detail":"gone","code":"not_found"})"}}}});
  CHECK(invoke({"delete", "deployment", "tiny"}, at(server)).out == "deployment/tiny is being deleted\n");
  CHECK(invoke({"delete", "deployment", "tiny", "--wait"}, at(server)).out == "deployment/tiny deleted\n");
  CHECK(invoke({"delete", "deploymnt", "tiny"}, at(server)).status == kExitUsage);
}

TEST_CASE("describe shows the waiting sentence, the last exit and the claims") {
  const std::string one =
      R"({"name":"tiny-0","spec":{"deployment_name":"tiny","plan":{"engine":"llama.cpp","workers":[{"worker":"w1",)"
      R"("worker_name":"gpu-01","claim":)"
      R"({"worker":"w1","devices":[{"device":"g0","bytes":1073741824}],"memory_bytes":1024}}]}},)"
      R"("status":{"state":"failed","restarts":2,)"
      R"("last_exit":{"cause":"out_of_memory","message":"killed","at":"2027-01-15T07:00:00.000Z"},)"
      R"("waiting":{"text":"waiting to restart","since":"2027-01-15T07:00:00.000Z"}}})";
  FakeServer server({{"GET /api/v1/instances/tiny-0", {{200, one}}},
                     {"GET /api/v1/events?object=tiny-0", {{200, R"({"items":[]})"}}}});
  const auto got = invoke({"describe", "instance", "tiny-0"}, at(server));
  CHECK(got.status == kExitOk);
  CHECK(shows(got.out, "waiting to restart since 2027-01-15"));
  CHECK(shows(got.out, "out_of_memory"));
  CHECK(shows(got.out, "g0: 1.00 GiB"));
}
