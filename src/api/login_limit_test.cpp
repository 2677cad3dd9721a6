#include "api/login_limit.h"

#include <doctest/doctest.h>

namespace berth::api {
namespace {

const Time kStart{Duration{1'000'000}};

bool wrong_try(LoginLimit& limit, const std::string& peer, Time now) {
  if (!limit.begin(peer, now)) return false;
  limit.ended(peer);
  return true;
}

}  // namespace

TEST_CASE("a stranger who guesses is slowed down and keeps nobody else out") {
  LoginLimit limit;
  Time now = kStart;
  for (std::uint32_t i = 0; i < kLoginFreeTries; ++i) CHECK(wrong_try(limit, "10.0.0.9:4000", now));
  const auto refused = limit.begin("10.0.0.9:4001", now);
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == Code::kRateLimited);
  CHECK(refused.error().message == "too many tries with a password: try again in 6 s");
  CHECK(wrong_try(limit, "10.0.0.1:4000", now));
  now += kLoginWait;
  CHECK(wrong_try(limit, "10.0.0.9:4002", now));
  CHECK_FALSE(wrong_try(limit, "10.0.0.9:4003", now));
}

TEST_CASE("tries at the same time are each counted before they are looked at") {
  LoginLimit limit;
  REQUIRE(limit.begin("10.0.0.9:1", kStart));
  // One place is kept for who has not been wrong.
  REQUIRE(limit.begin("10.0.0.9:2", kStart));
  CHECK_FALSE(limit.begin("10.0.0.9:3", kStart));
  REQUIRE(limit.begin("10.0.0.1:1", kStart));
  CHECK_FALSE(limit.begin("10.0.0.2:1", kStart));
  limit.ended("10.0.0.9:1");
  limit.ended("10.0.0.9:2");
  limit.ended("10.0.0.1:1");
  for (std::uint32_t i = 2; i < kLoginFreeTries; ++i) CHECK(wrong_try(limit, "10.0.0.9:4", kStart));
  CHECK_FALSE(wrong_try(limit, "10.0.0.9:4", kStart));
}

TEST_CASE("the right password ends the counting, and what is remembered has a bound") {
  LoginLimit limit;
  for (std::uint32_t i = 0; i + 1 < kLoginFreeTries; ++i) CHECK(wrong_try(limit, "10.0.0.1:1", kStart));
  REQUIRE(limit.begin("10.0.0.1:1", kStart));
  limit.right("10.0.0.1:1");
  limit.ended("10.0.0.1:1");
  CHECK(limit.peers() == 0);
  for (std::size_t i = 0; i < kLoginPeersMax + 100; ++i)
    CHECK(wrong_try(
        limit,
        "10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256) + ":1",
        kStart + Duration(static_cast<std::int64_t>(i))));
  CHECK(limit.peers() <= kLoginPeersMax);
}

TEST_CASE("an IPv6 network counts as one, whatever addresses it tries from") {
  CHECK(login_peer("10.1.2.3:80") == "10.1.2.3");
  CHECK(login_peer("[2001:db8:1:2::5]:80") == "2001:db8:1:2::");
  CHECK(login_peer("[2001:db8:1:2:ffff::9]:81") == "2001:db8:1:2::");
  CHECK(login_peer("[::ffff:10.1.2.3]:80") == "10.1.2.3");
  CHECK(login_peer("unix") == "unix");
}

}  // namespace berth::api
