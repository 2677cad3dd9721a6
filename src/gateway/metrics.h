#pragma once
// Counters of the gateway, for /metrics. Any thread; each is exact on its own, not together.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace berth::gateway {

struct Metrics {
  using Counter = std::atomic<std::uint64_t>;

  /// Statuses counted apart; what is none of them goes to `other`. 499: the client left before the answer.
  static constexpr std::array<int, 13> kStatuses = {200, 400, 401, 403, 404, 405, 413, 429, 499, 500, 502, 503, 504};

  Counter requests{0};
  std::array<Counter, kStatuses.size()> answers{};
  Counter other{0};
  Counter in_flight{0};
  Counter streams_open{0};
  Counter streams_broken{0};  // the engine failed after the first byte
  Counter aborted{0};         // the client left
  Counter retries{0};         // sent to another instance
  Counter ejections{0};
  Counter body_bytes_held{0};  // request bodies in memory now
  Counter bytes_in{0};         // request bodies
  Counter bytes_out{0};        // response bodies
  Counter prompt_tokens{0};
  Counter completion_tokens{0};

  void count_answer(int status) {
    for (std::size_t i = 0; i < kStatuses.size(); ++i) {
      if (kStatuses[i] == status) {
        answers[i].fetch_add(1, std::memory_order_relaxed);
        return;
      }
    }
    other.fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace berth::gateway
