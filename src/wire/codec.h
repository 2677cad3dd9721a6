#pragma once
// Builds the table of each type (wire/schema.h) from its description. Include it only in the .cpp files that
// instantiate types with BERTH_WIRE(T).

#include <boost/describe.hpp>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/time.h"
#include "wire/codec_support.h"
#include "wire/schema.h"
#include "wire/texts.h"

namespace berth::wire::codec {

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
constexpr Type make_type();
/// The one table of a type.
template <class T>
inline constexpr Type kTypeOf = make_type<T>();

template <class T>
struct Erased {
  static const T& of(const void* value) { return *static_cast<const T*>(value); }
  static T& of(void* value) { return *static_cast<T*>(value); }
};

template <class T>
constexpr Type integer_type() {
  using Limits = std::numeric_limits<T>;
  constexpr auto kExact = static_cast<std::int64_t>(kExactMax);
  Type type{.kind = std::is_signed_v<T> ? Kind::kSigned : Kind::kUnsigned};
  type.integer.load = [](const void* v) { return static_cast<std::int64_t>(Erased<T>::of(v)); };
  type.integer.store = [](void* v, std::int64_t value) { Erased<T>::of(v) = static_cast<T>(value); };
  if constexpr (std::is_signed_v<T>)
    type.integer.least = std::max<std::int64_t>(static_cast<std::int64_t>(Limits::min()), -kExact);
  type.integer.most = std::min<std::uint64_t>(static_cast<std::uint64_t>(Limits::max()), kExactMax);
  type.integer.wide_unsigned = !std::is_signed_v<T> && sizeof(T) == sizeof(std::uint64_t);
  return type;
}

template <class E, class List>
struct EnumTable;
template <class E, template <class...> class L, class... D>
struct EnumTable<E, L<D...>> {
  static constexpr std::array<Enumerator, sizeof...(D)> kRows{
      {{std::string_view(D::name), static_cast<std::int64_t>(D::value)}...}};
};

template <class E>
constexpr Type enum_type() {
  Type type = integer_type<std::underlying_type_t<E>>();
  type.kind = Kind::kEnum;
  type.names = EnumTable<E, boost::describe::describe_enumerators<E>>::kRows;
  return type;
}

template <class T>
constexpr Type optional_type() {
  Type type{.kind = Kind::kOptional, .item = &kTypeOf<typename T::value_type>};
  type.optional = {
      .get = [](const void* v) { return static_cast<const void*>(Erased<T>::of(v) ? &*Erased<T>::of(v) : nullptr); },
      .emplace = [](void* v) { return static_cast<void*>(&Erased<T>::of(v).emplace()); },
      .reset = [](void* v) { Erased<T>::of(v).reset(); }};
  return type;
}

template <class T>
constexpr Type list_type() {
  Type type{.kind = Kind::kList, .item = &kTypeOf<typename T::value_type>};
  type.list = {.size = [](const void* v) { return Erased<T>::of(v).size(); },
               .at = [](const void* v, std::size_t i) { return static_cast<const void*>(&Erased<T>::of(v)[i]); },
               .append = [](void* v) { return static_cast<void*>(&Erased<T>::of(v).emplace_back()); },
               .clear = [](void* v) { Erased<T>::of(v).clear(); }};
  return type;
}

template <class T>
constexpr Type map_type() {
  Type type{.kind = Kind::kMap, .item = &kTypeOf<typename T::mapped_type>};
  type.map = {.each =
                  [](const void* v, void* context, Visit visit) {
                    for (const auto& [key, item] : Erased<T>::of(v)) visit(context, key, &item);
                  },
              .slot = [](void* v, const std::string& key) { return static_cast<void*>(&Erased<T>::of(v)[key]); },
              .clear = [](void* v) { Erased<T>::of(v).clear(); }};
  return type;
}

template <class T, class D>
constexpr Field make_field() {
  using Member = std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>;
  return {.name = D::name, .type = &kTypeOf<Member>, .in = [](void* owner) {
            return static_cast<void*>(&(static_cast<T*>(owner)->*D::pointer));
          }};
}

template <class T, class List>
struct FieldTable;
template <class T, template <class...> class L, class... D>
struct FieldTable<T, L<D...>> {
  static constexpr std::array<Field, sizeof...(D)> kRows{{make_field<T, D>()...}};
};

template <class T>
constexpr bool names_exist(const FieldRules& rules) {
  for (const std::string_view name : rules.required) {
    bool found = name.empty();
    for (const Field& field : FieldTable<T, ::berth::detail::Members<T>>::kRows) found = found || field.name == name;
    if (!found) return false;
  }
  return true;
}

template <class T>
constexpr Type struct_type() {
  static_assert(boost::describe::has_describe_members<T>::value, "the type needs DESCRIBE");
  // No local constant: g++ 12 takes one inside nested instantiations for a variable.
  static_assert(names_exist<T>(rules_of<T>()), "field_rules names a member that does not exist");
  return {.kind = Kind::kStruct, .fields = FieldTable<T, ::berth::detail::Members<T>>::kRows, .rules = rules_of<T>()};
}

template <class T>
constexpr Type make_type() {
  if constexpr (std::is_same_v<T, bool>) {
    return {.kind = Kind::kBool};
  } else if constexpr (std::is_same_v<T, std::string>) {
    return {.kind = Kind::kText};
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return {.kind = Kind::kBytes};
  } else if constexpr (std::is_same_v<T, Time>) {
    return {.kind = Kind::kTime};
  } else if constexpr (std::is_same_v<T, RawJson>) {
    return {.kind = Kind::kRaw};
  } else if constexpr (std::is_enum_v<T>) {
    return enum_type<T>();
  } else if constexpr (std::is_integral_v<T>) {
    return integer_type<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    return {.kind = Kind::kReal, .single_precision = std::is_same_v<T, float>};
  } else if constexpr (std::is_same_v<T, std::set<std::string>>) {
    return {.kind = Kind::kSet};
  } else if constexpr (IsOptional<T>::value) {
    return optional_type<T>();
  } else if constexpr (IsVector<T>::value) {
    return list_type<T>();
  } else if constexpr (IsMap<T>::value) {
    return map_type<T>();
  } else {
    return struct_type<T>();
  }
}

}  // namespace berth::wire::codec

namespace berth::wire {

template <class T>
boost::json::value to_value(const T& value) {
  return codec::encode(codec::kTypeOf<T>, &value);
}

template <class T>
Result<T> from_value(const boost::json::value& value, Strictness strictness, std::string_view path) {
  T out{};
  TRY_VOID(codec::decode_value(codec::kTypeOf<T>, &out, value, strictness, path));
  return out;
}

template <class T>
std::string to_json(const T& value) {
  return codec::encode_text(codec::kTypeOf<T>, &value);
}

template <class T>
std::string to_json_pretty(const T& value) {
  return codec::encode_pretty(codec::kTypeOf<T>, &value);
}

template <class T>
Result<T> from_json(std::string_view text, Strictness strictness) {
  T out{};
  TRY_VOID(codec::decode_json(codec::kTypeOf<T>, &out, text, strictness));
  return out;
}

template <class T>
Result<T> from_yaml(std::string_view text, Strictness strictness) {
  T out{};
  TRY_VOID(codec::decode_yaml(codec::kTypeOf<T>, &out, text, strictness));
  return out;
}

template <class T>
Result<void> check_printable(const T& value) {
  return codec::check_texts(codec::kTypeOf<T>, &value, codec::Path{});
}

template <class T>
T printable_copy(T value) {
  codec::make_printable(codec::kTypeOf<T>, &value);
  return value;
}

template <class E>
std::string enum_name(E value) {
  return codec::enumerator_name(codec::kTypeOf<E>, static_cast<std::int64_t>(value));
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
