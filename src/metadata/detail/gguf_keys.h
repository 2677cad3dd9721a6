#pragma once
// Typed, range-checked access to the key-value section of a GGUF file.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "metadata/gguf.h"

namespace berth::metadata::detail {

/// Keys below one prefix: `number("block_count")` of prefix "llama" reads "llama.block_count". An absent key is no
/// error; a wrong type or a value out of range is kInvalid, naming key, value and limit.
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  [[nodiscard]] Result<std::optional<std::uint32_t>> number(std::string_view key, std::uint32_t max) const;
  /// The largest of a per-layer array, or the number itself.
  [[nodiscard]] Result<std::optional<std::uint32_t>> largest(std::string_view key, std::uint32_t max) const;
  /// One value a layer: an array of exactly `layers` numbers, or a number that holds for all; empty: absent.
  [[nodiscard]] Result<std::vector<std::uint32_t>> per_layer(std::string_view key,
                                                             std::uint32_t layers,
                                                             std::uint32_t max) const;
  [[nodiscard]] Result<std::optional<bool>> flag(std::string_view key) const;
  [[nodiscard]] Result<std::optional<std::string>> text(std::string_view key) const;
  /// Length of an array; absent when the key is absent or no array.
  [[nodiscard]] std::optional<std::uint64_t> array_length(std::string_view key) const;
  [[nodiscard]] bool is_array(std::string_view key) const { return array_length(key).has_value(); }

 private:
  [[nodiscard]] std::string full(std::string_view key) const;
  [[nodiscard]] const GgufValue* find(std::string_view key) const;

  const GgufFile& file_;
  std::string prefix_;  // without the dot; empty: keys are full names
};

}  // namespace berth::metadata::detail
