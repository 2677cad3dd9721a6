#include "estimate/coefficients.h"

#include <array>

namespace berth::estimate {
namespace {

struct Row {
  std::string_view architecture;
  Coefficients values;
};

constexpr Coefficients row(std::uint32_t ad,
                           std::uint32_t aq,
                           std::uint32_t fd,
                           std::uint32_t fk,
                           std::uint32_t mk,
                           std::uint32_t me,
                           std::uint32_t fa,
                           std::uint32_t rs = 1) {
  return {
      .ad = ad, .aq = aq, .fd = fd, .fk = fk, .mk = mk, .me = me, .fa = fa, .rd = 4, .ri = 4, .rs = rs, .fitted = true};
}

constexpr std::array kRows = {
    Row{"llama", row(4, 1, 4, 3, 3, 0, 2)},
    Row{"gemma3", row(3, 3, 4, 3, 3, 1, 2)},
    Row{"bert", row(4, 1, 2, 1, 3, 1, 2)},
    Row{"deepseek2", row(4, 1, 4, 3, 3, 1, 2)},
    Row{"falcon-h1", row(4, 0, 4, 3, 3, 1, 2)},
    Row{"gemma2", row(4, 1, 4, 3, 3, 1, 2)},
    Row{"gpt-oss", row(5, 1, 4, 3, 2, 1, 2)},
    Row{"mamba", row(4, 1, 4, 3, 3, 1, 2, 2)},
    Row{"minimax-m2", row(4, 2, 4, 3, 1, 1, 2)},
    Row{"phi3", row(4, 1, 4, 3, 3, 1, 2)},
    Row{"qwen2", row(4, 1, 4, 3, 3, 1, 2)},
    Row{"qwen3", row(4, 1, 4, 3, 3, 1, 1)},
    Row{"qwen3moe", row(4, 2, 4, 3, 3, 1, 2)},
    Row{"qwen3next", row(4, 1, 4, 3, 3, 1, 2)},
};

}  // namespace

Coefficients coefficients_of(std::string_view architecture) {
  for (const auto& r : kRows)
    if (r.architecture == architecture) return r.values;
  return {};
}

}  // namespace berth::estimate
