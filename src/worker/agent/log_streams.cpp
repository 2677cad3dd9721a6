#include "worker/agent/log_streams.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "worker/logs/log_file.h"

namespace berth::worker {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

/// Length of a character by its first byte; 0 for a byte that begins none.
std::size_t length_by(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80; }

/// Bytes of a character that the end of `text` cuts off; 0 when it is whole or none.
std::size_t cut_off(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const char c = text[text.size() - back];
    if (continues(c)) continue;
    return length_by(static_cast<unsigned char>(c)) > back ? back : 0;
  }
  return 0;
}

std::string cleaned(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = length_by(static_cast<unsigned char>(text[at]));
    const std::string_view one = text.substr(at, length);
    const bool good = length > 0 && one.size() == length && is_utf8(one);
    out.append(good ? one : kReplacement);
    at += good ? length : 1;
  }
  return out;
}

}  // namespace

std::string Utf8Cleaner::feed(std::string_view bytes) {
  std::string text = std::move(pending_);
  text.append(bytes);
  pending_ = text.substr(text.size() - cut_off(text));
  text.resize(text.size() - pending_.size());
  return cleaned(text);
}

std::string Utf8Cleaner::finish() { return cleaned(std::exchange(pending_, {})); }

std::string_view first_chunk(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && continues(text[end])) --end;
  return text.substr(0, end);
}

LogStreams::LogStreams(net::Executor executor, net::WorkPool& files, Find find, Send send)
    : executor_(executor),
      files_(files),
      find_(std::move(find)),
      send_(std::move(send)),
      tasks_(std::move(executor), 2 * kLogRequestsMax) {}

void LogStreams::take(wire::LogRequest request) {
  const std::uint64_t id = request.id;
  const auto at = running_.find(id);
  if (request.cancel) {
    if (at == running_.end()) return;
    at->second->now = true;
    at->second->signal.notify();
    return;
  }
  if (at != running_.end()) return;  // the same request twice
  Result<void> spawned;
  if (running_.size() >= kLogRequestsMax) {
    spawned = tasks_.spawn(refuse(id, fmt::format("this worker reads {} logs already, the limit", running_.size())));
  } else {
    auto ended = std::make_shared<Ended>(executor_);
    running_.emplace(id, ended);
    spawned = tasks_.spawn(answer(std::move(request), std::move(ended)));
    if (!spawned) running_.erase(id);
  }
  if (!spawned) log::warn("log request not answered", {log::kv("error", spawned.error().message)});
}

net::awaitable<void> LogStreams::refuse(std::uint64_t id, std::string message) {
  wire::LogChunk chunk{.id = id, .end = true, .error = std::move(message)};
  if (const auto sent = co_await send_(std::move(chunk)); !sent)
    log::debug("log answer not sent", {log::kv("error", sent.error().message)});
}

net::awaitable<void> LogStreams::answer(wire::LogRequest request, std::shared_ptr<Ended> ended) {
  const auto streamed = co_await stream(request, *ended);
  running_.erase(request.id);
  if (!streamed) {
    if (streamed.error().code != Code::kCancelled) co_await refuse(request.id, streamed.error().message);
    co_return;
  }
  wire::LogChunk last{.id = request.id, .end = true};
  if (const auto sent = co_await send_(std::move(last)); !sent)
    log::debug("log answer not sent", {log::kv("error", sent.error().message)});
}

net::awaitable<Result<void>> LogStreams::stream(const wire::LogRequest& request, Ended& ended) {
  const auto path = find_(request.instance);
  if (!path)
    co_return fail(Code::kNotFound, fmt::format("instance {} has no log on this worker", printable(request.instance)));
  std::function<Result<LogFollower>()> open = [&path, &request] {
    return LogFollower::open(*path, request.tail_lines);
  };
  CO_TRY(LogFollower follower, co_await files_.run<LogFollower>(std::move(open)));
  Utf8Cleaner cleaner;
  bool first = true;
  while (!ended.now) {
    std::function<Result<std::string>()> read = [&follower] { return follower.read(); };
    CO_TRY(const std::string bytes, co_await files_.run<std::string>(std::move(read)));
    CO_TRY_VOID(co_await send_text(request.id, cleaner.feed(bytes)));
    if (!request.follow && (bytes.empty() || first)) break;
    first = false;
    // Its log goes with the instance: nothing more will come.
    if (bytes.empty() && !find_(request.instance)) break;
    if (bytes.empty()) co_await ended.signal.wait(net::Deadline::in(kLogPollEvery));
    if (co_await net::task_cancelled()) co_return fail(Code::kCancelled, "cancelled");
  }
  co_return co_await send_text(request.id, cleaner.finish());
}

net::awaitable<Result<void>> LogStreams::send_text(std::uint64_t id, std::string_view text) {
  while (!text.empty()) {
    const std::string_view piece = first_chunk(text, kLogChunkBytesMax);
    wire::LogChunk chunk{.id = id, .text = std::string(piece)};
    CO_TRY_VOID(co_await send_(std::move(chunk)));
    text.remove_prefix(piece.size());
  }
  co_return Result<void>{};
}

}  // namespace berth::worker
