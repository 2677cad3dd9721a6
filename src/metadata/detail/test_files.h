#pragma once
// For tests only: GGUF files made byte by byte, and files of the tests' data folder.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth::metadata::detail {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Empty when the file does not exist.
inline std::string slurp(const std::string& path) {
  std::string content;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return content;
  char block[4096];
  for (std::size_t read = sizeof block; read == sizeof block;) {
    read = std::fread(block, 1, sizeof block, file);
    content.append(block, read);
  }
  std::fclose(file);
  return content;
}

/// Appends little-endian values; nothing is checked, so that broken files can be made.
class GgufBuilder {
 public:
  explicit GgufBuilder(std::uint64_t tensors = 0,
                       std::uint64_t keys = 0,
                       std::uint32_t version = 3,
                       std::string_view magic = "GGUF") {
    raw(magic).u32(version).u64(tensors).u64(keys);
  }

  GgufBuilder& raw(std::string_view text) {
    out_ += text;
    return *this;
  }
  GgufBuilder& u8(std::uint8_t v) { return put(v); }
  GgufBuilder& u32(std::uint32_t v) { return put(v); }
  GgufBuilder& u64(std::uint64_t v) { return put(v); }
  GgufBuilder& text(std::string_view v) { return u64(v.size()).raw(v); }
  GgufBuilder& zeros(std::size_t count) {
    out_.append(count, '\0');
    return *this;
  }
  /// Key and value type; the value follows.
  GgufBuilder& key(std::string_view name, std::uint32_t type) { return text(name).u32(type); }
  GgufBuilder& key_u32(std::string_view name, std::uint32_t v) { return key(name, 4).u32(v); }
  GgufBuilder& key_text(std::string_view name, std::string_view v) { return key(name, 8).text(v); }
  GgufBuilder& array(std::uint32_t type, std::uint64_t count) { return u32(type).u64(count); }
  GgufBuilder& tensor(std::string_view name,
                      const std::vector<std::uint64_t>& dims,
                      std::uint32_t type,
                      std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t dim : dims) u64(dim);
    return u32(type).u64(offset);
  }
  /// Up to the next multiple of 32, as before the tensor data.
  GgufBuilder& pad(std::size_t alignment = 32) { return zeros((alignment - out_.size() % alignment) % alignment); }

  [[nodiscard]] const std::string& str() const { return out_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_of(out_); }

 private:
  template <class T>
  GgufBuilder& put(T v) {
    out_.append(reinterpret_cast<const char*>(&v), sizeof v);
    return *this;
  }

  std::string out_;
};

}  // namespace berth::metadata::detail
