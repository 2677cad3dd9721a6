#include "estimate/coefficients.h"

#include <array>

namespace berth::estimate {
namespace {

struct Row {
  std::string_view architecture;
  Coefficients values;
};

struct Values {
  std::uint32_t ad = 4, aq = 1, fd = 4, fk = 3, mk = 3, me = 1, fa = 2, rs = 1;
};

constexpr Coefficients fitted(Values v) {
  return {
      .ad = v.ad, .aq = v.aq, .fd = v.fd, .fk = v.fk, .mk = v.mk, .me = v.me, .fa = v.fa, .rs = v.rs, .fitted = true};
}

// Where the text of estimation.md §1.5 and the file disagree (gemma2, gemma3, gpt-oss, qwen3), the text's integers
// stand: they were fitted on more models, and on the published rows they are as good or better. qwen3's `fa` is 2, not
// 1: the difference was the cache rotation that llama_compute.cpp counts by itself. Architectures that only the text
// names (llama4, cohere2, glm4moe, mamba2) are not in the test vectors.
constexpr std::array kRows = {
    Row{"llama", fitted({.me = 0})},
    Row{"llama4", fitted({})},
    Row{"qwen2", fitted({})},
    Row{"qwen3", fitted({.ad = 3, .aq = 2})},
    Row{"qwen3moe", fitted({.aq = 2})},
    Row{"qwen3next", fitted({})},
    Row{"gemma2", fitted({.ad = 5})},
    Row{"gemma3", fitted({.aq = 2})},
    Row{"cohere2", fitted({.fd = 5})},
    Row{"phi3", fitted({})},
    Row{"glm4moe", fitted({.aq = 2})},
    Row{"deepseek2", fitted({})},
    Row{"gpt-oss", fitted({.aq = 2, .mk = 1, .me = 2})},
    Row{"minimax-m2", fitted({.aq = 2, .mk = 1})},
    Row{"falcon-h1", fitted({.aq = 0})},
    Row{"mamba", fitted({.rs = 2})},
    Row{"mamba2", fitted({})},
    Row{"bert", fitted({.fd = 2, .fk = 1})},
};

}  // namespace

Coefficients coefficients_of(std::string_view architecture) {
  for (const auto& r : kRows)
    if (r.architecture == architecture) return r.values;
  return {};
}

}  // namespace berth::estimate
