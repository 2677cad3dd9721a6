#pragma once
// What the gateway needs from the rest of berth, as interfaces, and two ready implementations that have no storage
// behind them. All of them are called from every event loop: they must be thread-safe and must not block.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/time.h"

namespace berth::gateway {

/// An engine that the gateway's own host may dial itself.
struct Direct {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string secret;  // sent as Authorization: Bearer; empty: none
};

/// One ready instance.
struct Target {
  std::string instance;  // id
  std::string deployment;
  std::string worker;  // id; names the data connections when there is no `direct`
  std::string route;
  std::string task = "generate";
  std::uint64_t attempt = 0;
  std::optional<Direct> direct;
};

/// A public model name.
struct RouteEntry {
  std::string task = "generate";  // "generate" or "embed"
  Time created{};
  std::vector<Target> ready;
  std::string waiting;  // with nothing ready: what it waits for, as in "waiting for worker gpu-1 to load the model"
};

struct RouteTable {
  std::map<std::string, RouteEntry, std::less<>> routes;
};

class RouteSource {
 public:
  virtual ~RouteSource() = default;
  /// Never null. A request keeps the table it began with.
  [[nodiscard]] virtual std::shared_ptr<const RouteTable> routes() const = 0;
};

/// A table that is replaced whole whenever the fleet changes.
class RouteBoard final : public RouteSource {
 public:
  void publish(RouteTable table);
  [[nodiscard]] std::shared_ptr<const RouteTable> routes() const override;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const RouteTable> table_ = std::make_shared<const RouteTable>();
};

constexpr std::string_view kInferenceScope = "inference";

struct KeyInfo {
  std::string id;
  std::vector<std::string> scopes;  // must hold kInferenceScope
};

class KeyCheck {
 public:
  virtual ~KeyCheck() = default;
  /// In memory, by digest, compared in constant time. Absent: unknown, expired or revoked.
  [[nodiscard]] virtual std::optional<KeyInfo> check(std::string_view presented_key) const = 0;
};

/// What one request used. Without figures from the engine (an aborted stream) `completion_tokens` counts the pieces
/// that were relayed, which is a lower bound, and `counted` is false.
struct Usage {
  std::string key_id;
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  bool aborted = false;  // the client left or the engine broke off
  bool counted = true;   // by the engine
};

class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual void add(const Usage& usage) = 0;
};

constexpr std::size_t kUsageRowsMax = 100'000;

/// Sums per key and model until somebody drains them, for writing in groups.
class UsageTotals final : public Ledger {
 public:
  struct Row {
    std::string key_id;
    std::string model;
    std::uint64_t requests = 0;
    std::uint64_t aborted = 0;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
  };

  /// Beyond kUsageRowsMax pairs the sum goes to one row with empty names.
  void add(const Usage& usage) override;
  /// The rows since the last call, by key and model.
  std::vector<Row> drain();
  /// The same without taking them.
  [[nodiscard]] std::vector<Row> rows() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, std::string>, Row> rows_;
};

}  // namespace berth::gateway
