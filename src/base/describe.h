#pragma once
// The struct is the schema (STYLE §5). DESCRIBE lists a struct's members once, for JSON, YAML, OpenAPI and hashes,
// and refuses to compile when a member was forgotten.

#include <boost/describe.hpp>
#include <boost/mp11.hpp>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace berth::detail {

/// Converts to anything but the aggregate itself: probes how many initialisers an aggregate takes.
template <class Owner>
struct Anything {
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, Owner>)
  operator T() const noexcept;  // NOLINT
};

template <class T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{(static_cast<void>(I), Anything<T>{})...}; };
}

template <class T, std::size_t N = 0>
constexpr std::size_t field_count() {
  if constexpr (takes<T>(std::make_index_sequence<N + 1>{}))
    return field_count<T, N + 1>();
  else
    return N;
}

template <class T>
using Members = boost::describe::describe_members<T, boost::describe::mod_any_access>;

}  // namespace berth::detail

/// Lists every member of an aggregate, in wire order. A trailing name that is missing is a compile error.
#define DESCRIBE(Type, ...)                                                                                          \
  BOOST_DESCRIBE_STRUCT(Type, (), (__VA_ARGS__))                                                                     \
  static_assert(boost::mp11::mp_size<::berth::detail::Members<Type>>::value == ::berth::detail::field_count<Type>(), \
                "DESCRIBE(" #Type ") does not list every member")
#define DESCRIBE_ENUM(Type, ...) BOOST_DESCRIBE_ENUM(Type, __VA_ARGS__)
