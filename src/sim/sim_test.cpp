#include <cstdlib>
#include <doctest/doctest.h>

#include "base/text.h"
#include "sim/world.h"

namespace berth::sim {
namespace {

// An optimised build runs about fifteen seeds a second on one core; others would take minutes for as many.
#if defined(__OPTIMIZE__) && !defined(BERTH_SANITIZED)
constexpr std::uint64_t kSeeds = 250;
#else
constexpr std::uint64_t kSeeds = 15;
#endif

/// BERTH_SIM_SEEDS asks for more or fewer, BERTH_SIM_SEED for one alone.
std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : parse_u64(text).value_or(otherwise);
}

}  // namespace

TEST_CASE("under faults every check holds, and afterwards everything wanted is ready or explained") {
  const std::uint64_t only = number_of("BERTH_SIM_SEED", 0);
  const std::uint64_t from = only > 0 ? only : 1;
  const std::uint64_t to = only > 0 ? only : number_of("BERTH_SIM_SEEDS", kSeeds);
  MESSAGE("seeds ", from, " to ", to, "; BERTH_SIM_SEED=N runs one of them, BERTH_SIM_SEEDS=N the first N");
  std::uint64_t placed = 0;
  std::uint64_t ready = 0;
  for (std::uint64_t seed = from; seed <= to; ++seed) {
    const auto report = run_sim({.seed = seed});
    REQUIRE(report.has_value());
    CHECK_MESSAGE(report->ok(), report->text());
    if (!report->ok()) break;  // one log is enough to read
    placed += report->placed;
    ready += report->ready_at_end;
  }
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
