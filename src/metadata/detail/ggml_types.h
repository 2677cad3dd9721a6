#pragma once
// The tensor types of ggml and the file types of llama.cpp.

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::metadata::detail {

struct GgmlType {
  std::uint32_t id = 0;
  std::string_view name;
  std::uint32_t block_elements = 1;
  std::uint32_t block_bytes = 0;
  bool quantized = false;
};

/// nullptr: unknown, or removed from the format.
/// Source: ggml.h (ids) and the block structs of ggml-common.h (sizes).
const GgmlType* ggml_type(std::uint32_t id);

/// "Q4_K_M" for 15; absent: unknown. Source: enum llama_ftype of llama.h.
std::optional<std::string_view> file_type_name(std::uint64_t file_type);

/// Bytes of a tensor on a CUDA-like device. Rows of quantised tensors are read up to a multiple of 512 elements, so one
/// pad row is added, then 128-byte alignment. Source: shared estimation notes §1.3, checked against llama.cpp's
/// planner.
std::uint64_t device_bytes(const GgmlType& type, std::uint64_t row_elements, std::uint64_t bytes);

}  // namespace berth::metadata::detail
