#include "metadata/detail/gguf_keys.h"

#include <algorithm>
#include <fmt/format.h>

#include "base/text.h"

namespace berth::metadata::detail {

namespace {

std::string_view type_text(const GgufValue& value) {
  constexpr std::string_view kNames[] = {
      "an integer", "a negative integer", "a float", "a bool", "a text", "a long text", "an array"};
  return kNames[value.index()];
}

Error wrong_type(const std::string& key, std::string_view wanted, const GgufValue& value) {
  return invalid(fmt::format("{} must be {}, is {}", printable(key), wanted, type_text(value)));
}

Result<std::uint32_t> checked(const std::string& key, std::uint64_t value, std::uint32_t max) {
  if (value > max) return invalid(fmt::format("{} is {}, must be from 0 to {}", printable(key), value, max));
  return static_cast<std::uint32_t>(value);
}

}  // namespace

std::string GgufKeys::full(std::string_view key) const {
  return prefix_.empty() ? std::string(key) : fmt::format("{}.{}", prefix_, key);
}

const GgufValue* GgufKeys::find(std::string_view key) const {
  const auto found = file_.metadata.find(full(key));
  return found == file_.metadata.end() ? nullptr : &found->second;
}

Result<std::optional<std::uint32_t>> GgufKeys::number(std::string_view key, std::uint32_t max) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::uint32_t>();
  const auto* integer = std::get_if<std::uint64_t>(value);
  if (integer == nullptr) return wrong_type(full(key), "an integer", *value);
  TRY(const std::uint32_t number, checked(full(key), *integer, max));
  return std::optional(number);
}

Result<std::optional<std::uint32_t>> GgufKeys::largest(std::string_view key, std::uint32_t max) const {
  const GgufValue* value = find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  if (array == nullptr) return number(key, max);
  if (array->values.empty()) return std::optional<std::uint32_t>();
  TRY(const std::uint32_t most, checked(full(key), *std::ranges::max_element(array->values), max));
  return std::optional(most);
}

Result<std::vector<std::uint32_t>> GgufKeys::per_layer(std::string_view key,
                                                       std::uint32_t layers,
                                                       std::uint32_t max) const {
  const GgufValue* value = find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  if (array == nullptr) {
    TRY(const auto same, number(key, max));
    if (!same) return std::vector<std::uint32_t>();
    return std::vector<std::uint32_t>(layers, *same);
  }
  if (array->count != layers || array->values.size() != layers) {
    return invalid(fmt::format(
        "{} has {} elements, must have {} integers, one for each layer", printable(full(key)), array->count, layers));
  }
  std::vector<std::uint32_t> numbers;
  for (const std::uint64_t element : array->values) {
    TRY(const std::uint32_t number, checked(full(key), element, max));
    numbers.push_back(number);
  }
  return numbers;
}

Result<std::optional<bool>> GgufKeys::flag(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  const auto* flag = std::get_if<bool>(value);
  if (flag == nullptr) return wrong_type(full(key), "a bool", *value);
  return std::optional(*flag);
}

Result<std::optional<std::string>> GgufKeys::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  const auto* text = std::get_if<std::string>(value);
  if (text == nullptr) return wrong_type(full(key), "a text", *value);
  return std::optional(*text);
}

std::optional<std::uint64_t> GgufKeys::array_length(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  if (array == nullptr) return std::nullopt;
  return array->count;
}

}  // namespace berth::metadata::detail
