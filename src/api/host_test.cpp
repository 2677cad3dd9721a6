#include "api/host.h"

#include <algorithm>
#include <doctest/doctest.h>

namespace berth::api {

TEST_CASE("a name that only begins like a loopback address is not this machine") {
  for (const auto* own : {"localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.9.10:80", "[::1]", "[::1]:8443"})
    CHECK_MESSAGE(is_loopback_host(host_of(own)), own);
  for (const auto* foreign : {"127.evil.com",
                              "127.0.0.1.evil.com:80",
                              "127.0.0.1:80.evil.com",
                              "localhost.evil.com",
                              "127.1",
                              "[::1].evil.com",
                              "[::1",
                              "[::2]",
                              "",
                              ":80",
                              "128.0.0.1"})
    CHECK_FALSE_MESSAGE(is_loopback_host(host_of(foreign)), foreign);
}

TEST_CASE("hosts are the same by name without case, or by address however it is spelt") {
  CHECK(is_same_host("Head.example", "head.example"));
  CHECK(is_same_host("[fd00::1]", "fd00:0:0::1"));
  CHECK_FALSE(is_same_host("10.0.0.1", "10.0.0.1.evil.com"));
  CHECK_FALSE(is_same_host("", ""));
}

TEST_CASE("this machine's own addresses have its loopback among them") {
  const auto own = own_hosts();
  CHECK(std::any_of(own.begin(), own.end(), [](const auto& host) { return is_loopback_host(host); }));
}

}  // namespace berth::api
