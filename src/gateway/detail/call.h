#pragma once
// One inference request from its body to its last byte.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/detail/answers.h"
#include "gateway/detail/control_fields.h"
#include "gateway/detail/state.h"
#include "gateway/detail/upstream.h"
#include "gateway/detail/usage.h"
#include "net/server.h"

namespace berth::gateway {

enum class Surface { kChat, kCompletions, kEmbeddings };

/// The same on the gateway and on the engine.
constexpr std::string_view path_of(Surface surface) {
  switch (surface) {
    case Surface::kChat:
      return "/v1/chat/completions";
    case Surface::kCompletions:
      return "/v1/completions";
    case Surface::kEmbeddings:
      return "/v1/embeddings";
  }
  return {};
}

/// Sends the answer with the request id and counts it.
net::awaitable<Result<void>> send_answer(Gateway::State& state,
                                         net::Exchange& exchange,
                                         std::string request_id,
                                         net::Response response);

/// Keeps proxies and clients from giving up on a stream; sent between events only.
constexpr std::string_view kPing = ": ping\n\n";

class Call {
 public:
  struct Given {
    Surface surface;
    KeyInfo key;
    std::string request_id;
  };

  Call(Gateway::State& state, net::Exchange& exchange, Given given);
  /// Books what was used.
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  net::awaitable<void> run();

 private:
  net::awaitable<Result<void>> read_body();
  /// Why an instance did not take the request, of whose answer no byte has come.
  struct Refused {
    ApiError error;  // for the client, unless another instance takes it
    std::string why;
    bool untouched = true;     // no engine saw the request
    bool worker_lost = false;  // none of its instances is reached
  };

  net::awaitable<void> forward(const RouteEntry& entry);
  /// Absent when the request is settled; else another instance may be tried.
  net::awaitable<std::optional<Refused>> attempt(const Target& target);
  net::awaitable<void> relay_answer(Upstream& upstream, const net::Response& head);
  /// Of an answer that is the relay's own.
  net::awaitable<Refused> read_refusal(Upstream& upstream, const net::Response& head, const Target& target);
  net::awaitable<Result<const net::Response*>> wait_head(Upstream& upstream);
  net::awaitable<void> relay_events(Upstream& upstream);
  net::awaitable<void> relay_whole(Upstream& upstream, int status, std::string content_type);
  net::awaitable<Result<std::string>> read_whole(Upstream& upstream);
  /// As a response, or as the last event when a stream was begun.
  net::awaitable<void> answer_error(ApiError error);
  net::awaitable<Result<void>> start_events();
  /// `sent` is the result of a write to the client: one that failed means that the client left.
  bool lost_client(const Result<void>& sent);
  void build_request();

  Gateway::State& state_;
  net::Exchange& exchange_;
  Given given_;
  net::Request request_;  // to the engine; its body is the client's
  ControlFields fields_;
  Held body_held_;
  bool forwarded_ = false;  // an engine saw the request: it counts as used
  bool events_begun_ = false;
  bool aborted_ = false;  // the client left or the engine broke off
  std::optional<TokenCounts> counts_;
  std::uint64_t pieces_ = 0;  // of generated text that were relayed
};

}  // namespace berth::gateway
