#pragma once
// safetensors files and their index: how many bytes of weights there are, without reading any.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "fleet/model.h"

namespace berth::metadata {

/// The format's own limit of the JSON header.
constexpr std::uint64_t kSafetensorsHeaderMaxBytes = 100'000'000;
constexpr std::uint64_t kSafetensorsTensorsMax = 1'000'000;
constexpr std::uint64_t kSafetensorsIndexMaxBytes = 64ULL << 20;
constexpr std::uint64_t kSafetensorsFilesMax = 10'000;
constexpr std::uint64_t kSafetensorsDataMaxBytes = 1ULL << 50;
/// Every format of the field spends four bits or more on a parameter; what is beyond is a lie or a mistake.
constexpr std::uint64_t kSafetensorsParametersMax = 2 * kSafetensorsDataMaxBytes;

struct SafetensorsHeader {
  std::uint64_t data_offset = 0;  // of the tensor data from the start of the file
  Bytes data_bytes;               // all tensors
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::map<std::string, std::uint64_t> bytes_by_dtype;  // "BF16" → bytes
};

/// Bytes from the start of the file that hold the header, read from the first eight.
/// Errors: kInvalid with fewer than eight bytes, or a header longer than the file; kTooLarge above the limit.
Result<std::uint64_t> safetensors_header_end(std::span<const std::byte> bytes, std::uint64_t file_bytes);

/// Reads a header; `bytes` holds at least safetensors_header_end bytes. `file_bytes`: true size of the file.
/// Offsets must cover the data without gap or overlap, and the file must end with it.
/// Errors: kInvalid naming tensor, value and limit; kUnavailable when `bytes` ends inside the header.
/// Source: the safetensors format description of its project.
Result<SafetensorsHeader> read_safetensors_header(std::span<const std::byte> bytes, std::uint64_t file_bytes);

/// model.safetensors.index.json of a model in several files.
struct SafetensorsIndex {
  Bytes total_size;  // metadata.total_size
  std::optional<std::uint64_t> parameters;
  std::set<std::string> files;  // as named in weight_map, no path separators
};
/// Errors: kInvalid for what is no JSON, a missing total_size, or a file name that leaves the folder.
Result<SafetensorsIndex> read_safetensors_index(std::string_view json);

/// Facts of config.json with the weights that the files say; format becomes "safetensors".
fleet::ModelFacts with_weights(fleet::ModelFacts facts, const SafetensorsIndex& index);
fleet::ModelFacts with_weights(fleet::ModelFacts facts, std::span<const SafetensorsHeader> files);

}  // namespace berth::metadata
