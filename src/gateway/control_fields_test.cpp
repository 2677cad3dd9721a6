#include "gateway/detail/control_fields.h"

#include <doctest/doctest.h>

#include "base/rng.h"
#include "base/text.h"
#include "gateway/detail/answers.h"
#include "gateway/detail/json_scan.h"
#include "gateway/detail/usage.h"
#include "gateway/detail/utf8.h"

using namespace berth;
using namespace berth::gateway;

namespace {

bool is_object(std::string_view text) {
  const OnMember ignore = [](const JsonMember&) -> Result<void> { return {}; };
  return scan_object(text, ignore).has_value();
}

std::string switched(std::string body) {
  const auto fields = read_control_fields(body);
  REQUIRE(fields.has_value());
  switch_usage_on(body, fields->usage);
  const auto again = read_control_fields(body);
  REQUIRE(again.has_value());
  CHECK(again->wants_usage());
  return body;
}

}  // namespace

TEST_CASE("only what RFC 8259 allows is an object") {
  for (const char* good : {"{}",
                           " { } \n",
                           R"({"a":1})",
                           R"({"a":[],"b":{},"c":[[{}],[1,2,{"x":[]}]]})",
                           R"({"a":-0.5e+10,"b":0,"c":1E3,"d":true,"e":false,"f":null})",
                           R"({"\u0041\n\"\\\/\b\f\r\t":"\ud83d\ude00"})",
                           "{\"a\" : \"\x7f\" , \"b\":\t[ 1 , 2 ] }"}) {
    CAPTURE(good);
    CHECK(is_object(good));
  }
  for (const char* bad : {"",
                          "[]",
                          "1",
                          "{",
                          "}",
                          "{}{}",
                          "{},",
                          R"({"a"})",
                          R"({"a":})",
                          R"({"a":1,})",
                          R"({,})",
                          R"({a:1})",
                          R"({'a':1})",
                          R"({"a":01})",
                          R"({"a":1.})",
                          R"({"a":.5})",
                          R"({"a":+1})",
                          R"({"a":1e})",
                          R"({"a":-})",
                          R"({"a":NaN})",
                          R"({"a":tru})",
                          R"({"a":"\x"})",
                          R"({"a":"\u12"})",
                          "{\"a\":\"\n\"}",
                          R"({"a":[1,]})",
                          R"({"a":[1 2]})",
                          R"({"a":[1})",
                          R"({"a":{"b":1]})",
                          R"({"a":{"b"}})",
                          R"({"a":1 "b":2})",
                          R"({"a":"b)",
                          R"({"a":"b\)",
                          "{\"a\":1}x",
                          R"({"a":{1:2}})",
                          "{\"a\":/**/1}"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_object(bad));
  }
}

TEST_CASE("nesting is allowed to a limit and costs no stack beyond it") {
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  CHECK(is_object(nested(kJsonDepthMax - 1)));
  CHECK_FALSE(is_object(nested(kJsonDepthMax)));
  CHECK_FALSE(is_object(nested(1'000'000)));
}

TEST_CASE("strings are decoded, and half pairs are not") {
  CHECK(decode_string(R"("a\u00e4\u20ac\ud83d\ude00\n")") == "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
  CHECK_FALSE(decode_string(R"("\ud83d")").has_value());
  CHECK_FALSE(decode_string(R"("\ude00\ud83d")").has_value());
  std::string out;
  append_json_string(out, "q\"\\\n\x01");
  CHECK(out == R"("q\"\\\u000a\u0001")");
  CHECK(decode_string(out) == "q\"\\\n\x01");
}

TEST_CASE("only members of the outermost object are control fields") {
  const auto fields = read_control_fields(
      R"({"messages":[{"model":"inner","stream":true}],"metadata":{"model":"x"},"model":"outer\/m","stream":null})");
  REQUIRE(fields.has_value());
  CHECK(fields->model == "outer/m");
  CHECK_FALSE(fields->stream);
  CHECK_FALSE(fields->wants_usage());
  const auto asked =
      read_control_fields(R"({"stream_options":{"x":1,"include_usage":true},"stream":true,"model":"m"})");
  REQUIRE(asked.has_value());
  CHECK(asked->stream);
  CHECK(asked->wants_usage());
  const auto twice =
      read_control_fields(R"({"model":"m","stream_options":{"include_usage":true,"include_usage":false}})");
  REQUIRE_FALSE(twice.has_value());
  CHECK(twice.error().param == "stream_options.include_usage");
  const auto odd = read_control_fields(R"({"model":"m","stream_options":[]})");
  REQUIRE_FALSE(odd.has_value());
  CHECK(odd.error().param == "stream_options");
  CHECK_FALSE(read_control_fields(R"({"model":")" + std::string(300, 'm') + "\"}").has_value());
}

TEST_CASE("usage is switched on in every shape of stream_options, and nothing else changes") {
  CHECK(switched(R"( {"model":"m"})") == R"( {"stream_options":{"include_usage":true},"model":"m"})");
  CHECK(switched(R"({"model":"m","stream_options" : null })") ==
        R"({"model":"m","stream_options" : {"include_usage":true} })");
  CHECK(switched(R"({"stream_options":{ },"model":"m"})") ==
        R"({"stream_options":{"include_usage":true },"model":"m"})");
  CHECK(switched(R"({"stream_options":{"a":1},"model":"m"})") ==
        R"({"stream_options":{"include_usage":true,"a":1},"model":"m"})");
  CHECK(switched(R"({"stream_options":{"a":1,"include_usage": false },"model":"m"})") ==
        R"({"stream_options":{"a":1,"include_usage": true },"model":"m"})");
  CHECK(switched(R"({"stream_options":{"include_usage":null},"model":"m"})") ==
        R"({"stream_options":{"include_usage":true},"model":"m"})");
  const std::string on = R"({"model":"m","stream_options":{"include_usage":true}})";
  CHECK(switched(on) == on);
}

TEST_CASE("token counts are found, and what is odd is not there") {
  const AnswerFacts whole = read_answer(R"({"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":4,"x":{}}})");
  REQUIRE(whole.usage.has_value());
  CHECK(whole.usage->prompt == 3);
  CHECK(whole.usage->completion == 4);
  CHECK(whole.has_choices);
  CHECK(read_answer(R"({"choices":[ ],"usage":null})").empty_choices);
  CHECK_FALSE(read_answer(R"({"usage":{"prompt_tokens":-1}})").usage.has_value());
  CHECK_FALSE(read_answer(R"({"usage":{"prompt_tokens":1e300}})").usage.has_value());
  CHECK_FALSE(read_answer("[DONE]").usage.has_value());
  CHECK(read_answer(R"({"error":{"message":"x"}})").is_error);
  CHECK_FALSE(read_answer(R"({"error":null})").is_error);
}

TEST_CASE("the fast check of UTF-8 says what the plain one says") {
  Rng rng(7);
  for (int round = 0; round < 20'000; ++round) {
    CAPTURE(round);
    std::string text;
    const std::uint64_t size = rng.below(80);
    constexpr std::string_view kParts[] = {
        "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"};
    while (text.size() < size) text += kParts[rng.below(round % 2 == 0 ? 4 : 7)];
    if (rng.below(3) == 0 && !text.empty()) text.resize(text.size() - 1);
    CHECK(is_utf8_fast(text) == is_utf8(text));
  }
}

TEST_CASE("random damage to a body never makes the scanner disagree with itself") {
  const std::string seed =
      R"({"model":"m","stream":true,"stream_options":{"include_usage":false,"a":[1,{"b":null}]},"messages":[{"role":"user","content":"\u00e4\"x"}]})";
  std::size_t accepted = 0;
  for (std::uint64_t round = 0; round < 20'000; ++round) {
    CAPTURE(round);
    Rng rng(round);
    std::string body = seed;
    for (std::uint64_t edits = 1 + rng.below(3); edits > 0; --edits) {
      const std::size_t at = rng.below(body.size());
      constexpr std::string_view kBytes = "{}[]\",:\\ntu0 1e-.x\n";
      if (rng.below(2) == 0) {
        body[at] = kBytes[rng.below(kBytes.size())];
      } else {
        body.erase(at, 1 + rng.below(4));
      }
    }
    const auto fields = read_control_fields(body);
    if (!fields) continue;
    ++accepted;
    switch_usage_on(body, fields->usage);
    const auto again = read_control_fields(body);
    REQUIRE(again.has_value());
    CHECK(again->wants_usage());
    CHECK(again->model == fields->model);
  }
  CHECK(accepted > 1000);
}

TEST_CASE("errors are JSON whatever is in them") {
  ApiError error{.status = 503, .message = "a \"b\"\n", .param = "model", .code = "x"};
  error.retry_after = std::chrono::seconds(5);
  CHECK(error_json(error) ==
        R"({"error":{"message":"a \"b\"\u000a","type":"server_error","param":"model","code":"x"}})");
  const net::Response response = error_response(error);
  CHECK(response.headers.get("retry-after") == "5");
  CHECK_FALSE(response.headers.get("x-should-retry").has_value());
  CHECK(error_json(ApiError{.status = 429}) ==
        R"({"error":{"message":"","type":"rate_limit_error","param":null,"code":null}})");
}
