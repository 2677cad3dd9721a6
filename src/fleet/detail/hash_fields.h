#pragma once
// Feeds any described value to a Hasher, member by member in wire order.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/hash.h"
#include "base/time.h"

namespace berth::fleet::detail {

template <class T>
void hash_value(Hasher& h, const T& value);

inline void hash_one(Hasher& h, const std::string& v) { h.add(v); }
inline void hash_one(Hasher& h, Bytes v) { h.add(v.value); }
inline void hash_one(Hasher& h, Time v) { h.add(static_cast<std::uint64_t>(v.time_since_epoch().count())); }
inline void hash_one(Hasher& h, double v) {
  std::uint64_t bits = 0;
  static_assert(sizeof bits == sizeof v);
  __builtin_memcpy(&bits, &v, sizeof bits);
  h.add(bits);
}
template <class T>
void hash_one(Hasher& h, const std::optional<T>& v) {
  h.add(std::uint64_t(v.has_value()));
  if (v) hash_value(h, *v);
}
template <class T>
void hash_one(Hasher& h, const std::vector<T>& v) {
  h.add(static_cast<std::uint64_t>(v.size()));
  for (const auto& item : v) hash_value(h, item);
}
template <class K, class V>
void hash_one(Hasher& h, const std::map<K, V>& v) {
  h.add(static_cast<std::uint64_t>(v.size()));
  for (const auto& [key, item] : v) {
    hash_value(h, key);
    hash_value(h, item);
  }
}

template <class T>
void hash_value(Hasher& h, const T& value) {
  if constexpr (std::is_same_v<T, Bytes> || std::is_same_v<T, Time>) {
    hash_one(h, value);
  } else if constexpr (std::is_enum_v<T>) {
    h.add(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    h.add(static_cast<std::uint64_t>(value));
  } else if constexpr (boost::describe::has_describe_members<T>::value) {
    boost::mp11::mp_for_each<::berth::detail::Members<T>>([&](auto member) { hash_value(h, value.*member.pointer); });
  } else {
    hash_one(h, value);
  }
}

}  // namespace berth::fleet::detail
