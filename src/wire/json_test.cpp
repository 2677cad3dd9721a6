#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/assert.h"
#include "base/text.h"
#include "fleet/decision.h"
#include "fleet/objects.h"
#include "wire/codec.h"
#include "wire/files.h"
#include "wire/messages.h"

namespace berth::wire {

struct Small {
  std::int8_t tiny = 7;
  std::uint64_t id = 0;
  std::optional<double> share;
  std::set<std::string> names;
  RawJson raw;
};
DESCRIBE(Small, tiny, id, share, names, raw);

namespace {

template <class T>
std::string error_of(std::string_view json, Strictness strictness = Strictness::kStrict) {
  const auto value = from_json<T>(json, strictness);
  if (value) return "no error";
  CHECK(value.error().code == Code::kInvalid);
  return value.error().message;
}

}  // namespace
}  // namespace berth::wire

BERTH_WIRE(berth::wire::Small);

namespace berth::wire {
namespace {

using fleet::Request;
using fleet::Worker;
constexpr auto kWorker = R"({{"name":"a","os":"linux","arch":"amd64","memory_total_bytes":{},"devices":[{}]}})";

TEST_CASE("a wrong value is named with its path, what is allowed and what came") {
  CHECK(
      error_of<Worker>(fmt::format(kWorker, 1, R"({"vendor":"nvidia","memory_total_bytes":"abc"})")) ==
      "$.devices[0].memory_total_bytes must be a size up to 9007199254740991, as a number or like 24GiB, got \"abc\"");
  CHECK(error_of<Worker>(R"({"devices":[{"memory_total_bytes":"abc"}]})", Strictness::kLenient) ==
        "$.devices[0].memory_total_bytes must be an integer from 0 to 9007199254740991, got \"abc\"");
  CHECK(error_of<Worker>(fmt::format(kWorker, -1, "")) ==
        "$.memory_total_bytes must be an integer from 0 to 9007199254740991, got -1");
  CHECK(error_of<Worker>(fmt::format(kWorker, "9007199254740992", "")) ==
        "$.memory_total_bytes must be an integer from 0 to 9007199254740991, got 9007199254740992");
  CHECK(error_of<Worker>(fmt::format(kWorker, "18446744073709551615", "")) ==
        "$.memory_total_bytes must be an integer from 0 to 9007199254740991, got 18446744073709551615");
  CHECK(error_of<Worker>(fmt::format(kWorker, "1.0", "")) ==
        "$.memory_total_bytes must be an integer from 0 to 9007199254740991, got 1.0");
  CHECK(error_of<Request>(R"({"replicas":4294967296})") ==
        "$.replicas must be an integer from 0 to 4294967295, got 4294967296");
  CHECK(error_of<Small>(R"({"tiny":-129})") == "$.tiny must be an integer from -128 to 127, got -129");
  CHECK(error_of<Small>(R"({"share":"x"})") == "$.share must be a number, got \"x\"");
  CHECK(error_of<Small>(R"({"share":1e999})") == "$.share must be a finite number, got null");
  CHECK(error_of<Request>(R"({"partial":1})") == "$.partial must be true or false, got 1");
  CHECK(error_of<Request>(R"({"model":12.5})") == "$.model must be a text, got 12.5");
  CHECK(error_of<Request>(R"({"accept":{}})") == "$.accept must be a list, got an object");
  CHECK(error_of<Request>(R"({"settings":[]})") == "$.settings must be an object, got a list");
  CHECK(error_of<Request>(R"([1])") == "$ must be an object, got a list");
  CHECK(error_of<Request>(R"({"settings":{"env":{"A":1}}})") == "$.settings.env.A must be a text, got 1");
  CHECK(error_of<Request>(R"({"strategy":"pack"})") == "$.strategy must be one of spread, binpack, got \"pack\"");
  CHECK(error_of<Worker>(R"({"last_report_at":"yesterday"})", Strictness::kLenient) ==
        "$.last_report_at must be a time like 2026-01-31T12:00:00Z, got \"yesterday\"");
}

TEST_CASE("people learn of unknown and missing keys, messages carry them") {
  CHECK(error_of<Request>(R"({"replica":2})") == "$.replica is not known; did you mean \"replicas\"?");
  CHECK(error_of<Request>(R"({"settings":{"contxt":2}})") ==
        "$.settings.contxt is not known; did you mean \"context\"?");
  CHECK(error_of<fleet::Variant>(R"({"name":"a","something":2})") ==
        "$.something is not known; allowed: name, source, facts");
  CHECK(error_of<Worker>(R"({"name":"a","os":"linux","arch":"amd64"})") == "$.memory_total_bytes is missing");
  CHECK(error_of<Worker>(fmt::format(kWorker, 1, R"({"memory_total_bytes":1})")) == "$.devices[0].vendor is missing");
  const auto lenient = from_json<Request>(R"({"replica":2,"settings":{"contxt":2,"context":5}})", Strictness::kLenient);
  REQUIRE(lenient.has_value());
  CHECK(lenient->replicas == 1);
  CHECK(lenient->settings.context == 5);
}

TEST_CASE("an absent key keeps the initialiser, null is absence of an optional") {
  const auto r = from_json<Request>(R"({"strategy":null,"settings":{"context":null}})", Strictness::kStrict);
  REQUIRE(r.has_value());
  CHECK(r->task == "generate");
  CHECK(r->partial);
  CHECK_FALSE(r->strategy.has_value());
  CHECK_FALSE(r->settings.context.has_value());
  CHECK(error_of<Request>(R"({"model":null})") == "$.model must be a text, got null");
}

TEST_CASE("sizes may be written with a unit by people only") {
  const auto w = from_json<Worker>(fmt::format(kWorker, "\"24GiB\"", ""), Strictness::kStrict);
  REQUIRE(w.has_value());
  CHECK(w->memory_total_bytes == Bytes(24 * kGiB));
  CHECK(error_of<Worker>(R"({"memory_total_bytes":"24GiB"})", Strictness::kLenient) ==
        "$.memory_total_bytes must be an integer from 0 to 9007199254740991, got \"24GiB\"");
}

TEST_CASE("text that is no JSON of ours is refused") {
  CHECK(error_of<Request>("") == "JSON: incomplete JSON at byte 0");
  CHECK(error_of<Request>("{} x") == "JSON: extra data at byte 3");
  CHECK(error_of<Request>("{/*c*/}") == "JSON: syntax error at byte 1");
  CHECK(error_of<Request>(R"({"model":"a",})") == "JSON: syntax error at byte 13");
  CHECK(error_of<Request>("{\"model\":\"\xff\"}").starts_with("JSON: "));
  CHECK(error_of<Request>("{\"model\":\"\xed\xa0\x80\"}").starts_with("JSON: "));
  CHECK(error_of<Request>(R"({"model":"a","\u006dodel":"b"})") ==
        "JSON: the key \"model\" stands twice in one object, at byte 24");
  CHECK(error_of<Request>(R"({"model":"a","x":{"model":1,"y":[{"z":1},{"z":1,"z":2}]}})", Strictness::kLenient) ==
        "JSON: the key \"z\" stands twice in one object, at byte 50");
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_value(nested(kJsonDepthMax)).has_value());
  CHECK(error_of<Request>(nested(kJsonDepthMax + 1)) == "JSON: too deep at byte 64");
  const auto large = from_json<Request>(std::string(kJsonBytesMax + 1, ' '), Strictness::kLenient);
  REQUIRE_FALSE(large.has_value());
  CHECK(large.error().code == Code::kTooLarge);
}

TEST_CASE("error texts stay short, printable and valid, whatever came") {
  const std::string euros = [] {
    std::string out;
    for (int i = 0; i < 1000; ++i) out += "€";
    return out;
  }();
  const auto value = error_of<Request>("{\"partial\":\"" + euros + "\"}");
  CHECK(value.size() < 200);
  CHECK(is_utf8(value));
  const auto key = error_of<Request>("{\"" + euros + "\":1}");
  CHECK(key.starts_with("$.€€"));
  CHECK(key.size() < 500);
  CHECK(is_utf8(key));
  CHECK(error_of<Request>("{\"\\u001b[2J\":1}").find('\x1b') == std::string::npos);
}

TEST_CASE("bytes that are no UTF-8 are written as replacement characters") {
  LogChunk chunk;
  chunk.text = "a\xff\xc3(\xe2\x82€";
  const std::string json = to_json(chunk);
  CHECK(is_utf8(json));
  const auto back = from_json<LogChunk>(json, Strictness::kLenient);
  REQUIRE(back.has_value());
  CHECK(back->text == "a\uFFFD\uFFFD(\uFFFD\uFFFD€");
}

TEST_CASE("numbers are written so that they read the same") {
  Small s;
  s.share = 0.92;
  s.id = (1ULL << 53) - 1;
  s.raw.text = R"({"a":[1,2.0,-3e20,18446744073709551615,null]})";
  CHECK(to_json(s) ==
        "{\"tiny\":7,\"id\":9007199254740991,\"share\":0.92,\"names\":[],"
        "\"raw\":{\"a\":[1,2.0,-3e+20,18446744073709551615,null]}}");
  const auto back = from_json<Small>(to_json(s), Strictness::kStrict);
  REQUIRE(back.has_value());
  CHECK(back->raw.text == R"({"a":[1,2.0,-3e+20,18446744073709551615,null]})");
  for (const char* number : {"1284.4315352697097", "9007199254740993.0", "5e-324", "1.7976931348623157e308", "-0.1"}) {
    const auto exact = from_json<Small>(fmt::format(R"({{"share":{}}})", number), Strictness::kStrict);
    REQUIRE(exact.has_value());
    CHECK(exact->share == std::strtod(number, nullptr));
  }
  s.id = 1ULL << 53;
  CHECK_THROWS_AS(to_json(s), Bug);
  s.id = 0;
  s.share = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(to_json(s), Bug);
  fleet::DeviceClaim claim{.device = "d", .bytes = Bytes::kMax};
  CHECK(to_json(claim) == R"({"device":"d","bytes":9007199254740991})");
}

TEST_CASE("a text of JSON is that text, also when it looks like our marks") {
  for (const std::string text : {"p12", "qtrue", "\xEE\x80\x80true", "null"}) {
    const auto r = from_json<Request>("{\"model\":\"" + text + "\"}", Strictness::kStrict);
    REQUIRE(r.has_value());
    CHECK(r->model == text);
    CHECK(error_of<Request>("{\"partial\":\"" + text + "\"}").starts_with("$.partial must be true or false"));
  }
}

TEST_CASE("a part of a document is decoded below the path that it has there") {
  const auto part = from_value<fleet::Settings>(boost::json::parse(R"({"context":-1})"), Strictness::kStrict, "$.a[3]");
  REQUIRE_FALSE(part.has_value());
  CHECK(part.error().message == "$.a[3].context must be an integer from 0 to 4294967295, got -1");
  CHECK(from_value<fleet::Settings>(to_value(fleet::Settings{}), Strictness::kStrict).has_value());
}

TEST_CASE("enumerators are snake case") {
  CHECK(enum_name(fleet::Verdict::kDoesNotFit) == "does_not_fit");
  CHECK(enum_name(fleet::WorkerState::kNotReady) == "not_ready");
  CHECK(enum_name(fleet::InstanceState::kReady) == "ready");
}

TEST_CASE("indented JSON holds the same value") {
  CHECK(pretty(R"({"a":[1,{"b":[]}],"c":{}})").value() ==
        "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}");
}

}  // namespace
}  // namespace berth::wire
