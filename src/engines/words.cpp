#include "engines/detail/words.h"

#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"
#include "engines/flags.h"

namespace berth::engines::detail {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t'; }
bool is_quote(char c) { return c == '\'' || c == '"'; }
bool ends_at(std::string_view line, std::size_t i) { return i >= line.size() || is_space(line[i]); }

// The text between the quote at `i` and its partner, the first one that ends a word; `i` moves behind it.
Result<std::string> take_quoted(std::string_view line, std::size_t& i) {
  const char quote = line[i];
  for (std::size_t end = i + 1; end < line.size(); ++end) {
    if (line[end] != quote || !ends_at(line, end + 1)) continue;
    std::string text(line.substr(i + 1, end - i - 1));
    i = end + 1;
    return text;
  }
  return invalid(fmt::format("flags: a {} is not closed in: {}", quote, line));
}

// A quote counts at the start of a word and after its first '=', so that JSON values keep theirs.
Result<void> split_line(std::string_view line, std::vector<Word>& out) {
  std::size_t i = 0;
  while (true) {
    while (i < line.size() && is_space(line[i])) ++i;
    if (i == line.size()) return {};
    Word word;
    if (is_quote(line[i])) {
      TRY(word.text, take_quoted(line, i));
      word.quoted = true;
      out.push_back(std::move(word));
      continue;
    }
    bool valued = false;
    while (!ends_at(line, i)) {
      const char c = line[i++];
      word.text += c;
      if (c != '=' || valued) continue;
      valued = true;
      if (i == line.size() || !is_quote(line[i])) continue;
      TRY(const std::string value, take_quoted(line, i));
      word.text += value;
    }
    out.push_back(std::move(word));
  }
}

}  // namespace

bool is_number(std::string_view text) {
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() && std::isfinite(value);
}

bool is_unprintable(std::string_view text) {
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if ((u < 0x20 && c != '\t') || u == 0x7F) return true;
  }
  return !is_utf8(text);
}

std::string quoted(std::string_view value) {
  const bool plain = value.find_first_of(" \t") == std::string_view::npos && (value.empty() || !is_quote(value[0]));
  if (plain) return std::string(value);
  const bool has_end = value.find("' ") != std::string_view::npos || value.find("'\t") != std::string_view::npos;
  const char quote = has_end ? '"' : '\'';
  return fmt::format("{}{}{}", quote, value, quote);
}

Result<std::vector<Word>> words_of(const std::vector<std::string>& entries) {
  if (entries.size() > kFlagEntriesMax)
    return fail(Code::kTooLarge, fmt::format("flags has {} entries, at most {}", entries.size(), kFlagEntriesMax));
  std::size_t bytes = 0;
  std::vector<Word> out;
  for (const auto& entry : entries) {
    bytes += entry.size();
    if (bytes > kFlagBytesMax)
      return fail(Code::kTooLarge, fmt::format("flags have more than {} bytes together", kFlagBytesMax));
    if (is_unprintable(entry))
      return invalid(
          fmt::format("flags: \"{}\" has a line break, another control character or bad UTF-8", printable(entry)));
    const std::string_view line = trim(entry);
    if (line.empty() || line[0] != '-') {
      out.push_back(Word{.text = entry, .whole = true});
      continue;
    }
    TRY_VOID(split_line(line, out));
  }
  return out;
}

}  // namespace berth::engines::detail
