// Any text as config.json: an error or facts, never a crash.
#include <cstdint>
#include <cstdlib>

#include "metadata/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto facts = berth::metadata::facts_from_hf_config(text);
  if (!facts) return 0;
  std::uint64_t rows = 0;
  for (const auto& row : facts->attention_layers) rows += row.count;
  if (rows != 0 && rows != facts->layers) std::abort();
  return 0;
}
