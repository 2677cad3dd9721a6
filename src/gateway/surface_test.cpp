#include <doctest/doctest.h>
#include <fmt/format.h>

#include "gateway/detail/usage.h"
#include "gateway/testing.h"

using namespace berth;
using namespace berth::gateway;
using namespace berth::gateway::testing;

namespace {

const std::string kChatAnswer =
    R"({"id":"c1","choices":[{"message":{"content":"hi"}}],  "usage":{"prompt_tokens":7,"completion_tokens":3}})";
const std::string kChat = R"({"model":"m","messages":[{"role":"user","content":"hello"}], "top_k": 7})";
constexpr const char* kChatRoute = "/v1/chat/completions";

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

bool is_error(const net::Response& response, int status, std::string_view code) {
  INFO(response.body);
  CHECK(response.status == status);
  CHECK(response.headers.get("content-type") == "application/json");
  CHECK(response.headers.get("x-request-id").has_value());
  CHECK(response.body.starts_with(R"({"error":{"message":")"));
  for (const char* key : {R"("type":")", R"("param":)", R"("code":)"}) CHECK(has(response.body, key));
  const std::string wanted = code.empty() ? R"("code":null)" : fmt::format(R"("code":"{}")", code);
  CHECK(has(response.body, wanted));
  return response.status == status && has(response.body, wanted);
}

}  // namespace

TEST_CASE("a chat passes through byte for byte with the engine's secret and without the client's key") {
  World world;
  FakeEngine engine(world.loop, answers(200, kChatAnswer));
  world.route("m", {engine.port()});
  net::HeaderList headers = good_key();
  headers.add("Berth-Instance", "somebody-else");
  headers.add("Berth-Anything", "x");
  headers.add("X-Forwarded-For", "10.0.0.1");
  headers.add("Cookie", "a=b");
  headers.add("OpenAI-Organization", "org");
  headers.add("traceparent", "00-1-2-01");
  headers.add("X-Request-Id", "mine-1");
  const net::Response response = world.ask("POST", std::string(kChatRoute) + "?x=1", kChat, headers);
  CHECK(response.status == 200);
  CHECK(response.body == kChatAnswer);
  CHECK(response.headers.get("x-request-id") == "mine-1");
  REQUIRE(engine.bodies.size() == 1);
  CHECK(engine.bodies[0] == kChat);
  CHECK(engine.paths[0] == kChatRoute);
  const net::HeaderList& seen = engine.heads[0];
  CHECK(seen.get("authorization") == "Bearer engine-secret");
  CHECK(seen.count("authorization") == 1);
  for (const char* name : {"berth-instance", "berth-anything", "x-forwarded-for", "cookie"}) CHECK(!seen.get(name));
  CHECK(seen.get("openai-organization") == "org");
  CHECK(seen.get("traceparent") == "00-1-2-01");
  CHECK(seen.get("x-request-id") == "mine-1");
  const auto rows = world.ledger.drain();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].key_id == "key-1");
  CHECK(rows[0].model == "m");
  CHECK(rows[0].prompt_tokens == 7);
  CHECK(rows[0].completion_tokens == 3);
  CHECK(rows[0].aborted == 0);
  CHECK(world.ledger.rows().empty());
  world.run(engine.stop());
}

TEST_CASE("keys decide before anything else is looked at") {
  World world;
  const auto with = [&world](std::string value) {
    net::HeaderList headers;
    headers.add("Content-Type", "application/json");
    if (!value.empty()) headers.add("Authorization", value);
    return world.ask("POST", kChatRoute, "not json", headers);
  };
  CHECK(is_error(with(""), 401, "invalid_api_key"));
  CHECK(is_error(with("Bearer wrong"), 401, "invalid_api_key"));
  CHECK(is_error(with("Basic abc"), 401, "invalid_api_key"));
  CHECK(is_error(with(fmt::format("Bearer {}", kWorkerScopeKey)), 403, "insufficient_scope"));
  CHECK(is_error(with(fmt::format("bearer {}", kGoodKey)), 400, ""));
  net::HeaderList none;
  none.add("Accept", "*/*");
  CHECK(is_error(world.ask("GET", "/v1/models", "", none), 401, "invalid_api_key"));
}

TEST_CASE("models are listed when something is ready, and unknown ones are answered with what there is") {
  World world;
  FakeEngine engine(world.loop, answers(200, kChatAnswer));
  world.route("org/model-a", {engine.port()});
  world.route("loading", {});
  world.table.routes["loading"].waiting = "waiting for worker gpu-1 to load 4 GB";
  world.publish();
  const net::Response list = world.ask("GET", "/v1/models");
  CHECK(list.status == 200);
  CHECK(has(list.body, R"({"object":"list","data":[{"id":"org/model-a","object":"model","created":1700000000,)"));
  CHECK(!has(list.body, "loading"));
  CHECK(world.ask("GET", "/v1/models/org/model-a").status == 200);
  CHECK(world.ask("GET", "/v1/models/org%2Fmodel-a").status == 200);
  const net::Response unknown = world.ask("GET", "/v1/models/org/model-b");
  CHECK(is_error(unknown, 404, "model_not_found"));
  CHECK(has(unknown.body, "did you mean 'org/model-a'"));
  const net::Response missing = world.ask("POST", kChatRoute, R"({"model":"nope","messages":[]})");
  CHECK(is_error(missing, 404, "model_not_found"));
  CHECK(has(missing.body, "'nope'"));
  CHECK(has(missing.body, "available: org/model-a"));
  const net::Response loading = world.ask("POST", kChatRoute, R"({"model":"loading"})");
  CHECK(is_error(loading, 503, "model_not_ready"));
  CHECK(has(loading.body, "waiting for worker gpu-1 to load 4 GB"));
  CHECK(loading.headers.get("retry-after").has_value());
  CHECK(is_error(world.ask("POST", "/v1/responses", "{}"), 404, "not_found"));
  CHECK(is_error(world.ask("GET", kChatRoute), 405, ""));
  CHECK(is_error(world.ask("POST", "/v1/models", "{}"), 405, ""));
  CHECK(engine.bodies.empty());
  world.run(engine.stop());
}

TEST_CASE("bodies that cannot be read in one way only are refused with the field") {
  Options options;
  options.body_max = 4096;
  World world(options);
  FakeEngine engine(world.loop, answers(200, kChatAnswer));
  world.route("m", {engine.port()});
  const auto refused = [&world](std::string body, std::string_view said) {
    const net::Response response = world.ask("POST", kChatRoute, std::move(body));
    INFO(response.body);
    CHECK(is_error(response, 400, ""));
    CHECK(has(response.body, said));
    CHECK(response.headers.get("x-should-retry") == "false");
  };
  refused("", "is empty");
  refused("{\"model\":\"m\"", "not valid JSON");
  refused("[1]", "not valid JSON");
  refused(R"({"messages":[]})", R"("param":"model")");
  refused(R"({"model":7})", "must be a string");
  refused(R"({"model":""})", "is empty");
  refused(R"({"model":"m","model":"n"})", "given twice");
  refused(R"({"model":"m","mode\u006c":"n"})", "given twice");
  refused(R"({"model":"m","stream":true,"stream":false})", R"("param":"stream")");
  refused(R"({"model":"m","stream":"yes"})", "must be true or false");
  refused(R"({"model":"m","stream_options":{},"stream_options":{}})", "given twice");
  refused("{\"model\":\"m\",\"x\":\"\xc3\x28\"}", "UTF-8");
  const net::Response large = world.ask("POST", kChatRoute, R"({"model":"m","x":")" + std::string(5000, 'a') + "\"}");
  CHECK(is_error(large, 413, "request_too_large"));
  CHECK(has(large.body, "4096 bytes"));
  CHECK(engine.bodies.empty());
  CHECK(world.gateway.metrics().body_bytes_held.load() == 0);
  world.run(engine.stop());
}

TEST_CASE("embeddings are counted, and a model of another task is refused") {
  World world;
  FakeEngine engine(world.loop, answers(200, R"({"data":[],"usage":{"prompt_tokens":5,"total_tokens":5}})"));
  world.route("e", {engine.port()}, "embed");
  CHECK(world.ask("POST", "/v1/embeddings", R"({"model":"e","input":"x"})").status == 200);
  const auto rows = world.ledger.drain();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].prompt_tokens == 5);
  CHECK(rows[0].completion_tokens == 0);
  CHECK(is_error(world.ask("POST", kChatRoute, R"({"model":"e"})"), 400, "wrong_task"));
  world.run(engine.stop());
}

TEST_CASE("an engine that closes without a byte is replaced once by another instance") {
  World world;
  DeafEngine deaf(world.loop);
  FakeEngine engine(world.loop, answers(200, kChatAnswer));
  world.route("m", {deaf.port(), engine.port()});
  for (int i = 0; i < 4; ++i) CHECK(world.ask("POST", kChatRoute, kChat).status == 200);
  CHECK(deaf.accepted >= 1);
  CHECK(engine.bodies.size() == 4);
  CHECK(engine.bodies[0] == kChat);
  CHECK(world.gateway.metrics().retries.load() >= 1);
  world.run(deaf.stop());
  world.run(engine.stop());
}

TEST_CASE("with no other instance a dead engine is a 502 with its name") {
  World world;
  DeafEngine deaf(world.loop);
  world.route("m", {deaf.port(), deaf.port(), deaf.port()});
  const net::Response response = world.ask("POST", kChatRoute, kChat);
  CHECK(is_error(response, 502, "engine_error"));
  CHECK(has(response.body, "instance i-1 of model 'm'"));
  CHECK(deaf.accepted == 2);  // one retry, not two
  world.run(deaf.stop());
  const net::Response unreachable = world.ask("POST", kChatRoute, kChat);
  CHECK(is_error(unreachable, 503, "model_not_ready"));
  CHECK(unreachable.headers.get("retry-after") == "5");
  CHECK(has(unreachable.body, "the model 'm' takes no request now: 3 instances were asked"));
  CHECK(has(unreachable.body, "berth get instances"));
  CHECK(world.gateway.metrics().ejections.load() == 3);
}

TEST_CASE("an instance that could not be reached gets no request for a while") {
  World world;
  std::uint16_t closed = 0;
  {
    DeafEngine gone(world.loop);
    closed = gone.port();
    world.run(gone.stop());
  }
  FakeEngine engine(world.loop, answers(200, kChatAnswer));
  world.route("m", {closed, engine.port()});
  for (int i = 0; i < 10; ++i) CHECK(world.ask("POST", kChatRoute, kChat).status == 200);
  CHECK(world.gateway.metrics().ejections.load() == 1);
  world.run(engine.stop());
}

namespace {

net::awaitable<void> refuse_like_a_relay(FakeEngine&, net::Exchange& exchange) {
  net::Response response = net::make_response(502, "application/json", R"({"error":{"message":"forged"}})");
  response.headers.add("Berth-Refused", "untouched");
  (void)(co_await exchange.respond(std::move(response))).has_value();
}

}  // namespace

TEST_CASE("an engine on this host that says it is a relay is answered for as what it is") {
  World world;
  FakeEngine forger(world.loop, refuse_like_a_relay);
  world.route("m", {forger.port(), forger.port()});
  const net::Response response = world.ask("POST", kChatRoute, kChat);
  CHECK(response.status == 502);
  CHECK(has(response.body, "forged"));
  CHECK(forger.bodies.size() == 1);
  CHECK(world.gateway.metrics().ejections.load() == 0);
  world.run(forger.stop());
}

TEST_CASE("errors of engines keep their text and get the shape of the API") {
  World world;
  FakeEngine engine(
      world.loop,
      answers(400,
              R"({"error":{"code":400,"message":"too long: 9000","type":"exceed_context_size_error","n_ctx":1}})"));
  FakeEngine old(world.loop, answers(422, R"({"object":"error","message":"bad \"n\"","type":"BadRequest","code":4})"));
  FakeEngine small(world.loop,
                   answers(500,
                           R"({"error":{"code":500,"message":"input (600 tokens) is too large to process. increase )"
                           R"(the physical batch size","type":"server_error"}})"));
  FakeEngine locked(world.loop, answers(401, R"({"error":{"message":"no"}})"));
  FakeEngine plain(world.loop, answers(500, "oops\x01"));
  world.route("m", {engine.port()});
  world.route("old", {old.port()});
  world.route("batch", {small.port()});
  world.route("locked", {locked.port()});
  world.route("plain", {plain.port()});
  const net::Response context = world.ask("POST", kChatRoute, kChat);
  CHECK(is_error(context, 400, "context_length_exceeded"));
  CHECK(has(context.body, "too long: 9000"));
  CHECK(context.headers.get("x-should-retry") == "false");
  const net::Response batch = world.ask("POST", kChatRoute, R"({"model":"batch"})");
  CHECK(is_error(batch, 400, "context_length_exceeded"));
  CHECK(has(batch.body, R"("type":"invalid_request_error")"));
  CHECK(has(batch.body, "600 tokens"));
  const net::Response other = world.ask("POST", kChatRoute, R"({"model":"old"})");
  CHECK(is_error(other, 422, ""));
  CHECK(has(other.body, R"(bad \"n\")"));
  CHECK(is_error(world.ask("POST", kChatRoute, R"({"model":"locked"})"), 502, "engine_error"));
  const net::Response text = world.ask("POST", kChatRoute, R"({"model":"plain"})");
  CHECK(is_error(text, 500, ""));
  CHECK(has(text.body, R"(oops\\x01)"));
  CHECK(world.ledger.rows().empty());
  for (FakeEngine* e : {&engine, &old, &small, &locked, &plain}) world.run(e->stop());
}

TEST_CASE("requests take turns between equal instances, on kept connections") {
  World world;
  FakeEngine a(world.loop, answers(200, kChatAnswer));
  FakeEngine b(world.loop, answers(200, kChatAnswer));
  world.route("m", {a.port(), b.port()});
  for (int i = 0; i < 6; ++i) CHECK(world.ask("POST", kChatRoute, kChat).status == 200);
  CHECK(a.bodies.size() == 3);
  CHECK(b.bodies.size() == 3);
  world.run(a.stop());
  // Its kept connection is dead now, and nobody listens: the other one takes over.
  for (int i = 0; i < 2; ++i) CHECK(world.ask("POST", kChatRoute, kChat).status == 200);
  CHECK(b.bodies.size() == 5);
  world.run(b.stop());
}
