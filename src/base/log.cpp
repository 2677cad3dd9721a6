#include "base/log.h"

#include <array>
#include <cstdio>

#include "base/text.h"
#include "base/time.h"

namespace berth::log {
namespace {

Level minimum_level = Level::kError;
Sink the_sink;  // NOLINT: see the header

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warn", "error"};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

bool plain(std::string_view text) {
  return !text.empty() && text.find_first_of(" \"=\\") == std::string_view::npos && printable(text) == text;
}

}  // namespace

void set_sink(Level minimum, Sink sink) {
  minimum_level = minimum;
  the_sink = std::move(sink);
}

Sink stderr_sink(bool json) {
  return [json](Level level, std::string_view text, std::initializer_list<Field> fields) {
    const auto name = kLevelNames[static_cast<std::size_t>(level)];
    const auto now = to_rfc3339(SystemClock().now());
    std::string line;
    if (json) {
      line = fmt::format(R"({{"ts":"{}","level":"{}","msg":{})", now, name, quoted(text));
      for (const auto& f : fields) line += fmt::format(",{}:{}", quoted(f.key), quoted(f.value));
      line += "}\n";
    } else {
      line = fmt::format("{} {:5} {}", now, name, text);
      for (const auto& f : fields) line += fmt::format(" {}={}", f.key, plain(f.value) ? f.value : quoted(f.value));
      line += '\n';
    }
    std::fwrite(line.data(), 1, line.size(), stderr);
  };
}

void write(Level level, std::string_view text, std::initializer_list<Field> fields) {
  if (level < minimum_level || !the_sink) return;
  the_sink(level, text, fields);
}

}  // namespace berth::log
