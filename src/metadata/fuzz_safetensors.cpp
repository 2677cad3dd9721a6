// Any bytes as a safetensors file and as an index: an error or totals, never a crash.
#include <cstdint>
#include <cstdlib>

#include "metadata/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::metadata;
  const auto header = read_safetensors_header(std::as_bytes(std::span(data, size)), size);
  if (header && header->data_offset + header->data_bytes.value != size) std::abort();
  const auto index = read_safetensors_index(std::string_view(reinterpret_cast<const char*>(data), size));
  if (index && index->total_size.value > kSafetensorsDataMaxBytes) std::abort();
  return 0;
}
