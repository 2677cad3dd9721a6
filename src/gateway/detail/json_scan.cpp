#include "gateway/detail/json_scan.h"

#include <array>
#include <charconv>
#include <cstring>
#include <fmt/format.h>

namespace berth::gateway {
namespace {

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Bytes that end the plain part of a string: quote, backslash, control characters.
constexpr std::array<bool, 256> make_stops() {
  std::array<bool, 256> stops{};
  for (std::size_t c = 0; c < 0x20; ++c) stops[c] = true;
  stops['"'] = true;
  stops['\\'] = true;
  return stops;
}
constexpr std::array<bool, 256> kStops = make_stops();

/// Walks the text once. Nesting is kept in a bit per level, so hostile depth costs no stack.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Result<void> object(const OnMember& on_member) {
    skip_space();
    if (!take('{')) return bad("an object was expected");
    skip_space();
    if (!take('}')) {
      for (;;) {
        TRY_VOID(member(on_member));
        skip_space();
        if (take('}')) break;
        if (!take(',')) return bad("',' or '}' was expected");
      }
    }
    skip_space();
    if (at_ != text_.size()) return bad("text after the end of the object");
    return {};
  }

 private:
  Result<void> member(const OnMember& on_member) {
    skip_space();
    TRY(const std::string_view quoted, string());
    std::string decoded;
    JsonMember out{.key = quoted.substr(1, quoted.size() - 2)};
    if (out.key.find('\\') != std::string_view::npos) {
      auto key = decode_string(quoted);
      if (!key) return bad("a key holds half of a surrogate pair");
      decoded = std::move(*key);
      out.key = decoded;
    }
    skip_space();
    if (!take(':')) return bad("':' was expected");
    skip_space();
    const std::size_t start = at_;
    TRY(out.kind, value());
    out.value = text_.substr(start, at_ - start);
    return on_member(out);
  }

  /// One value of any kind with all that is in it.
  Result<JsonKind> value() {
    const JsonKind kind = kind_here();
    if (kind != JsonKind::kObject && kind != JsonKind::kArray) {
      TRY_VOID(scalar());
      return kind;
    }
    std::array<bool, kJsonDepthMax> in_object{};
    std::size_t depth = 0;
    bool fresh = false;  // just behind an opening bracket
    for (;;) {
      // Here a value is to come, or the end of an empty container.
      skip_space();
      if (fresh && take(in_object[depth - 1] ? '}' : ']')) {
        --depth;
      } else {
        if (depth > 0 && in_object[depth - 1]) TRY_VOID(key());
        const bool object = peek() == '{';
        if (object || peek() == '[') {
          // Level 1 is the object whose members are shown.
          if (depth + 1 >= kJsonDepthMax) return bad("nested too deep");
          ++at_;
          in_object[depth++] = object;
          fresh = true;
          continue;
        }
        TRY_VOID(scalar());
      }
      fresh = false;
      for (; depth > 0; --depth) {
        skip_space();
        if (take(',')) break;
        if (!take(in_object[depth - 1] ? '}' : ']')) return bad("',' or a closing bracket was expected");
      }
      if (depth == 0) return kind;
    }
  }

  Result<void> key() {
    skip_space();
    TRY_VOID(string());
    skip_space();
    if (!take(':')) return bad("':' was expected");
    skip_space();
    return {};
  }

  [[nodiscard]] JsonKind kind_here() const {
    switch (peek()) {
      case '{':
        return JsonKind::kObject;
      case '[':
        return JsonKind::kArray;
      case '"':
        return JsonKind::kString;
      case 't':
        return JsonKind::kTrue;
      case 'f':
        return JsonKind::kFalse;
      case 'n':
        return JsonKind::kNull;
      default:
        return JsonKind::kNumber;
    }
  }

  Result<void> scalar() {
    switch (peek()) {
      case '"': {
        TRY_VOID(string());
        return {};
      }
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  Result<void> word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return bad("a value was expected");
    at_ += expected.size();
    return {};
  }

  Result<void> number() {
    take('-');
    if (!is_digit(peek())) return bad("a value was expected");
    if (!take('0')) digits();
    if (take('.')) {
      if (!is_digit(peek())) return bad("a digit was expected");
      digits();
    }
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!is_digit(peek())) return bad("a digit was expected");
      digits();
    }
    return {};
  }

  void digits() {
    while (is_digit(peek())) ++at_;
  }

  /// With its quotes.
  Result<std::string_view> string() {
    const std::size_t start = at_;
    if (!take('"')) return bad("a string was expected");
    for (;;) {
      while (at_ < text_.size() && !kStops[static_cast<unsigned char>(text_[at_])]) ++at_;
      if (at_ == text_.size()) return bad("a string does not end");
      const char c = text_[at_];
      if (c == '"') break;
      if (c != '\\') return bad("a control character in a string");
      ++at_;
      TRY_VOID(escape());
    }
    ++at_;
    return text_.substr(start, at_ - start);
  }

  Result<void> escape() {
    const char c = peek();
    if (c == 'u') {
      for (std::size_t i = 1; i <= 4; ++i) {
        if (at_ + i >= text_.size() || hex_digit(text_[at_ + i]) < 0) return bad("a bad \\u escape");
      }
      at_ += 5;
      return {};
    }
    if (c == '\0' || std::strchr("\"\\/bfnrt", c) == nullptr) return bad("an unknown escape");
    ++at_;
    return {};
  }

  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] Error bad(const char* what) const { return invalid(fmt::format("{} at byte {}", what, at_)); }

  std::string_view text_;
  std::size_t at_ = 0;
};

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&out](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | (code >> 6));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

/// The four digits behind "\u".
std::optional<unsigned> hex4(std::string_view text) {
  if (text.size() < 4) return std::nullopt;
  unsigned code = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const int digit = hex_digit(text[i]);
    if (digit < 0) return std::nullopt;
    code = code * 16 + static_cast<unsigned>(digit);
  }
  return code;
}

/// Resolves "\uXXXX", a pair when it begins one; `text` begins behind "\u" and is moved on.
bool take_unicode(std::string_view& text, std::string& out) {
  const auto first = hex4(text);
  if (!first || (*first >= 0xDC00 && *first < 0xE000)) return false;
  text.remove_prefix(4);
  if (*first < 0xD800 || *first >= 0xE000) {
    append_utf8(out, *first);
    return true;
  }
  if (!text.starts_with("\\u")) return false;
  const auto second = hex4(text.substr(2));
  if (!second || *second < 0xDC00 || *second >= 0xE000) return false;
  text.remove_prefix(6);
  append_utf8(out, 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00));
  return true;
}

}  // namespace

Result<void> scan_object(std::string_view text, const OnMember& on_member) { return Scanner(text).object(on_member); }

std::optional<std::string> decode_string(std::string_view quoted) {
  if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') return std::nullopt;
  std::string_view rest = quoted.substr(1, quoted.size() - 2);
  std::string out;
  while (!rest.empty()) {
    const std::size_t plain = rest.find('\\');
    out.append(rest.substr(0, plain));
    if (plain == std::string_view::npos) break;
    rest.remove_prefix(plain + 1);
    if (rest.empty()) return std::nullopt;
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == 'u') {
      if (!take_unicode(rest, out)) return std::nullopt;
      continue;
    }
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const std::size_t index = kNames.find(c);
    if (index == std::string_view::npos) return std::nullopt;
    out.push_back(kMeanings[index]);
  }
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

std::optional<std::uint64_t> json_count(std::string_view number) {
  constexpr std::uint64_t kMax = 1ULL << 53;
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), out);
  if (error != std::errc() || end != number.data() + number.size() || out > kMax) return std::nullopt;
  return out;
}

}  // namespace berth::gateway
