#include <algorithm>
#include <array>

#include "base/text.h"
#include "wire/codec_support.h"
#include "wire/yaml.h"

namespace berth::wire {
namespace {

namespace json = boost::json;

// What readers of older YAML take for a boolean.
constexpr std::array<std::string_view, 8> kBooleans = {"true", "false", "yes", "no", "on", "off", "y", "n"};

bool needs_quotes(std::string_view text) {
  if (text != trim(text) || codec::is_null_text(text) || printable(text) != text) return true;
  const std::string lower = to_lower(text);
  if (std::find(kBooleans.begin(), kBooleans.end(), lower) != kBooleans.end()) return true;
  if (text.find_first_of(":#\n\r\t\"'{}[],&*!|<>%@`\\=") != std::string_view::npos) return true;
  const char c = text.front();
  return c == '-' || c == '?' || (c >= '0' && c <= '9') || c == '.' || c == '+';
}

std::string scalar_text(const json::value& v) {
  if (v.is_string() && !needs_quotes(v.get_string())) return std::string(v.get_string());
  return serialize_value(v);
}

/// `follows`: stands behind "- ", so that its first line is already indented.
void emit(std::string& out, const json::value& v, std::size_t indent, bool follows) {
  const auto* object = v.if_object();
  const auto* array = v.if_array();
  const bool empty = (object == nullptr || object->empty()) && (array == nullptr || array->empty());
  if (empty) {
    out += (follows ? "" : " ") + scalar_text(v) + "\n";
    return;
  }
  if (!follows) out += "\n";
  bool first = true;
  const auto begin_line = [&] {
    if (!(first && follows)) out += std::string(indent, ' ');
    first = false;
  };
  if (object != nullptr) {
    for (const auto& [key, item] : *object) {
      begin_line();
      out += scalar_text(json::value(key)) + ":";
      emit(out, item, indent + 2, false);
    }
    return;
  }
  for (const auto& item : *array) {
    begin_line();
    out += "- ";
    emit(out, item, indent + 2, true);
  }
}

}  // namespace

Result<std::string> json_to_yaml(std::string_view text) {
  TRY(const auto value, parse_value(text));
  std::string out;
  emit(out, value, 0, true);
  return out;
}

}  // namespace berth::wire
