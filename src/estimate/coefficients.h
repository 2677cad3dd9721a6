#pragma once
// Coefficients of the compute buffer by architecture: how many rows of each width live at once at the worst moment of
// the graph. Fitted on llama.cpp b11434's own plans. Source: estimation.md §1.5 and compute-coefficients.json.

#include <cstdint>
#include <string_view>

namespace berth::estimate {

struct Coefficients {
  std::uint32_t ad = 4, aq = 1;          // attention: rows of d, rows of heads × key length
  std::uint32_t fd = 4, fk = 3;          // dense feed-forward: rows of d, rows of its width
  std::uint32_t mk = 3, me = 1;          // per used expert: rows of its width, rows of d
  std::uint32_t fa = 2;                  // flash attention with a quantised cache: rows of heads × key length
  std::uint32_t rd = 4, ri = 4, rs = 1;  // recurrent layers: rows of d, of the inner size; copies of the state
  bool fitted = false;                   // from measured plans; else the defaults and a wider interval
};

Coefficients coefficients_of(std::string_view architecture);

}  // namespace berth::estimate
