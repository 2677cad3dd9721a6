#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <doctest/doctest.h>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "sim/world.h"

namespace berth::sim {
namespace {

// An optimised build runs about ten seeds a second on two cores; others would take minutes for as many.
#if defined(__OPTIMIZE__) && !defined(BERTH_SANITIZED)
constexpr std::uint64_t kSeeds = 200;
#else
constexpr std::uint64_t kSeeds = 15;
#endif
constexpr unsigned kThreadsMax = 8;

/// BERTH_SIM_SEEDS asks for more or fewer, BERTH_SIM_SEED for one alone.
std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : parse_u64(text).value_or(otherwise);
}

struct Outcome {
  std::string violation;
  std::uint64_t placed = 0;
  std::uint64_t ready = 0;
};

Outcome run_one(std::uint64_t seed) {
  try {
    const auto report = run_sim({.seed = seed});
    if (!report) return {.violation = report.error().message};
    return {.violation = report->ok() ? "" : report->text(), .placed = report->placed, .ready = report->ready_at_end};
  } catch (const std::exception& e) {
    return {.violation = "seed " + std::to_string(seed) + " ended in an exception: " + e.what()};
  }
}

/// Outcomes of the seeds from..to by seed; each is a world of its own.
std::vector<Outcome> run_all(std::uint64_t from, std::uint64_t to) {
  std::vector<Outcome> out(to - from + 1);
  std::atomic<std::uint64_t> next = from;
  std::vector<std::thread> threads;
  const auto work = [&] {
    for (auto seed = next++; seed <= to; seed = next++) out[seed - from] = run_one(seed);
  };
  for (unsigned n = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax); n > 0; --n)
    threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  return out;
}

}  // namespace

TEST_CASE("under faults every check holds, and afterwards everything wanted is ready or explained") {
  const std::uint64_t only = number_of("BERTH_SIM_SEED", 0);
  const std::uint64_t from = only > 0 ? only : 1;
  const std::uint64_t to = only > 0 ? only : std::max<std::uint64_t>(number_of("BERTH_SIM_SEEDS", kSeeds), 1);
  MESSAGE("seeds ", from, " to ", to, "; BERTH_SIM_SEED=N runs one of them, BERTH_SIM_SEEDS=N the first N");
  std::uint64_t placed = 0;
  std::uint64_t ready = 0;
  std::string failed;
  std::uint64_t seed = from - 1;
  for (const auto& outcome : run_all(from, to)) {
    ++seed;
    placed += outcome.placed;
    ready += outcome.ready;
    if (outcome.violation.empty()) continue;
    CHECK_MESSAGE(!failed.empty(), outcome.violation);  // one log is enough to read
    failed += " " + std::to_string(seed);
  }
  CHECK_MESSAGE(failed.empty(), "seeds that failed:", failed);
  if (only > 0) return;
  // Worlds in which nothing happens prove nothing.
  CHECK(placed > 4 * (to - from + 1));
  CHECK(ready > (to - from + 1));
}

TEST_CASE("the same seed gives the same log, another seed another") {
  const auto one = run_sim({.seed = 7, .minutes = 1, .heal_minutes = 1});
  const auto again = run_sim({.seed = 7, .minutes = 1, .heal_minutes = 1});
  const auto other = run_sim({.seed = 8, .minutes = 1, .heal_minutes = 1});
  REQUIRE(one.has_value());
  REQUIRE(again.has_value());
  REQUIRE(other.has_value());
  CHECK(one->log.size() > 20);
  CHECK(one->text() == again->text());
  CHECK(one->text() != other->text());
}

TEST_CASE("options out of range are refused with the range") {
  const auto none = run_sim({.seed = 1, .workers = 0});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().message == "workers is 0, must be from 1 to 100");
  CHECK_FALSE(run_sim({.seed = 1, .minutes = 0}).has_value());
}

}  // namespace berth::sim
