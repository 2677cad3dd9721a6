#pragma once
// One control connection after its welcome: what is told and what is heard. Inside of Agent.

#include <map>
#include <memory>
#include <set>
#include <string>

#include "net/frames.h"
#include "worker/agent/data_links.h"
#include "worker/agent/local.h"
#include "worker/agent/log_streams.h"

namespace berth::worker {

constexpr net::Millis kFrameSendMax{15'000};
/// An inventory again when the free disk changed by more than this since the last one.
constexpr Bytes kDiskStep = kGiB;

/// What the sessions of one agent share. References outlive all sessions.
struct SessionWorld {
  Local& local;
  DataLinks& data;
  net::WorkPool& files;
  const Clock& clock;
  fleet::Worker& worker;  // as last told
  std::string key;        // for data connections
  bool simulated = false;
  net::Millis ping_every{0};
  net::Millis silence_max{0};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(net::Executor executor, SessionWorld world, net::FrameChannel channel, wire::Welcome welcome);

  /// Tells the inventory, then serves until the connection ends; the reason is the result.
  net::awaitable<Result<void>> run();
  /// Waits for what run() left behind when its task was cancelled.
  net::awaitable<Result<void>> join(net::Deadline deadline);
  /// The worker's own figures changed: they are told.
  net::awaitable<void> tell_inventory();

 private:
  net::awaitable<Result<void>> listen();
  net::awaitable<Result<void>> hear(net::Frame frame);
  net::awaitable<Result<void>> obey(wire::Desired desired);
  net::awaitable<void> tell_changes(std::shared_ptr<Session> self);
  net::awaitable<void> tell_heartbeats(std::shared_ptr<Session> self);
  net::awaitable<void> ping(std::shared_ptr<Session> self);
  net::awaitable<Result<void>> heartbeat();
  net::awaitable<Result<void>> send_inventory();
  net::awaitable<Result<void>> send(wire::MessageType type, std::string payload);
  net::awaitable<Result<void>> send_chunk(wire::LogChunk chunk);

  /// As the server may see it.
  [[nodiscard]] wire::InstanceReport shown(const wire::InstanceReport& report) const;
  /// Notes that it is told now.
  void told(const wire::InstanceReport& report);
  void end();

  struct Told {
    std::string all;    // JSON of the report
    std::string state;  // the same without what is measured
    bool gone = false;
  };

  SessionWorld world_;
  net::FrameChannel channel_;
  wire::Welcome welcome_;
  std::map<std::string, Told> told_;  // by instance
  Bytes disk_told_;
  std::uint64_t sequence_ = 0;
  std::uint64_t desired_revision_ = 0;
  bool blind_ = false;  // the last look failed: said once
  bool over_ = false;
  net::Signal ended_;
  LogStreams logs_;
  net::TaskGroup tasks_;
};

}  // namespace berth::worker
