#include "api/auth.h"

#include <chrono>
#include <condition_variable>
#include <doctest/doctest.h>
#include <future>
#include <mutex>
#include <thread>

#include "store/faulty.h"
#include "store/memory/memory_store.h"

namespace berth::api {
namespace {

struct Keys {
  store::Faulty store{store::make_memory_store()};
  ManualClock clock{Time{Duration{1'700'000'000'000}}};
  Auth auth{store, std::string(32, 'k'), clock};
  Keys() { REQUIRE(auth.load().has_value()); }
  [[nodiscard]] std::size_t stored() {
    const auto all = store.read_state({"api_key"});
    REQUIRE(all.has_value());
    return all->objects.size();
  }
};

const std::vector<std::string> kInference{std::string(kScopeInference)};

}  // namespace

TEST_CASE("a request's key is checked while another key waits for the disk") {
  Keys k;
  const auto known = k.auth.create("known", kInference, std::nullopt);
  REQUIRE(known.has_value());
  std::mutex mutex;
  std::condition_variable changed;
  bool writing = false, answer = false;
  k.store.fault = [&](const store::Batch&) {
    std::unique_lock lock(mutex);
    writing = true;
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return answer; });
    return store::Fault::kNone;
  };
  std::thread writer([&] { CHECK(k.auth.create("more", kInference, std::nullopt).has_value()); });
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return writing; }));
  }
  auto asked = std::async(std::launch::async, [&] { return k.auth.check(known->key).has_value(); });
  const bool came = asked.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  {
    const std::scoped_lock lock(mutex);
    answer = true;
  }
  changed.notify_all();
  writer.join();
  CHECK(came);
  CHECK(asked.get());
}

TEST_CASE("a key whose removal was not confirmed can be revoked, and one whose making was not confirmed too") {
  Keys k;
  const auto key = k.auth.create("lost", kInference, std::nullopt);
  REQUIRE(key.has_value());
  k.store.fault = [](const store::Batch&) { return store::Fault::kUnconfirmed; };
  CHECK_FALSE(k.auth.revoke("lost").has_value());
  k.store.fault = nullptr;
  CHECK(k.auth.revoke("lost").has_value());
  CHECK_FALSE(k.auth.check(key->key).has_value());
  CHECK(k.auth.revoke("lost").error().code == Code::kNotFound);
  k.store.fault = [](const store::Batch&) { return store::Fault::kUnconfirmed; };
  CHECK_FALSE(k.auth.create("again", kInference, std::nullopt).has_value());
  k.store.fault = nullptr;
  CHECK(k.auth.revoke("again").has_value());
  CHECK(k.stored() == 0);
}

TEST_CASE("keys that expired go when others come") {
  Keys k;
  for (int i = 0; i < 5; ++i) REQUIRE(k.auth.create("login-" + std::to_string(i), kInference, Duration{1000}));
  k.clock.advance(Duration{1000});
  const auto lasting = k.auth.create("lasting", kInference, std::nullopt);
  REQUIRE(lasting.has_value());
  CHECK(k.stored() == 1);
  CHECK(k.auth.list().size() == 1);
  CHECK(k.auth.check(lasting->key).has_value());
}

}  // namespace berth::api
