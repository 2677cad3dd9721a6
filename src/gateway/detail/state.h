#pragma once
// What all requests of one gateway share.

#include "gateway/detail/balancer.h"
#include "gateway/detail/direct_pool.h"
#include "gateway/gateway.h"

namespace berth::gateway {

struct Gateway::State {
  State(Ports given, Options wanted) : ports(given), options(wanted) {}

  Ports ports;
  Options options;
  Metrics metrics;
  Balancer balancer;
  DirectPool direct;
};

/// Adds to a gauge for as long as it lives.
class Held {
 public:
  explicit Held(Metrics::Counter& counter, std::uint64_t amount = 0) : counter_(counter) { add(amount); }
  ~Held() { clear(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  void add(std::uint64_t amount) {
    counter_.fetch_add(amount, std::memory_order_relaxed);
    amount_ += amount;
  }
  void clear() {
    counter_.fetch_sub(amount_, std::memory_order_relaxed);
    amount_ = 0;
  }

 private:
  Metrics::Counter& counter_;
  std::uint64_t amount_ = 0;
};

}  // namespace berth::gateway
