#pragma once
// What worker and server say to each other on the control connection: frames (net/frames.h) whose type byte is one of
// MessageType and whose payload is the JSON of the struct of that name. Lenient decoding: a newer peer may add fields.
//
//   worker                                   server
//     |-- Upgrade: berth-control, Bearer key -->|
//     |-- hello ------------------------------->|
//     |<------------------------------ welcome -|
//     |-- inventory (always first) ------------>|
//     |<------------------------------ desired -|   named instances only: what is not named is left alone
//     |-- report, heartbeat … ----------------->|
//
// Data connections are dialled apart (Upgrade: berth-data); on them the gateway sends ordinary HTTP/1.1 requests with
// the header Berth-Instance, and the worker relays them to that instance's engine.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/time.h"
#include "fleet/device.h"
#include "fleet/objects.h"

namespace berth::wire {

enum class MessageType : unsigned char {
  kHello = 1,
  kWelcome = 2,
  kInventory = 3,
  kHeartbeat = 4,
  kReport = 5,
  kDesired = 6,
  kLogRequest = 7,
  kLogChunk = 8,
  kOpenData = 9,
  kRefused = 10,
};

constexpr std::uint32_t kProtocolVersion = 1;
constexpr std::string_view kControlUpgrade = "berth-control";
constexpr std::string_view kDataUpgrade = "berth-data";
constexpr std::string_view kControlPath = "/worker/v1/control";
constexpr std::string_view kDataPath = "/worker/v1/data";
constexpr std::string_view kInstanceHeader = "Berth-Instance";
constexpr std::string_view kWorkerHeader = "Berth-Worker";
/// On an answer that is the relay's own and no engine's; the relay lets no engine send it. Its value says what may be
/// done with the request.
constexpr std::string_view kRefusedHeader = "Berth-Refused";
constexpr std::string_view kRefusedUntouched = "untouched";    // no engine saw it
constexpr std::string_view kRefusedUnanswered = "unanswered";  // its engine went away before the first byte

struct Hello {
  std::uint32_t protocol = kProtocolVersion;
  std::string worker_id;  // empty on the first join
  std::string name;
  std::string version;
  std::string host_id;   // random per machine state directory: two agents on one state are told apart
  std::string loopback;  // net::loopback_id(): whether 127.0.0.1 is the same for both
  bool simulated = false;
};
DESCRIBE(Hello, protocol, worker_id, name, version, host_id, loopback, simulated);

struct Welcome {
  std::string worker_id;
  std::string worker_key;  // only after a join by token: to be kept and used from now on
  std::uint32_t heartbeat_ms = 2000;
  std::uint32_t data_connections_idle = 4;  // how many idle data connections to keep
  bool same_host = false;                   // the gateway may dial 127.0.0.1 itself: report port and secret
};
DESCRIBE(Welcome, worker_id, worker_key, heartbeat_ms, data_connections_idle, same_host);

/// What runs, as the worker sees it: its own record, whatever the server thinks.
struct InstanceReport {
  std::string instance;
  std::uint64_t attempt = 0;
  fleet::InstanceStatus status;
  std::string secret;  // only when welcome.same_host
  bool gone = false;   // process ended, memory seen to be back: claims may be released
};
DESCRIBE(InstanceReport, instance, attempt, status, secret, gone);

struct Inventory {
  fleet::Worker worker;
  std::vector<InstanceReport> instances;
};
DESCRIBE(Inventory, worker, instances);

/// Figures that move. Parallel lists would be fragile: devices are named.
struct Heartbeat {
  std::uint64_t sequence = 0;
  Bytes memory_used_bytes;
  std::vector<fleet::DeviceClaim> devices_used;
  std::vector<InstanceReport> instances;  // observed use in `status.observed`
};
DESCRIBE(Heartbeat, sequence, memory_used_bytes, devices_used, instances);

/// One instruction. `run` false: stop exactly this attempt.
struct DesiredInstance {
  std::string instance;
  std::string name;
  bool run = true;
  fleet::InstanceSpec spec;
};
DESCRIBE(DesiredInstance, instance, name, run, spec);

struct Desired {
  std::uint64_t revision = 0;
  std::vector<DesiredInstance> instances;
};
DESCRIBE(Desired, revision, instances);

struct LogRequest {
  std::uint64_t id = 0;
  std::string instance;
  std::uint32_t tail_lines = 100;
  bool follow = false;
  bool cancel = false;  // ends a following request of the same id
};
DESCRIBE(LogRequest, id, instance, tail_lines, follow, cancel);

struct LogChunk {
  std::uint64_t id = 0;
  std::string text;
  bool end = false;
  std::string error;
};
DESCRIBE(LogChunk, id, text, end, error);

struct OpenData {
  std::uint32_t count = 1;
};
DESCRIBE(OpenData, count);

struct Refused {
  std::string code;
  std::string message;
};
DESCRIBE(Refused, code, message);

}  // namespace berth::wire
