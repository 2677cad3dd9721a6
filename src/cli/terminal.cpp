#include "cli/terminal.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace berth::cli {
namespace {

constexpr Marks kUtf8Marks{.yes = "✓", .no = "✗", .warn = "!", .unknown = "?", .skipped = "·", .dot = "·"};
constexpr Marks kAsciiMarks{.yes = "+", .no = "x", .warn = "!", .unknown = "?", .skipped = "-", .dot = "-"};

std::string_view code_of(Ink ink) {
  switch (ink) {
    case Ink::kPlain:
      return "";
    case Ink::kBold:
      return "\x1b[1m";
    case Ink::kDim:
      return "\x1b[2m";
    case Ink::kRed:
      return "\x1b[31m";
    case Ink::kGreen:
      return "\x1b[32m";
    case Ink::kYellow:
      return "\x1b[33m";
  }
  return "";
}

bool set(const Environment& e, const char* name) {
  const auto value = e.variable(name);
  return value && !value->empty();
}

bool wants_utf8(const Environment& e) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!set(e, name)) continue;
    const std::string value = to_lower(e.variable(name).value_or(""));
    return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

bool wants_colour(const Environment& e) {
  if (set(e, "NO_COLOR") || e.variable("TERM").value_or("") == "dumb") return false;
  const std::string force = e.variable("CLICOLOR_FORCE").value_or("");
  if (!force.empty() && force != "0") return true;
  return e.out_is_terminal && e.variable("CLICOLOR").value_or("") != "0";
}

bool wide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
         (c >= 0x1f300 && c <= 0x1faff);
}

/// Length of the UTF-8 sequence at `at`, and its code point.
std::size_t next(std::string_view text, std::size_t at, char32_t& out) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  const std::size_t end = std::min(text.size(), at + size);
  out = size == 1 ? first : first & (0xffU >> (size + 1));
  for (std::size_t i = at + 1; i < end; ++i) out = (out << 6) | (static_cast<unsigned char>(text[i]) & 0x3fU);
  return end - at;
}

}  // namespace

Terminal Terminal::of(const Environment& e) { return {wants_colour(e), wants_utf8(e)}; }

std::string Terminal::paint(Ink ink, std::string_view text) const {
  if (!colour_ || ink == Ink::kPlain || text.empty()) return std::string(text);
  return std::string(code_of(ink)) + std::string(text) + "\x1b[0m";
}

const Marks& Terminal::marks() const { return utf8_ ? kUtf8Marks : kAsciiMarks; }

std::string Terminal::plain(std::string text) const {
  if (utf8_) return text;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kPairs = {{{"×", "x"},
                                                                                     {"…", "..."},
                                                                                     {"–", "-"},
                                                                                     {"−", "-"},
                                                                                     {"≥", ">="},
                                                                                     {"≤", "<="},
                                                                                     {"→", "->"},
                                                                                     {"·", "*"},
                                                                                     {"Σ", "sum"},
                                                                                     {"⌈", ""}}};
  for (const auto& [from, to] : kPairs)
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  return text;
}

std::size_t columns(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\x1b') {
      const auto end = text.find('m', at);
      at = end == std::string_view::npos ? text.size() : end + 1;
      continue;
    }
    char32_t c = 0;
    at += next(text, at, c);
    count += wide(c) ? 2 : 1;
  }
  return count;
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t first, std::size_t others) {
  std::string out(first, ' ');
  std::size_t used = first;
  bool begun = false;
  for (const auto& word : split(text, ' ')) {
    const std::size_t size = columns(word);
    if (begun && used + 1 + size > width) {
      out += "\n" + std::string(others, ' ');
      used = others;
    } else if (begun) {
      out += ' ';
      ++used;
    }
    out += word;
    used += size;
    begun = true;
  }
  return out;
}

std::string Table::text(std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line(indent);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - columns(row[i]), ' ');
      const bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
      if (i > 0) line += "  ";
      line += right ? gap + row[i] : row[i] + gap;
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  return out;
}

std::vector<std::string> Table::first_cells() const {
  std::vector<std::string> out;
  for (std::size_t i = 1; i < rows_.size(); ++i)
    if (!rows_[i].empty()) out.push_back(rows_[i].front());
  return out;
}

}  // namespace berth::cli
