// Any bytes, as a whole file, as a bare header and as a prefix: an error or facts, never a crash.
#include <cstdlib>

#include "metadata/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::metadata;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto whole = read_gguf(bytes);
  const auto header = read_gguf(bytes, {.metadata_only = true});
  if (whole && !header) std::abort();  // the bare header asks for less
  if (header) {
    const auto facts = facts_from_gguf(*header);
    if (facts && facts->layer_weights.size() != facts->layers.value_or(0)) std::abort();
  }
  const std::uint64_t file_bytes = size + (1ULL << 30);
  const auto prefix = read_gguf_prefix(bytes, {.file_bytes = file_bytes});
  if (prefix && !prefix->file && (prefix->need_bytes <= size || prefix->need_bytes > file_bytes)) std::abort();
  return 0;
}
