#pragma once
// GGUF files: header and tensor index, read from bytes that somebody else fetched. The reader trusts no number in the
// file: counts are bounded by the bytes that remain, sums are checked, and nothing is allocated from a declared size.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "fleet/model.h"

namespace berth::metadata {

/// Key-value section and tensor index together. The largest tokenizers need about 20 MiB.
constexpr std::uint64_t kGgufHeaderMaxBytes = 64ULL << 20;
constexpr std::uint64_t kGgufKeysMax = 16'384;
constexpr std::uint64_t kGgufTensorsMax = 65'536;
constexpr std::uint64_t kGgufKeyMaxBytes = 65'535;         // the format's own limit
constexpr std::uint64_t kGgufTensorNameMaxBytes = 64;      // the format's own limit
constexpr std::uint64_t kGgufTextStoredMaxBytes = 65'536;  // longer texts keep their length only
constexpr std::uint64_t kGgufArrayStoredMax = 4'096;       // longer arrays keep their length only
constexpr std::uint64_t kGgufAlignmentMax = 1ULL << 20;
constexpr std::uint64_t kGgufDimsMax = 4;
/// One tensor and all of them; declared sizes obey it even when the data is absent.
constexpr std::uint64_t kGgufDataMaxBytes = 1ULL << 50;

/// An array in the key-value section. `values`: integers and booleans of arrays up to kGgufArrayStoredMax; arrays of
/// texts and of floats, and longer ones, keep only `count`.
struct GgufArray {
  std::uint64_t count = 0;
  std::vector<std::uint64_t> values;

  friend bool operator==(const GgufArray&, const GgufArray&) = default;
};

/// A text that is longer than kGgufTextStoredMaxBytes.
struct GgufLongText {
  std::uint64_t bytes = 0;

  friend bool operator==(const GgufLongText&, const GgufLongText&) = default;
};

/// Unsigned integers and non-negative signed ones are uint64, negative ones int64.
using GgufValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string, GgufLongText, GgufArray>;

struct GgufTensor {
  std::string name;
  std::array<std::uint64_t, kGgufDimsMax> dims{1, 1, 1, 1};  // dims[0] is the row length
  std::uint32_t type = 0;                                    // ggml type, see detail/ggml_types.h
  std::uint64_t offset = 0;                                  // from GgufFile::data_offset
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;  // as stored
};

struct GgufFile {
  std::uint32_t version = 0;
  std::uint64_t alignment = 0;
  std::uint64_t data_offset = 0;  // of the tensor data from the start of the file
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufTensor> tensors;  // in the order of the file
};

struct GgufOptions {
  /// True size of the file; the bytes at hand may be only its start. Absent: the bytes are the whole file.
  std::optional<std::uint64_t> file_bytes;
  /// Accept a file whose tensor data is absent. Off: such a file is refused as truncated.
  bool metadata_only = false;
};

/// Reads versions 2 and 3, little endian, as strictly as llama.cpp loads them: known tensor types, tensors back to back
/// without gap or overlap, inside the file.
/// Errors: kInvalid naming the part, the value and its limit; kTooLarge above kGgufHeaderMaxBytes; kUnavailable when
/// `bytes` is a prefix that ends inside the header.
/// Source: the GGUF specification of the ggml project, and what llama.cpp's loader refuses.
Result<GgufFile> read_gguf(std::span<const std::byte> bytes, const GgufOptions& options = {});

/// What a prefix was good for: the file, or how many bytes from the start of the file to offer next.
struct GgufPrefix {
  std::optional<GgufFile> file;
  std::uint64_t need_bytes = 0;  // > size of the prefix, ≤ options.file_bytes
};
/// For large local files and range requests: start with some 64 KiB and offer `need_bytes` until `file` is there. Every
/// step at least doubles. Errors: as read_gguf, without kUnavailable.
Result<GgufPrefix> read_gguf_prefix(std::span<const std::byte> bytes, const GgufOptions& options);

/// Facts of a model in one file. Errors: kInvalid when a key is out of range or of the wrong type, when a tensor names
/// a layer that does not exist, when there are no tensors, or when the file is one of several (`split.count`).
Result<fleet::ModelFacts> facts_from_gguf(const GgufFile& file);
/// The same for a model split over several files; all of them are needed, in order.
Result<fleet::ModelFacts> facts_from_gguf_shards(std::span<const GgufFile> shards);

}  // namespace berth::metadata
