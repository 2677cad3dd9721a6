#pragma once
// The one error type below the edges, and Result<T> = value or Error. See STYLE §4.

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace berth {

/// What kind of failure; each has one HTTP status (http_status) and one CLI exit code (cli maps it).
enum class Code {
  kNotFound,
  kConflict,
  kInvalid,
  kUnauthenticated,
  kForbidden,
  kTooLarge,
  kRateLimited,
  kNotSupported,
  kUnavailable,
  kTimeout,
  kCancelled,
  kInternal,
};

/// HTTP status that a management or inference answer carries for `code`.
int http_status(Code code);
/// snake_case name for wire use: "not_found", "conflict", …
std::string_view code_name(Code code);
std::optional<Code> code_from_name(std::string_view name);

/// Message: lower case, what + value + limit: "memory_total_bytes is 0, must be > 0".
struct Error {
  Code code = Code::kInternal;
  std::string message;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
  Result(Error error) : tl::expected<T, Error>(tl::unexpect, std::move(error)) {}  // NOLINT: conversion is the point
  Result(tl::expected<T, Error>&& other) : tl::expected<T, Error>(std::move(other)) {}  // NOLINT
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
 public:
  using tl::expected<void, Error>::expected;
  Result(Error error) : tl::expected<void, Error>(tl::unexpect, std::move(error)) {}  // NOLINT
};

inline Error fail(Code code, std::string message) { return Error{code, std::move(message)}; }
inline Error invalid(std::string message) { return Error{Code::kInvalid, std::move(message)}; }

/// Prefixes the message of `error` with where it happened: "fleet.yaml: …".
Error in(std::string_view where, Error error);

}  // namespace berth

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)
/// `TRY(auto x, f());` binds the value or returns the error of the enclosing function. One per line.
#define TRY(decl, expr) BERTH_TRY_(decl, expr, BERTH_CONCAT(berth_try_, __LINE__), return)
/// The same inside a coroutine.
#define CO_TRY(decl, expr) BERTH_TRY_(decl, expr, BERTH_CONCAT(berth_try_, __LINE__), co_return)
#define BERTH_TRY_(decl, expr, tmp, ret)            \
  auto tmp = (expr);                                \
  if (!tmp.has_value()) ret std::move(tmp).error(); \
  decl = std::move(*tmp)
/// For Result<void>.
#define TRY_VOID(expr) \
  if (auto berth_try = (expr); !berth_try.has_value()) return std::move(berth_try).error()
#define CO_TRY_VOID(expr) \
  if (auto berth_try = (expr); !berth_try.has_value()) co_return std::move(berth_try).error()
