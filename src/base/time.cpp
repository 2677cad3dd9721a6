#include "base/time.h"

#include <charconv>
#include <fmt/format.h>

namespace berth {
namespace {

bool digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  if (text.size() < at + count) return false;
  const char* first = text.data() + at;
  const auto [end, ec] = std::from_chars(first, first + count, out);
  return ec == std::errc() && end == first + count && *first != '-';
}

bool char_at(std::string_view text, std::size_t at, char c) { return at < text.size() && text[at] == c; }

}  // namespace

std::string to_rfc3339(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                     static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()),
                     clock.hours().count(),
                     clock.minutes().count(),
                     clock.seconds().count(),
                     clock.subseconds().count());
}

std::optional<Time> parse_rfc3339(std::string_view text) {
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, ms = 0;
  const bool shape = digits(text, 0, 4, y) && char_at(text, 4, '-') && digits(text, 5, 2, mo) &&
                     char_at(text, 7, '-') && digits(text, 8, 2, d) && char_at(text, 10, 'T') &&
                     digits(text, 11, 2, h) && char_at(text, 13, ':') && digits(text, 14, 2, mi) &&
                     char_at(text, 16, ':') && digits(text, 17, 2, s);
  if (!shape) return std::nullopt;
  std::size_t at = 19;
  if (char_at(text, at, '.')) {
    ++at;
    int scale = 100;
    const std::size_t first = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      ms += (text[at] - '0') * scale;
      scale /= 10;
      ++at;
    }
    if (at == first) return std::nullopt;
  }
  if (at + 1 != text.size() || text[at] != 'Z') return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year(y), std::chrono::month(static_cast<unsigned>(mo)), std::chrono::day(static_cast<unsigned>(d))};
  if (!date.ok() || h > 23 || mi > 59 || s > 60) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(h) + std::chrono::minutes(mi) +
         std::chrono::seconds(s) + Duration(ms);
}

std::string human(Duration duration) {
  const auto s = duration.count() / 1000;
  if (s < 0) return "0s";
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return s % 60 == 0 || s >= 600 ? fmt::format("{}m", s / 60) : fmt::format("{}m{}s", s / 60, s % 60);
  if (s < 86400) return s / 60 % 60 == 0 ? fmt::format("{}h", s / 3600) : fmt::format("{}h{}m", s / 3600, s / 60 % 60);
  return fmt::format("{}d", s / 86400);
}

Time SystemClock::now() const { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

}  // namespace berth
