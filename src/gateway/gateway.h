#pragma once
// The inference surface in the manner of OpenAI: /v1/models, /v1/models/{id}, /v1/chat/completions, /v1/completions,
// /v1/embeddings. Bodies pass through byte for byte; of a request only the fields that decide its way are read.
//
//   Exchange → key → body (bounded) → control fields → route → target → upstream ─ one answer ─→ client
//                                                        ↑ another ──┘           └ events ────→ client, as they come
//
// The gateway has no thread: handle() runs on the executor of its exchange, on as many loops as the app has.

#include <cstddef>
#include <memory>
#include <string_view>

#include "gateway/data_pool.h"
#include "gateway/metrics.h"
#include "gateway/ports.h"
#include "net/server.h"

namespace berth::gateway {

struct Options {
  std::size_t body_max = net::kRequestBodyMax;         // bytes of one request body: 413
  std::size_t bodies_held_max = 1024UL * 1024 * 1024;  // bytes of all request bodies in memory: 503
  std::size_t in_flight_max = 2048;                    // requests: 503
  std::size_t answer_max = 256UL * 1024 * 1024;        // bytes of an answer that is no stream: 502
  net::Millis connect_max{2'000};                      // to an engine on this host
  net::Millis data_wait_max{5'000};                    // for a worker to open a data connection
  net::Millis send_max{60'000};                        // until the engine took the request
  net::Millis first_byte_max{30 * 60 * 1000};          // prompts of 100k tokens on a CPU take long: 504
  net::Millis stall_max{10 * 60 * 1000};               // between two pieces of an answer
  net::Millis worker_silence_max{10'000};              // of a request's worker while its control connection is gone
  net::Millis ping_every{15'000};                      // of silence in a stream
  net::Millis eject_for{5'000};                        // a target that could not be reached, or refused
};

struct Ports {
  const RouteSource& routes;
  const KeyCheck& keys;
  Ledger& ledger;
  DataPool& data;
};

class Gateway {
 public:
  explicit Gateway(Ports ports, Options options = {});
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// True for the paths listed above: what the app hands to handle().
  static bool owns(std::string_view path);
  /// Answers the request in any case; other paths under /v1/ get OpenAI's 404. The exchanges must have ended before
  /// the gateway goes away.
  net::awaitable<void> handle(net::Exchange& exchange);
  /// Answers with `error` in OpenAI's shape: what the app refuses before it looks at the request.
  net::awaitable<void> refuse(net::Exchange& exchange, const Error& error);
  [[nodiscard]] const Metrics& metrics() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace berth::gateway
