#include "estimate/detail/intervals.h"

#include <array>
#include <fmt/format.h>

#include "estimate/detail/terms.h"

namespace berth::estimate {
namespace {

struct RuntimeRow {
  std::string_view framework;
  std::uint64_t device_mib[3];  // low, expected, high
  std::uint64_t host_mib[3];
};
constexpr std::array kRuntime = {RuntimeRow{"cuda", {200, 400, 600}, {100, 250, 500}},
                                 RuntimeRow{"metal", {32, 96, 192}, {20, 50, 100}}};
constexpr RuntimeRow kRuntimeOther{"", {200, 400, 800}, {100, 250, 500}};

const RuntimeRow& runtime_of(std::string_view framework) {
  for (const auto& row : kRuntime)
    if (row.framework == framework) return row;
  return kRuntimeOther;
}

Interval mib(const std::uint64_t (&values)[3]) {
  return {Bytes(values[0] * kMiB), Bytes(values[1] * kMiB), Bytes(values[2] * kMiB)};
}

constexpr std::uint64_t kProcessLow = 20 * kMiB;
constexpr std::uint64_t kProcessHigh = 32 * kMiB;
constexpr std::uint64_t kBytesPerToken = 112;      // of vocabulary, in the tokenizer
constexpr std::uint64_t kBytesPerTokenHigh = 256;  // long token texts, kept twice

}  // namespace

std::uint64_t ComputeMargin::percent() const {
  constexpr std::uint64_t kFitted = 5, kFittedRecurrent = 10, kFittedPartial = 30;
  constexpr std::uint64_t kUnknown = 20, kUnknownPartial = 50;
  if (!fitted) return partial ? kUnknownPartial : kUnknown;
  if (partial || handed_on) return kFittedPartial;
  return recurrent ? kFittedRecurrent : kFitted;
}

Interval with_margin(Sat bytes, std::uint64_t percent) {
  return {Bytes(bytes.value),
          Bytes(bytes.value),
          Bytes(sat_add(bytes.value, mul_div_ceil(bytes.value, percent, kPercent)))};
}

Interval device_runtime(std::string_view framework) { return mib(runtime_of(framework).device_mib); }

Interval host_process(Sat vocab, std::string_view framework) {
  const Sat usual = Sat(kProcessLow) + Sat(kBytesPerToken) * vocab;
  const Sat most = Sat(kProcessHigh) + Sat(kBytesPerTokenHigh) * vocab;
  Interval sum = {Bytes(kProcessLow), Bytes(usual.value), Bytes(most.value)};
  if (!framework.empty()) sum += mib(runtime_of(framework).host_mib);
  return sum;
}

std::string host_process_text(Sat vocab, std::string_view framework) {
  std::string text =
      fmt::format("process 20 MiB + {} B × {} tokens of vocabulary", kBytesPerToken, grouped(vocab.value));
  if (framework.empty()) return text;
  const auto& row = runtime_of(framework);
  return text + fmt::format(", {} driver {} MiB (assumed, not measured: {} to {})",
                            framework,
                            row.host_mib[1],
                            row.host_mib[0],
                            row.host_mib[2]);
}

}  // namespace berth::estimate
