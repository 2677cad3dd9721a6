#pragma once
// Typed, range-checked access to a config.json, over its text model first, then the top level.

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::metadata::detail {

using Names = std::initializer_list<std::string_view>;

/// Several names are spellings of one thing; the first that is present counts, and null is absent. The view lives as
/// long as the document. Errors: kInvalid naming key, value and what is allowed.
class ConfigView {
 public:
  /// `sections`: searched in this order.
  explicit ConfigView(std::vector<const boost::json::object*> sections) : sections_(std::move(sections)) {}

  [[nodiscard]] bool empty() const { return sections_.empty(); }
  /// A whole number from 0 to max; 0 is absent. An array of numbers counts as its largest.
  [[nodiscard]] Result<std::optional<std::uint32_t>> number(Names names, std::uint32_t max) const;
  /// As number(), and every number below 0 is absent too: some files write -1 for "none".
  [[nodiscard]] Result<std::optional<std::uint32_t>> positive(Names names, std::uint32_t max) const;
  [[nodiscard]] Result<std::optional<bool>> flag(Names names) const;
  [[nodiscard]] Result<std::optional<std::string>> text(Names names) const;
  /// Texts of an array; empty: absent.
  [[nodiscard]] Result<std::vector<std::string>> texts(Names names) const;
  /// Whole numbers of an array, each at most max; absent when there is none.
  [[nodiscard]] Result<std::optional<std::vector<std::uint32_t>>> numbers(Names names, std::uint32_t max) const;
  /// Objects of an array, nullptr where an entry is none; empty: absent.
  [[nodiscard]] std::vector<const boost::json::object*> sections(Names names) const;
  /// The object below a key.
  [[nodiscard]] const boost::json::object* section(Names names) const;

 private:
  [[nodiscard]] const boost::json::value* find(Names names, std::string_view& found) const;

  std::vector<const boost::json::object*> sections_;
};

}  // namespace berth::metadata::detail
