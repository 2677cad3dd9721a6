#include "net/http1.h"

#include <doctest/doctest.h>

namespace berth::net::http1 {
namespace {

/// Head through scanner and parser, in steps of `step` bytes: status of the refusal, 0 when accepted, -1 when
/// incomplete.
int request_status(std::string_view text, std::size_t step, Request& out, HeadResult& result) {
  HeadScanner scanner;
  auto state = HeadScanner::State::kMore;
  for (std::size_t size = 0; state == HeadScanner::State::kMore && size < text.size();) {
    size = std::min(text.size(), size + step);
    state = scanner.scan(text.substr(0, size));
  }
  if (state == HeadScanner::State::kMore) return -1;
  if (state == HeadScanner::State::kRefused) return scanner.refusal().status;
  result = parse_request_head(text.substr(0, scanner.head_bytes()), out);
  return result.ok ? 0 : result.refusal.status;
}

struct Case {
  const char* what;
  std::string text;
  int status;  // 0: accepted
};

std::string get(std::string_view fields) { return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n"; }
std::string post(std::string_view fields) { return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n"; }

std::string many_fields(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "X-" + std::to_string(i) + ": v\r\n";
  return text;
}

std::vector<Case> request_line_cases() {
  return {
      {"plain", get(""), 0},
      {"query", "GET /a?b=c&d HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 0},
      {"absolute form", "GET http://b:80/x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"absolute form without path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"one empty line before", "\r\n" + get(""), 0},
      {"two empty lines before", "\r\n\r\n" + get(""), 400},
      {"GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"no version", "GET /\r\nHost: a\r\n\r\n", 400},
      {"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
      {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"version with a space after", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"tab instead of space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"control character in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"byte above ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"empty method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"method of 33 letters", std::string(33, 'A') + " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"target of 9 KiB", "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
      {"user name in an absolute form", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"other scheme", "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"TLS on a plain port", std::string("\x16\x03\x01\x02\x00", 5), 400},
  };
}

std::vector<Case> field_cases() {
  return {
      {"spaces around a value", get("X:  \t v \t \r\n"), 0},
      {"empty value", get("X:\r\n"), 0},
      {"underscore in a name", get("X_Y: v\r\n"), 0},
      {"bytes above ASCII in a value", get("X: \xc3\xa9\r\n"), 0},
      {"100 fields", get(many_fields(99)), 0},
      {"101 fields", get(many_fields(100)), 431},
      {"head of 33 KiB", get("X: " + std::string(33 * 1024, 'a') + "\r\n"), 431},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"Host with two names", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"space before the colon", get("X : v\r\n"), 400},
      {"tab before the colon", get("X\t: v\r\n"), 400},
      {"no colon", get("X\r\n"), 400},
      {"empty name", get(": v\r\n"), 400},
      {"folded line", get("X: a\r\n b\r\n"), 400},
      {"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"line end without CR", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"empty line without CR", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"CR inside a value", get("X: a\rb\r\n"), 400},
      {"CR CR LF", get("X: a\r\r\n"), 400},
      {"NUL in a value", get(std::string("X: a\0b\r\n", 8)), 400},
      {"NUL in a name", get(std::string("X\0: b\r\n", 7)), 400},
      {"DEL in a value", get("X: \x7f\r\n"), 400},
      {"quote in a name", get("\"X\": v\r\n"), 400},
  };
}

std::vector<Case> framing_cases() {
  return {
      {"Content-Length", post("Content-Length: 5\r\n"), 0},
      {"chunked", post("Transfer-Encoding: chunked\r\n"), 0},
      {"Chunked", post("Transfer-Encoding: Chunked\r\n"), 0},
      {"both", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"both, the other order", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {"two equal lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
      {"list of lengths", post("Content-Length: 5, 5\r\n"), 400},
      {"negative length", post("Content-Length: -1\r\n"), 400},
      {"signed length", post("Content-Length: +5\r\n"), 400},
      {"hexadecimal length", post("Content-Length: 0x5\r\n"), 400},
      {"length with a space inside", post("Content-Length: 5 0\r\n"), 400},
      {"empty length", post("Content-Length:\r\n"), 400},
      {"length beyond 64 bits", post("Content-Length: 99999999999999999999\r\n"), 413},
      {"length beyond the limit", post("Content-Length: 999999999999999999\r\n"), 413},
      {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"identity", post("Transfer-Encoding: identity\r\n"), 501},
      {"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n"), 501},
      {"xchunked", post("Transfer-Encoding: xchunked\r\n"), 501},
      {"chunked with vertical tab",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       400},
      {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"space before the colon of a coding", post("Transfer-Encoding : chunked\r\n"), 400},
      {"folded coding", post("Transfer-Encoding:\r\n chunked\r\n"), 400},
  };
}

void check_requests(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, one.text.size()}) {
      CAPTURE(one.what);
      CAPTURE(step);
      Request request;
      HeadResult result;
      CHECK(request_status(one.text, step, request, result) == one.status);
    }
  }
}

/// Decodes whole input in steps; the body, or nothing when refused. `done` tells whether the end was reached.
std::optional<std::string> decode(std::string_view text, std::size_t step, bool& done) {
  ChunkedDecoder decoder;
  std::string body;
  for (std::size_t at = 0; at < text.size() && !decoder.done();) {
    std::string_view piece = text.substr(at, step);
    while (!piece.empty() && !decoder.done()) {
      const auto got = decoder.feed(piece);
      if (got.refused) return std::nullopt;
      body.append(got.data);
      piece.remove_prefix(got.consumed);
      at += got.consumed;
    }
  }
  done = decoder.done();
  return body;
}

TEST_CASE("request lines are accepted or refused as RFC 9112 and our limits say") {
  check_requests(request_line_cases());
}

TEST_CASE("header fields that could be read in two ways are refused") { check_requests(field_cases()); }

TEST_CASE("a body is framed in exactly one way or refused") { check_requests(framing_cases()); }

TEST_CASE("a parsed request carries method, target, fields and framing") {
  Request request;
  HeadResult result;
  const std::string text = post("X-A: 1\r\nx-a:  2 \r\nContent-Length: 12\r\nConnection: foo, Close\r\n");
  REQUIRE(request_status(text, text.size(), request, result) == 0);
  CHECK(request.method == "POST");
  CHECK(request.target == "/");
  CHECK(request.headers.size() == 5);
  CHECK(request.headers.get("X-a") == "1");
  CHECK(request.headers[2].value == "2");
  CHECK(result.framing == BodyFraming{.kind = BodyFraming::Kind::kLength, .length = 12});
  CHECK_FALSE(result.keep_alive);
}

TEST_CASE("the host of an absolute target replaces the Host field") {
  Request request;
  HeadResult result;
  const std::string text = "GET http://real:81?x=1 HTTP/1.1\r\nHost: other\r\n\r\n";
  REQUIRE(request_status(text, 3, request, result) == 0);
  CHECK(request.target == "/?x=1");
  CHECK(request.path() == "/");
  CHECK(request.query() == "x=1");
  CHECK(request.headers.count("host") == 1);
  CHECK(request.headers.get("host") == "real:81");
}

TEST_CASE("HTTP/1.0 connections stay only when asked for") {
  Request request;
  HeadResult result;
  REQUIRE(request_status("GET / HTTP/1.0\r\n\r\n", 99, request, result) == 0);
  CHECK_FALSE(result.keep_alive);
  REQUIRE(request_status("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 99, request, result) == 0);
  CHECK(result.keep_alive);
}

TEST_CASE("response heads are accepted or refused") {
  struct Row {
    const char* text;
    const char* method;
    bool ok;
    BodyFraming framing;
    bool keep_alive;
  };
  using Kind = BodyFraming::Kind;
  const Row rows[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", true, {Kind::kLength, 3}, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", true, {Kind::kNone, 0}, true},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", true, {Kind::kLength, 0}, true},
      {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "GET", true, {Kind::kChunked, 0}, true},
      {"HTTP/1.1 200 OK\r\n\r\n", "GET", true, {Kind::kUntilClose, 0}, false},
      {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", true, {Kind::kLength, 3}, false},
      {"HTTP/1.1 204 No Content\r\n\r\n", "GET", true, {Kind::kNone, 0}, true},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "GET", true, {Kind::kNone, 0}, false},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", true, {Kind::kNone, 0}, true},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 20 OK\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 2000 OK\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 099 Odd\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 600 Odd\r\n\r\n", "GET", false, {}, false},
      {"HTTP/2 200 OK\r\n\r\n", "GET", false, {}, false},
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1  200 OK\r\n\r\n", "GET", false, {}, false},
      {"HTTP/1.1 200 O\x01K\r\n\r\n", "GET", false, {}, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    Response response;
    const HeadResult result = parse_response_head(row.text, row.method, response);
    CHECK(result.ok == row.ok);
    if (!row.ok || !result.ok) continue;
    CHECK(result.framing == row.framing);
    CHECK(result.keep_alive == row.keep_alive);
  }
}

TEST_CASE("chunked bodies decode the same whole and byte by byte, or are refused") {
  struct Row {
    std::string text;
    std::optional<std::string> body;
    bool done;
  };
  const std::string long_extension = "5;" + std::string(300, 'a') + "\r\nhello\r\n0\r\n\r\n";
  const std::string long_trailer = "0\r\nX: " + std::string(9000, 'a') + "\r\n\r\n";
  const Row rows[] = {
      {"5\r\nhello\r\n0\r\n\r\n", "hello", true},
      {"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world", true},
      {"A\r\n0123456789\r\n0\r\nX: y\r\nZ: \r\n\r\n", "0123456789", true},
      {"5;a=b;c=\"d e\"\r\nhello\r\n0\r\n\r\n", "hello", true},
      {"5\r\nhello\r\n0\r\n\r", "hello", false},
      {"5\r\nhel", "hel", false},
      {"\r\n", std::nullopt, false},
      {"-2\r\nhello", std::nullopt, false},
      {"+5\r\nhello", std::nullopt, false},
      {"0x5\r\nhello", std::nullopt, false},
      {" 5\r\nhello", std::nullopt, false},
      {"5 \r\nhello", std::nullopt, false},
      {"5\nhello\r\n", std::nullopt, false},
      {"5\r\nhello!\r\n0\r\n\r\n", std::nullopt, false},
      {"5\r\nhello\n0\r\n\r\n", std::nullopt, false},
      {"fffffffffffffffff\r\n", std::nullopt, false},
      {"0000000000005\r\nhello\r\n", std::nullopt, false},
      {"5;a=\"b\r\nhello\r\n0\r\n\r\n", std::nullopt, false},
      {"5;a\nb\r\nhello\r\n0\r\n\r\n", std::nullopt, false},
      {"0\r\nX : y\r\n\r\n", std::nullopt, false},
      {"0\r\n folded\r\n\r\n", std::nullopt, false},
      {"0\r\nno colon\r\n\r\n", std::nullopt, false},
      {"0\r\nX: y\n\r\n", std::nullopt, false},
      {long_extension, std::nullopt, false},
      {long_trailer, std::nullopt, false},
  };
  for (const Row& row : rows) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{3}, row.text.size()}) {
      CAPTURE(row.text);
      CAPTURE(step);
      bool done = false;
      CHECK(decode(row.text, step, done) == row.body);
      CHECK(done == row.done);
    }
  }
}

TEST_CASE("the decoder leaves what follows the body untouched") {
  ChunkedDecoder decoder;
  const std::string_view text = "0\r\n\r\nGET / HTTP/1.1";
  const auto step = decoder.feed(text);
  CHECK(step.done);
  CHECK(text.substr(step.consumed) == "GET / HTTP/1.1");
}

TEST_CASE("the writer refuses what could split a message and owns framing") {
  std::string out;
  Request request{.target = "/a b"};
  CHECK_FALSE(append_request_head(out, request, {}));
  request.target = "/";
  request.headers.add("X", "a\r\nEvil: 1");
  CHECK_FALSE(append_request_head(out, request, {}));
  request.headers.clear();
  request.headers.add("Evil Name", "1");
  CHECK_FALSE(append_request_head(out, request, {}));
  request.headers.clear();
  request.headers.add("Content-Length", "99");
  request.headers.add("Transfer-Encoding", "gzip");
  request.headers.add("X", "1");
  out.clear();
  WriteOptions options{.framing = {.kind = BodyFraming::Kind::kLength, .length = 2}, .keep_alive = false, .host = "h"};
  REQUIRE(append_request_head(out, request, options));
  CHECK(out == "GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
}

TEST_CASE("what the writer writes the parser reads") {
  std::string out;
  Response response{.status = 404};
  response.headers.add("X", "a: b, c");
  REQUIRE(append_response_head(out, response, {.framing = {.kind = BodyFraming::Kind::kChunked}}));
  HeadScanner scanner;
  REQUIRE(scanner.scan(out) == HeadScanner::State::kComplete);
  Response read;
  const HeadResult result = parse_response_head(out, "GET", read);
  REQUIRE(result.ok);
  CHECK(read.status == 404);
  CHECK(read.reason == "Not Found");
  CHECK(read.headers.get("x") == "a: b, c");
  CHECK(result.framing.kind == BodyFraming::Kind::kChunked);
  char prefix[20];
  CHECK(std::string_view(prefix, chunk_prefix(prefix, 0x1f0)) == "1f0\r\n");
}

}  // namespace
}  // namespace berth::net::http1
