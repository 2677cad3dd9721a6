#pragma once
// The local half as the connection sees it: the supervisor behind one thread of its own, which goes on ticking whether
// a server can be reached or not, and a picture of its instances for everybody else.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "net/runtime.h"
#include "wire/messages.h"
#include "worker/detect/detect.h"
#include "worker/supervise/supervisor.h"

namespace berth::worker {

constexpr std::size_t kLocalJobsMax = 256;  // that wait for the supervisor's thread

/// What the supervisor said last. Immutable.
struct Picture {
  std::uint64_t changes = 0;
  std::vector<wire::InstanceReport> reports;  // sorted by instance, with secrets
  std::map<std::string, Endpoint> endpoints;  // ready instances
  std::map<std::string, std::string> log_files;
};

/// Belongs to one executor and is used from it. The supervisor and the observer are touched by one thread only.
class Local {
 public:
  Local(net::Executor executor, Supervisor& supervisor, Observer& observer, const Clock& clock);
  ~Local();
  Local(const Local&) = delete;
  Local& operator=(const Local&) = delete;

  /// Once, first: adopts the engines of a former agent.
  net::awaitable<Result<void>> begin();
  /// Ticks until the task is cancelled. Leaves every engine running.
  net::awaitable<void> run();

  /// Each instruction in turn; a refused one is logged and the others are carried out. Errors: kUnavailable.
  net::awaitable<Result<void>> apply(std::vector<wire::DesiredInstance> desired);
  net::awaitable<Result<void>> forget(std::vector<std::string> instances);
  net::awaitable<Result<Usage>> look();

  [[nodiscard]] std::shared_ptr<const Picture> picture() const { return picture_; }
  /// Notified when the picture shows something new. For one waiting task.
  [[nodiscard]] net::Signal& changed() { return changed_; }

 private:
  net::awaitable<Result<void>> on_thread(std::function<void()> job);
  void publish(std::shared_ptr<const Picture> picture);

  Supervisor& supervisor_;
  Observer& observer_;
  const Clock& clock_;
  std::shared_ptr<const Picture> picture_ = std::make_shared<Picture>();
  net::Signal changed_;
  net::Signal kick_;
  net::WorkPool thread_;  // last: its jobs use the rest
};

}  // namespace berth::worker
