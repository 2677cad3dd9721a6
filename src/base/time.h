#pragma once
// Time enters the core as a value. Wall time is for display and for the records; timers of live code use their own
// monotonic clock in net.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

using Duration = std::chrono::milliseconds;
/// Milliseconds since the Unix epoch, UTC. On the wire RFC 3339: "2026-11-23T01:35:07.123Z".
using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;

std::string to_rfc3339(Time time);
std::optional<Time> parse_rfc3339(std::string_view text);
/// "3s", "5m", "2h10m", "4d": the largest two units, for AGE columns and sentences.
std::string human(Duration duration);

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const = 0;
};

/// For main only: everything below takes a Clock& or a Time.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Time now() const override;
};

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = Time{}) : now_(start) {}
  [[nodiscard]] Time now() const override { return now_; }
  void advance(Duration by) { now_ += by; }

 private:
  Time now_;
};

}  // namespace berth
