#include "wire/codec_support.h"

#include <cmath>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::wire::codec {
namespace {

constexpr std::size_t kShownMax = 60;

/// Printable and short; never cut inside a character.
std::string shortened(std::string_view text) {
  if (text.size() <= kShownMax) return printable(text);
  std::size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return printable(text.substr(0, end)) + "…";
}

std::string shown(const json::value& v) {
  if (v.is_object()) return "an object";
  if (v.is_array()) return "a list";
  if (v.is_string()) return "\"" + shortened(v.get_string()) + "\"";
  return serialize_value(v);
}

}  // namespace

std::string step_text(std::string_view member) { return "." + shortened(member); }
std::string step_text(std::size_t index) { return fmt::format("[{}]", index); }

std::string Path::text() const {
  if (parent == nullptr) return std::string(key);
  return parent->text() + (item ? step_text(position) : step_text(key));
}

Error wrong(const Path& path, std::string_view what, const json::value& got) {
  return invalid(fmt::format("{} must be {}, got {}", path.text(), what, shown(got)));
}

Error unknown_key(const Path& path, std::string_view key, const std::vector<std::string>& allowed) {
  // The distance is quadratic in the length: no name of ours is longer than this.
  const auto near = key.size() <= kShownMax ? nearest(key, allowed) : std::nullopt;
  return invalid(
      fmt::format("{} is not known{}",
                  path.below(key).text(),
                  near ? fmt::format("; did you mean \"{}\"?", *near) : "; allowed: " + join(allowed, ", ")));
}

Error missing_key(const Path& path, std::string_view key) {
  return invalid(fmt::format("{} is missing", path.below(key).text()));
}

Result<void> check_required(const json::object& object, const FieldRules& rules, const Path& path) {
  for (const auto name : rules.required)
    if (!name.empty() && !object.contains(name)) return missing_key(path, name);
  return {};
}

std::string snake(std::string_view name) {
  std::string out;
  if (name.size() > 1 && name.front() == 'k') name.remove_prefix(1);
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      if (!out.empty()) out += '_';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

bool is_null_text(std::string_view text) {
  return text.empty() || text == "null" || text == "~" || text == "Null" || text == "NULL";
}

json::value plain_number_or_bool(const std::string& text) {
  const auto parsed = parse_value(text);
  if (!parsed || !(parsed->is_number() || parsed->is_bool())) return json::value(text);
  return parsed->is_double() && !std::isfinite(parsed->get_double()) ? json::value(text) : *parsed;
}

json::value resolved(const json::value& spelled) {
  if (const auto* array = spelled.if_array()) {
    json::array out;
    for (const auto& item : *array) out.push_back(resolved(item));
    return out;
  }
  if (const auto* object = spelled.if_object()) {
    json::object out;
    for (const auto& [key, item] : *object) out.emplace(key, resolved(item));
    return out;
  }
  if (!spelled.is_string()) return spelled;
  const std::string_view text(spelled.get_string());
  const std::string body(text.substr(1));
  if (text.front() == kQuoted) return json::value(body);
  return is_null_text(body) ? json::value(nullptr) : plain_number_or_bool(body);
}

Result<void> decode_signed(
    std::int64_t& out, const json::value& v, const Path& path, std::int64_t least, std::int64_t most) {
  const auto* i = v.if_int64();
  if (i == nullptr || *i < least || *i > most)
    return wrong(path, fmt::format("an integer from {} to {}", least, most), v);
  out = *i;
  return {};
}

Result<void> decode_unsigned(std::uint64_t& out, const json::value& v, const Path& path, std::uint64_t most) {
  const auto* i = v.if_int64();
  const bool negative = i != nullptr && *i < 0;
  if (negative || !(v.is_int64() || v.is_uint64()) || v.to_number<std::uint64_t>() > most)
    return wrong(path, fmt::format("an integer from 0 to {}", most), v);
  out = v.to_number<std::uint64_t>();
  return {};
}

Result<void> decode_bytes(Bytes& out, const json::value& v, const Path& path, Strictness strict) {
  if (strict == Strictness::kStrict && v.is_string()) {
    auto parsed = parse_bytes(std::string_view(v.get_string()));
    if (!parsed || parsed->value > kExactMax)
      return wrong(path, fmt::format("a size up to {}, as a number or like 24GiB", kExactMax), v);
    out = *parsed;
    return {};
  }
  std::uint64_t value = 0;
  TRY_VOID(decode_unsigned(value, v, path, kExactMax));
  out = value;
  return {};
}

}  // namespace berth::wire::codec
