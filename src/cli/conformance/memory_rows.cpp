#include "cli/conformance/memory_rows.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/conformance/memory.h"
#include "wire/codec.h"

namespace berth::cli::conformance {
namespace {

struct MemoryFile {
  std::string kind;
  std::vector<MemoryRow> vectors;
};
DESCRIBE(MemoryFile, kind, vectors);

Result<void> check(const MemoryRow& row, std::size_t index) {
  const std::string where = fmt::format("$.vectors[{}]", index);
  if (row.model.empty()) return invalid(where + ".model is missing");
  if (row.model.find('/') != std::string::npos || row.model.starts_with('.'))
    return invalid(fmt::format("{}.model is \"{}\", must be the name of a file", where, printable(row.model)));
  if (row.settings.text == "null") return invalid(where + ".settings is missing");
  if (row.actual.host.total() == 0) return invalid(where + ".actual.host holds no bytes");
  return {};
}

Error not_supported(std::string text) { return Error{Code::kNotSupported, std::move(text)}; }

}  // namespace

Result<std::vector<MemoryRow>> read_memory_rows(std::string_view json) {
  TRY(auto file, wire::from_json<MemoryFile>(json, wire::Strictness::kLenient));
  if (file.kind != kMemoryKind)
    return invalid(fmt::format("$.kind is \"{}\", must be \"{}\"", printable(file.kind), kMemoryKind));
  if (file.vectors.empty()) return invalid("$.vectors is empty or missing");
  if (file.vectors.size() > kMemoryRowsMax)
    return fail(Code::kTooLarge,
                fmt::format("$.vectors holds {} rows, at most {}", file.vectors.size(), kMemoryRowsMax));
  for (std::size_t i = 0; i < file.vectors.size(); ++i) TRY_VOID(check(file.vectors[i], i));
  return std::move(file.vectors);
}

Result<MemorySettings> read_settings(const wire::RawJson& settings) {
  auto read = wire::from_json<MemorySettings>(settings.text, wire::Strictness::kStrict);
  if (!read) return not_supported(read.error().message);
  MemorySettings s = std::move(*read);
  if (s.split_mode != "layer" && s.split_mode != "none")
    return not_supported(fmt::format("split_mode is \"{}\"", printable(s.split_mode)));
  if (s.devices > kMemoryDevicesMax)
    return not_supported(fmt::format("devices is {}, must be at most {}", s.devices, kMemoryDevicesMax));
  if (s.n_gpu_layers < -1) return not_supported(fmt::format("n_gpu_layers is {}", s.n_gpu_layers));
  if (s.tensor_split) {
    const std::vector<double>& shares = *s.tensor_split;
    double sum = 0;
    for (const double share : shares) {
      if (!(share >= 0)) return not_supported("tensor_split holds a negative share");
      sum += share;
    }
    if (shares.size() > s.devices || !(sum > 0) || !std::isfinite(sum))
      return not_supported("tensor_split does not divide over the devices");
  }
  return s;
}

estimate::LlamaOptions options_of(const MemorySettings& s, std::uint32_t max_context) {
  estimate::LlamaOptions o;
  o.context = s.ctx == 0 ? max_context : s.ctx;
  o.sequences = s.n_parallel;
  o.unified = s.kv_unified;
  o.batch = s.n_batch;
  o.ubatch = s.n_ubatch;
  o.flash_attention = s.flash_attn;
  o.kv_type = s.cache_type_k;
  o.value_type = s.cache_type_v;
  o.kv_offload = s.offload_kqv;
  o.swa_full = s.swa_full;
  o.pipeline = s.pipeline_capable;
  if (!s.embeddings) o.outputs = s.n_outputs_max;
  return o;
}

std::vector<std::uint32_t> slots_of(const MemorySettings& s, std::uint32_t total_layers) {
  std::vector<std::uint32_t> dealt(s.devices, 0);
  const std::uint32_t slots =
      s.n_gpu_layers < 0 ? total_layers : std::min(static_cast<std::uint32_t>(s.n_gpu_layers), total_layers);
  if (dealt.empty() || slots == 0) return {};
  std::vector<double> shares = s.tensor_split.value_or(std::vector<double>(s.devices, 1.0));
  shares.resize(s.devices, 0.0);
  if (s.split_mode == "none") shares = {1.0};
  // llama.cpp divides in single precision, so a slot at a border falls where that rounding puts it.
  std::vector<float> ends;
  float sum = 0;
  for (const double share : shares) ends.push_back(sum += static_cast<float>(share));
  for (float& end : ends) end /= sum;
  for (std::uint32_t i = 0; i < slots; ++i) {
    const float at = static_cast<float>(i) / static_cast<float>(slots);
    const auto device = std::upper_bound(ends.begin(), ends.end(), at) - ends.begin();
    ++dealt[std::min(static_cast<std::size_t>(device), dealt.size() - 1)];
  }
  return dealt;
}

}  // namespace berth::cli::conformance

BERTH_WIRE(berth::cli::conformance::MemoryFile);
BERTH_WIRE(berth::cli::conformance::MemorySettings);
BERTH_WIRE(berth::cli::conformance::MemorySummary);
