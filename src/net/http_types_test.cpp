#include "net/http_types.h"

#include <doctest/doctest.h>

#include "net/stream.h"

namespace berth::net {
namespace {

TEST_CASE("header lists compare names without case and keep order") {
  HeaderList list{{"A", "1"}, {"b", "2"}, {"a", "3"}};
  CHECK(list.get("B") == "2");
  CHECK(list.count("a") == 2);
  list.set("A", "4");
  CHECK(list.size() == 2);
  CHECK(list[0].name == "b");
  CHECK(list.get("a") == "4");
  list.remove("B");
  CHECK_FALSE(list.get("b"));
  list.add("Connection", "keep-alive , Upgrade");
  CHECK(list.has_token("connection", "upgrade"));
  CHECK_FALSE(list.has_token("connection", "keep"));
}

TEST_CASE("addresses of servers are parsed or refused with a reason") {
  auto url = parse_url("http://127.0.0.1:8080/v1/models?x=1#frag");
  REQUIRE(url);
  CHECK(url->host == "127.0.0.1");
  CHECK(url->port == 8080);
  CHECK(url->target == "/v1/models?x=1");
  CHECK(url->authority() == "127.0.0.1:8080");
  url = parse_url("https://Example.org");
  REQUIRE(url);
  CHECK(url->tls);
  CHECK(url->port == 443);
  CHECK(url->authority() == "Example.org");
  CHECK(url->target == "/");
  url = parse_url("http://[::1]:99/");
  REQUIRE(url);
  CHECK(url->host == "::1");
  CHECK(url->authority() == "[::1]:99");
  url = parse_url("unix:/run/berth.sock:/api/v1");
  REQUIRE(url);
  CHECK(url->unix_path == "/run/berth.sock");
  CHECK(url->target == "/api/v1");
  for (const char* bad : {"",
                          "example.org",
                          "ftp://a/",
                          "http://",
                          "http://a:0/",
                          "http://a:70000/",
                          "http://u:p@a/",
                          "http://a/ b",
                          "http://a b/",
                          "http://[::1/",
                          "unix:relative",
                          "unix:/a:b"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_url(bad));
  }
}

TEST_CASE("query values are decoded and malformed escapes are absent") {
  CHECK(query_value("a=1&b=x%20y+z&c", "b") == "x y z");
  CHECK(query_value("a=1&c", "c") == "");
  CHECK_FALSE(query_value("a=1", "z"));
  CHECK_FALSE(query_value("a=%4", "a"));
  CHECK_FALSE(query_value("a=%zz", "a"));
  CHECK(percent_encode("a b/é~") == "a%20b%2F%C3%A9~");
  CHECK(percent_decode("%2Fa+b") == "/a+b");
}

TEST_CASE("endpoints are parsed, printed and told apart") {
  auto endpoint = parse_endpoint("127.0.0.1:8080");
  REQUIRE(endpoint);
  CHECK(endpoint->text() == "127.0.0.1:8080");
  CHECK(endpoint->is_loopback());
  endpoint = parse_endpoint("[::]:443");
  REQUIRE(endpoint);
  CHECK(endpoint->text() == "[::]:443");
  CHECK_FALSE(endpoint->is_loopback());
  endpoint = parse_endpoint("unix:/run/x");
  REQUIRE(endpoint);
  CHECK(endpoint->is_unix());
  for (const char* bad : {"", "a", ":80", "::1:80", "a:b", "a:65536", "unix:x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_endpoint(bad));
  }
}

}  // namespace
}  // namespace berth::net
