#pragma once
// A cursor over the bytes at hand, which may be only the start of a file.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.h"

namespace berth::metadata::detail {

/// What is being read, named only when it fails: `tensor 12 "blk.0.attn_q.weight"`.
struct Part {
  std::string_view kind;
  std::optional<std::uint64_t> index;
  std::string_view name;  // out of the file

  Part(const char* of_kind) : kind(of_kind) {}  // NOLINT: a plain text names a part that occurs once
  Part(std::string_view of_kind, std::uint64_t number, std::string_view named = {})
      : kind(of_kind), index(number), name(named) {}
  [[nodiscard]] std::string text() const;
};

/// A name out of a file, fit for a message: quoted, printable, at most 80 bytes of it.
std::string quoted(std::string_view name);

class ByteReader {
 public:
  struct Limits {
    std::uint64_t file_bytes = 0;    // true size of the file, ≥ bytes.size()
    std::uint64_t header_bytes = 0;  // reading past this is refused
  };
  ByteReader(std::span<const std::byte> bytes, Limits limits) : bytes_(bytes), limits_(limits) {}

  /// The next `count` bytes; the view lives as long as the input. Errors: kInvalid when the file ends before them,
  /// kTooLarge past the header limit, kUnavailable when the file has them but the bytes at hand end (see needed()).
  Result<std::string_view> take(std::uint64_t count, const Part& what);

  /// Little-endian integer or float.
  template <class T>
    requires std::is_arithmetic_v<T>
  Result<T> number(const Part& what) {
    TRY(const std::string_view raw, take(sizeof(T), what));
    T value{};
    __builtin_memcpy(&value, raw.data(), sizeof value);
    return value;
  }

  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// Bytes of the file behind the cursor, whether at hand or not, up to the header limit.
  [[nodiscard]] std::uint64_t remaining() const;
  /// Bytes from the start of the file that the failed take() asked for; 0: no take ended kUnavailable.
  [[nodiscard]] std::uint64_t needed() const { return needed_; }

 private:
  std::span<const std::byte> bytes_;
  Limits limits_;
  std::uint64_t position_ = 0;
  std::uint64_t needed_ = 0;
};

}  // namespace berth::metadata::detail
