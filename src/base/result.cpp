#include "base/result.h"

#include <array>

namespace berth {
namespace {

struct CodeRow {
  Code code;
  int status;
  std::string_view name;
};

constexpr std::array kCodes = {
    CodeRow{Code::kNotFound, 404, "not_found"},
    CodeRow{Code::kConflict, 409, "conflict"},
    CodeRow{Code::kInvalid, 400, "invalid"},
    CodeRow{Code::kUnauthenticated, 401, "unauthenticated"},
    CodeRow{Code::kForbidden, 403, "forbidden"},
    CodeRow{Code::kTooLarge, 413, "too_large"},
    CodeRow{Code::kRateLimited, 429, "rate_limited"},
    CodeRow{Code::kNotSupported, 501, "not_supported"},
    CodeRow{Code::kUnavailable, 503, "unavailable"},
    CodeRow{Code::kTimeout, 504, "timeout"},
    CodeRow{Code::kCancelled, 499, "cancelled"},
    CodeRow{Code::kInternal, 500, "internal"},
};

}  // namespace

int http_status(Code code) {
  for (const auto& row : kCodes)
    if (row.code == code) return row.status;
  return 500;
}

std::string_view code_name(Code code) {
  for (const auto& row : kCodes)
    if (row.code == code) return row.name;
  return "internal";
}

std::optional<Code> code_from_name(std::string_view name) {
  for (const auto& row : kCodes)
    if (row.name == name) return row.code;
  return std::nullopt;
}

Error in(std::string_view where, Error error) {
  error.message.insert(0, std::string(where) + ": ");
  return error;
}

}  // namespace berth
