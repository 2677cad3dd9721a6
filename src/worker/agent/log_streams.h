#pragma once
// Logs of instances, sent to the server in chunks on the control connection.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/runtime.h"
#include "wire/messages.h"

namespace berth::worker {

constexpr std::size_t kLogChunkBytesMax = 64 * 1024;
constexpr std::size_t kLogRequestsMax = 64;  // at once
constexpr net::Millis kLogPollEvery{250};    // of a followed file

/// Makes UTF-8 of an engine's bytes, which may be anything and may be cut anywhere: what is none becomes U+FFFD, and
/// the first bytes of a character wait for the rest.
class Utf8Cleaner {
 public:
  std::string feed(std::string_view bytes);
  /// What waits for a rest that never came.
  std::string finish();

 private:
  std::string pending_;  // at most 3 bytes
};

/// Cuts valid UTF-8 after at most `bytes_max` bytes, between characters.
std::string_view first_chunk(std::string_view text, std::size_t bytes_max);

/// The requests of one control connection. Belongs to one executor.
class LogStreams {
 public:
  using Send = std::function<net::awaitable<Result<void>>(wire::LogChunk chunk)>;
  /// Path of an instance's log; absent when it has none here (any more).
  using Find = std::function<std::optional<std::string>(const std::string& instance)>;

  LogStreams(net::Executor executor, net::WorkPool& files, Find find, Send send);
  LogStreams(const LogStreams&) = delete;
  LogStreams& operator=(const LogStreams&) = delete;

  /// Begins to answer, or ends the request of that id. Errors reach the server as a chunk.
  void take(wire::LogRequest request);
  void cancel() { tasks_.cancel(); }
  net::awaitable<Result<void>> join(net::Deadline deadline) { return tasks_.join(deadline); }

 private:
  struct Ended {
    explicit Ended(net::Executor executor) : signal(std::move(executor)) {}
    bool now = false;
    net::Signal signal;
  };

  net::awaitable<void> answer(wire::LogRequest request, std::shared_ptr<Ended> ended);
  net::awaitable<Result<void>> stream(const wire::LogRequest& request, Ended& ended);
  net::awaitable<Result<void>> send_text(std::uint64_t id, std::string_view text);
  net::awaitable<void> refuse(std::uint64_t id, std::string message);

  net::Executor executor_;
  net::WorkPool& files_;
  Find find_;
  Send send_;
  std::map<std::uint64_t, std::shared_ptr<Ended>> running_;
  net::TaskGroup tasks_;
};

}  // namespace berth::worker
