#include "worker/agent/data_links.h"

#include <algorithm>

#include "base/log.h"
#include "wire/messages.h"

namespace berth::worker {
namespace {

constexpr net::Millis kLinksEndMax{5'000};  // for cancelled requests to unwind
constexpr std::uint32_t kLinkDoublingsMax = 8;

net::Millis retry_after(std::uint32_t failures) {
  const std::uint32_t doublings = std::min(failures == 0 ? 0 : failures - 1, kLinkDoublingsMax);
  return std::min(kDataRetryMax, kDataRetryMin * (1 << doublings));
}

/// Counts up for a scope.
struct Counted {
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::size_t& count_;
};

}  // namespace

DataLinks::DataLinks(net::Executor executor, net::Url url, net::ClientTls tls, net::Handler handler)
    : url_(std::move(url)),
      tls_(std::move(tls)),
      handler_(std::move(handler)),
      changed_(executor),
      links_(executor, kDataConnectionsMax) {
  url_.target = wire::kDataPath;
}

void DataLinks::resume(std::string key, std::size_t idle) {
  key_ = std::move(key);
  idle_wanted_ = std::clamp<std::size_t>(idle, 1, kDataIdleMax);
  failures_ = 0;
  changed_.notify();
}

void DataLinks::pause() { idle_wanted_ = extra_ = 0; }

void DataLinks::open_more(std::size_t count) {
  extra_ = std::min(kDataConnectionsMax, extra_ + std::min(count, kDataConnectionsMax));
  changed_.notify();
}

bool DataLinks::wants_more() const {
  if (idle_wanted_ == 0 || open_ + dialling_ >= kDataConnectionsMax) return false;
  return open_ - busy_ + dialling_ < idle_wanted_ || dialling_ < extra_;
}

void DataLinks::spawn_link() {
  ++dialling_;
  const auto spawned = links_.spawn(link());
  if (spawned) return;
  --dialling_;
  note_failure(spawned.error());
}

void DataLinks::note_failure(const Error& error) {
  if (failures_++ == 0) log::warn("no data connection", {log::kv("error", error.message)});
  extra_ = 0;
  retry_at_ = net::Deadline::in(retry_after(failures_));
}

net::awaitable<void> DataLinks::run() {
  while (!co_await net::task_cancelled()) {
    while (failures_ == 0 && wants_more()) spawn_link();
    // After a failure one at a time, until one succeeds.
    if (failures_ > 0 && dialling_ == 0 && retry_at_.passed() && wants_more()) spawn_link();
    const bool retries = failures_ > 0 && dialling_ == 0 && wants_more();
    co_await changed_.wait(retries ? retry_at_ : net::Deadline::never());
  }
}

net::awaitable<Result<net::Stream>> DataLinks::dial() {
  net::HeaderList headers;
  headers.add("Authorization", "Bearer " + key_);
  std::string protocol(wire::kDataUpgrade);
  co_return co_await net::dial_upgrade(
      url_, tls_, std::move(protocol), std::move(headers), net::Deadline::in(kDataDialMax));
}

net::awaitable<void> DataLinks::link() {
  auto stream = co_await dial();
  --dialling_;
  if (!stream) {
    note_failure(stream.error());
    changed_.notify();
    co_return;
  }
  stream->probe_peer(kServerLostAfter);
  failures_ = 0;
  if (extra_ > 0) --extra_;
  {
    const Counted opened(open_);
    changed_.notify();
    net::ServerOptions options;
    options.idle_max = kDataIdleFor;
    options.server_name = "";
    net::Handler handler = [this](net::Exchange& exchange) { return serve(exchange); };
    co_await net::serve_connection(std::move(*stream), std::move(handler), std::move(options));
  }
  changed_.notify();
}

net::awaitable<void> DataLinks::serve(net::Exchange& exchange) {
  const Counted occupied(busy_);
  changed_.notify();
  co_await handler_(exchange);
}

net::awaitable<void> DataLinks::end() {
  links_.cancel();
  if (const auto ended = co_await links_.join(net::Deadline::in(kLinksEndMax)); !ended)
    log::error("data connections did not end", {log::kv("count", links_.size())});
}

}  // namespace berth::worker
