#include "gateway/detail/upstream.h"

#include <algorithm>
#include <fmt/format.h>

#include "gateway/detail/hop.h"
#include "wire/messages.h"

namespace berth::gateway {
namespace {

constexpr int kStaleTriesMax = 4;  // kept connections in a row that turn out to be dead
constexpr net::Millis kPresenceLook{1'000};

}  // namespace

Upstream::Upstream(Gateway::State& state, Target target, net::Request& request, net::Executor home)
    : state_(state), target_(std::move(target)), home_(std::move(home)), owner_(home_), request_(request) {}

Upstream::~Upstream() { drop(); }

void Upstream::drop() {
  if (!connection_) return;
  if (owner_ == home_) {
    connection_->close();  // now: the engine stops computing for a client that left
  } else {
    dispose(std::move(*connection_));
  }
  connection_.reset();
}

template <class T>
net::awaitable<Result<T>> Upstream::there(net::awaitable<Result<T>> op) {
  if (owner_ == home_) return op;
  return result_on<T>(owner_, std::move(op));
}

net::awaitable<Result<void>> Upstream::open() {
  request_.headers.remove("Authorization");
  request_.headers.remove(wire::kInstanceHeader);
  if (target_.direct) {
    address_ = fmt::format("{}:{}", target_.direct->host, target_.direct->port);
    if (!target_.direct->secret.empty()) request_.headers.set("Authorization", "Bearer " + target_.direct->secret);
  } else {
    request_.headers.set(wire::kInstanceHeader, target_.instance);
    presence_ = state_.ports.data.presence(target_.worker);
  }
  return connect_and_send();
}

net::awaitable<Result<void>> Upstream::connect_and_send() {
  for (;;) {
    CO_TRY_VOID(co_await connect());
    auto sent = co_await there<void>(connection().send(request_, net::Deadline::in(state_.options.send_max)));
    heard_at_ = std::chrono::steady_clock::now();
    if (sent) co_return sent;
    const bool again = reused_ && sent.error().code == Code::kUnavailable && ++stale_tries_ < kStaleTriesMax;
    drop();
    if (!again) co_return sent;
  }
}

net::awaitable<Result<void>> Upstream::connect() {
  if (target_.direct) co_return co_await connect_direct(*target_.direct);
  auto taken = co_await state_.ports.data.take(target_.worker, net::Deadline::in(state_.options.data_wait_max));
  if (!taken) co_return std::move(taken).error();
  owner_ = connection_.emplace(std::move(*taken)).stream().executor();
  reused_ = true;  // it waited in the pool in any case
  co_return Result<void>{};
}

net::awaitable<Result<void>> Upstream::connect_direct(const Direct& direct) {
  owner_ = home_;
  reused_ = false;
  if (stale_tries_ == 0) {
    connection_ = state_.direct.take(address_, home_);
    reused_ = connection_.has_value();
  }
  if (connection_) co_return Result<void>{};
  auto stream = co_await net::connect_tcp(direct.host, direct.port, net::Deadline::in(state_.options.connect_max));
  if (!stream) co_return std::move(stream).error();
  connection_.emplace(std::move(*stream), address_);
  co_return Result<void>{};
}

net::awaitable<Result<const net::Response*>> Upstream::read_head(net::Deadline deadline) {
  for (;;) {
    auto head = co_await there<const net::Response*>(connection().read_head(look(deadline)));
    if (head) heard_at_ = std::chrono::steady_clock::now();
    if (head) co_return head;
    if (head.error().code == Code::kTimeout && find_lost()) co_return lost_error();
    if (head.error().code == Code::kTimeout && !deadline.passed()) continue;
    const bool again = head.error().code == Code::kUnavailable && reused_ && connection().unanswered() &&
                       ++stale_tries_ < kStaleTriesMax;
    if (!again) co_return head;
    drop();
    auto sent = co_await connect_and_send();
    if (!sent) co_return std::move(sent).error();
  }
}

net::awaitable<Result<std::string_view>> Upstream::read_some(net::Deadline deadline) {
  for (;;) {
    auto piece = co_await there<std::string_view>(connection().read_some(look(deadline)));
    if (presence_ && piece) heard_at_ = std::chrono::steady_clock::now();
    if (piece || piece.error().code != Code::kTimeout) co_return piece;
    if (find_lost()) co_return lost_error();
    if (deadline.passed()) co_return piece;
  }
}

net::Deadline Upstream::look(net::Deadline deadline) const {
  if (!presence_) return deadline;
  return deadline.sooner(net::Deadline::in(std::min(kPresenceLook, state_.options.worker_silence_max)));
}

bool Upstream::find_lost() {
  const auto gone = presence_ ? presence_->gone_since() : std::nullopt;
  lost_ = gone && std::chrono::steady_clock::now() - std::max(*gone, heard_at_) >= state_.options.worker_silence_max;
  return lost_;
}

Error Upstream::lost_error() const {
  return fail(Code::kUnavailable,
              fmt::format("worker {} is not connected and sent nothing for {} ms",
                          target_.worker,
                          state_.options.worker_silence_max.count()));
}

void Upstream::keep() {
  if (!connection_ || !connection_->reusable()) return drop();
  if (target_.direct) {
    state_.direct.give_back(address_, std::move(*connection_));
  } else {
    state_.ports.data.give_back(target_.worker, std::move(*connection_));
  }
  connection_.reset();
}

}  // namespace berth::gateway
