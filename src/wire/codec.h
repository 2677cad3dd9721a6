#pragma once
// The codec template. Heavy: include it only in the .cpp files that instantiate types with BERTH_WIRE(T).

#include <boost/describe.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/describe.h"
#include "base/text.h"
#include "base/time.h"
#include "wire/codec_support.h"
#include "wire/json_value.h"
#include "wire/yaml.h"

namespace berth::wire::codec {

template <class T>
constexpr bool kDescribed = boost::describe::has_describe_members<T>::value;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

template <class T>
constexpr bool within_exact(T value) {
  if constexpr (std::is_signed_v<T>)
    if (value < 0) return static_cast<std::int64_t>(value) >= -static_cast<std::int64_t>(kExactMax);
  return static_cast<std::uint64_t>(value) <= kExactMax;
}

template <class T>
json::value encode(const T& value);
template <class T>
Result<void> decode(T& out, const json::value& v, const Path& path, Strictness strict);

template <class T>
json::value encode_struct(const T& value) {
  json::object out;
  boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) {
    const auto& field = value.*member.pointer;
    if constexpr (IsOptional<std::remove_cvref_t<decltype(field)>>::value) {
      if (!field) return;
      out.emplace(member.name, encode(*field));
    } else {
      out.emplace(member.name, encode(field));
    }
  });
  return out;
}

template <class T>
json::value encode(const T& value) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    return json::value(value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return json::value(std::min(value.value, kExactMax));  // saturated sizes stay "more than anybody has"
  } else if constexpr (std::is_same_v<T, Time>) {
    return json::value(to_rfc3339(value));
  } else if constexpr (std::is_same_v<T, RawJson>) {
    auto parsed = parse_value(value.text);
    return parsed ? *parsed : json::value(nullptr);
  } else if constexpr (std::is_enum_v<T>) {
    return json::value(snake(boost::describe::enum_to_string(value, "k")));
  } else if constexpr (std::is_integral_v<T>) {
    ASSERT(within_exact(value));
    return json::value(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    ASSERT(std::isfinite(value));
    return json::value(value);
  } else if constexpr (IsVector<T>::value || std::is_same_v<T, std::set<std::string>>) {
    json::array out;
    for (const auto& item : value) out.push_back(encode(item));
    return out;
  } else if constexpr (IsMap<T>::value) {
    json::object out;
    for (const auto& [key, item] : value) out.emplace(key, encode(item));
    return out;
  } else {
    static_assert(kDescribed<T>, "the type needs DESCRIBE");
    return encode_struct(value);
  }
}

template <class T>
Result<void> decode_integer(T& out, const json::value& v, const Path& path) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_signed_v<T>) {
    constexpr auto kExact = static_cast<std::int64_t>(kExactMax);
    std::int64_t value = 0;
    TRY_VOID(decode_signed(
        value, v, path, std::max<std::int64_t>(Limits::min(), -kExact), std::min<std::int64_t>(Limits::max(), kExact)));
    out = static_cast<T>(value);
  } else {
    std::uint64_t value = 0;
    TRY_VOID(decode_unsigned(value, v, path, std::min<std::uint64_t>(Limits::max(), kExactMax)));
    out = static_cast<T>(value);
  }
  return {};
}

template <class E>
Result<void> decode_enum(E& out, const json::value& v, const Path& path) {
  std::vector<std::string> names;
  bool found = false;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto e) {
    names.push_back(snake(e.name));
    if (found || !v.is_string() || names.back() != std::string_view(v.get_string())) return;
    out = e.value;
    found = true;
  });
  if (found) return {};
  return wrong(path, "one of " + join(names, ", "), v);
}

template <class T>
constexpr bool names_exist(const FieldRules& rules) {
  return std::all_of(rules.required.begin(), rules.required.end(), [](std::string_view name) {
    bool found = name.empty();
    boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) { found = found || name == member.name; });
    return found;
  });
}

template <class T>
Result<void> decode_struct(T& out, const json::value& v, const Path& path, Strictness strict) {
  constexpr FieldRules kRules = rules_of<T>();
  static_assert(names_exist<T>(kRules), "field_rules names a member that does not exist");
  const auto* object = v.if_object();
  if (object == nullptr) return wrong(path, "an object", v);
  std::optional<Error> error;
  std::size_t known = 0;
  boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) {
    const auto at = object->find(member.name);
    if (at == object->end()) return;
    ++known;
    if (error) return;
    if (auto done = decode(out.*member.pointer, at->value(), path.below(std::string_view(member.name)), strict); !done)
      error = std::move(done).error();
  });
  if (error) return std::move(*error);
  if (strict == Strictness::kLenient) return {};
  if (known < object->size()) {
    std::vector<std::string> names;
    boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) { names.emplace_back(member.name); });
    for (const auto& [key, item] : *object)
      if (std::find(names.begin(), names.end(), std::string_view(key)) == names.end())
        return unknown_key(path, key, names);
  }
  return check_required(*object, kRules, path);
}

template <class T>
Result<void> decode_list(std::vector<T>& out, const json::value& v, const Path& path, Strictness strict) {
  const auto* array = v.if_array();
  if (array == nullptr) return wrong(path, "a list", v);
  out.clear();
  for (std::size_t i = 0; i < array->size(); ++i) {
    T item{};
    TRY_VOID(decode(item, (*array)[i], path.below(i), strict));
    out.push_back(std::move(item));
  }
  return {};
}

/// A text of a spelled document; `path` no longer says so.
template <class T>
Result<void> decode_spelled(T& out, std::string_view spelled, const Path& path, Strictness strict) {
  const std::string text(spelled.substr(1));
  const bool plain = spelled.front() == kPlain;
  if constexpr (IsOptional<T>::value) {
    if (plain && is_null_text(text)) {
      out.reset();
      return {};
    }
    typename T::value_type item{};
    TRY_VOID(decode_spelled(item, spelled, path, strict));
    out = std::move(item);
    return {};
  } else {
    constexpr bool kNumber = std::is_arithmetic_v<T> || std::is_same_v<T, Bytes> || std::is_same_v<T, RawJson>;
    return decode(out, kNumber && plain ? plain_number_or_bool(text) : json::value(text), path, strict);
  }
}

template <class T>
Result<void> decode(T& out, const json::value& v, const Path& path, Strictness strict) {
  if (path.spelled && v.is_string()) return decode_spelled(out, v.get_string(), path.unwrapped(), strict);
  if constexpr (IsOptional<T>::value) {
    if (v.is_null()) {
      out.reset();
      return {};
    }
    typename T::value_type item{};
    TRY_VOID(decode(item, v, path, strict));
    out = std::move(item);
    return {};
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!v.is_bool()) return wrong(path, "true or false", v);
    out = v.get_bool();
    return {};
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return decode_bytes(out, v, path, strict);
  } else if constexpr (std::is_same_v<T, Time>) {
    const auto time = v.is_string() ? parse_rfc3339(std::string_view(v.get_string())) : std::nullopt;
    if (!time) return wrong(path, "a time like 2026-01-31T12:00:00Z", v);
    out = *time;
    return {};
  } else if constexpr (std::is_same_v<T, RawJson>) {
    out.text = serialize_value(path.spelled ? resolved(v) : v);
    return {};
  } else if constexpr (std::is_enum_v<T>) {
    return decode_enum(out, v, path);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!v.is_string()) return wrong(path, "a text", v);
    out = std::string(v.get_string());
    return {};
  } else if constexpr (std::is_integral_v<T>) {
    return decode_integer(out, v, path);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!v.is_number()) return wrong(path, "a number", v);
    out = v.to_number<double>();
    if (!std::isfinite(out)) return wrong(path, "a finite number", v);
    return {};
  } else if constexpr (IsVector<T>::value) {
    return decode_list(out, v, path, strict);
  } else if constexpr (std::is_same_v<T, std::set<std::string>>) {
    std::vector<std::string> items;
    TRY_VOID(decode_list(items, v, path, strict));
    out = T(items.begin(), items.end());
    return {};
  } else if constexpr (IsMap<T>::value) {
    const auto* object = v.if_object();
    if (object == nullptr) return wrong(path, "an object", v);
    out.clear();
    for (const auto& [key, item] : *object) {
      const std::string name(key);
      TRY_VOID(decode(out[name], item, path.below(std::string_view(name)), strict));
    }
    return {};
  } else {
    static_assert(kDescribed<T>, "the type needs DESCRIBE");
    return decode_struct(out, v, path, strict);
  }
}

}  // namespace berth::wire::codec

namespace berth::wire {

template <class T>
boost::json::value to_value(const T& value) {
  return codec::encode(value);
}

template <class T>
Result<T> from_value(const boost::json::value& value, Strictness strictness, std::string_view path) {
  T out{};
  const codec::Path root{.key = path};
  TRY_VOID(codec::decode(out, value, root, strictness));
  return out;
}

template <class T>
std::string to_json(const T& value) {
  return serialize_value(codec::encode(value));
}

template <class T>
std::string to_json_pretty(const T& value) {
  return pretty_value(codec::encode(value));
}

template <class T>
Result<T> from_json(std::string_view text, Strictness strictness) {
  TRY(const auto value, parse_value(text));
  T out{};
  const codec::Path root;
  TRY_VOID(codec::decode(out, value, root, strictness));
  return out;
}

template <class T>
Result<T> from_yaml(std::string_view text, Strictness strictness) {
  TRY(const auto document, parse_document(text));
  T out{};
  const codec::Path root{.spelled = document.spelled};
  if (auto done = codec::decode(out, document.value, root, strictness); !done)
    return document.spelled ? at_line(text, std::move(done).error()) : std::move(done).error();
  return out;
}

template <class E>
std::string enum_name(E value) {
  return codec::snake(boost::describe::enum_to_string(value, "k"));
}

}  // namespace berth::wire

/// Instantiates the codec of one described struct. At namespace scope of a .cpp.
#define BERTH_WIRE(T)                                                        \
  template boost::json::value berth::wire::to_value<T>(const T&);            \
  template berth::Result<T> berth::wire::from_value<T>(                      \
      const boost::json::value&, berth::wire::Strictness, std::string_view); \
  template std::string berth::wire::to_json<T>(const T&);                    \
  template std::string berth::wire::to_json_pretty<T>(const T&);             \
  template berth::Result<T> berth::wire::from_json<T>(std::string_view, berth::wire::Strictness)
/// As BERTH_WIRE, for documents that people write in YAML too.
#define BERTH_WIRE_YAML(T) \
  BERTH_WIRE(T);           \
  template berth::Result<T> berth::wire::from_yaml<T>(std::string_view, berth::wire::Strictness)
#define BERTH_WIRE_ENUM(E) template std::string berth::wire::enum_name<E>(E)
