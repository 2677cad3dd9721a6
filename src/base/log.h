#pragma once
// Log lines: constant text + key=value, one event per fact (STYLE §7). The sink is the only global of the project.

#include <fmt/format.h>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace berth::log {

enum class Level { kDebug, kInfo, kWarn, kError };

struct Field {
  std::string_view key;
  std::string value;
};

template <class T>
Field kv(std::string_view key, const T& value) {
  return Field{key, fmt::format("{}", value)};
}

/// Receives every record at or above the level; must be thread-safe. Set once by main before threads start.
using Sink = std::function<void(Level, std::string_view text, std::initializer_list<Field>)>;
void set_sink(Level minimum, Sink sink);
/// Writes `ts level text key=value …` to stderr, or one JSON object a line. Control characters are escaped.
Sink stderr_sink(bool json);

void write(Level level, std::string_view text, std::initializer_list<Field> fields);
inline void debug(std::string_view text, std::initializer_list<Field> f = {}) { write(Level::kDebug, text, f); }
inline void info(std::string_view text, std::initializer_list<Field> f = {}) { write(Level::kInfo, text, f); }
inline void warn(std::string_view text, std::initializer_list<Field> f = {}) { write(Level::kWarn, text, f); }
inline void error(std::string_view text, std::initializer_list<Field> f = {}) { write(Level::kError, text, f); }

}  // namespace berth::log
