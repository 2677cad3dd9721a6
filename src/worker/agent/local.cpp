#include "worker/agent/local.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"

namespace berth::worker {
namespace {

constexpr Duration kTickSoonest{10};
constexpr Duration kTickLatest{5'000};  // also when nothing is due: the clock of the machine may have been set

std::shared_ptr<const Picture> picture_of(const Supervisor& supervisor) {
  auto picture = std::make_shared<Picture>();
  picture->changes = supervisor.changes();
  picture->reports = supervisor.reports(true);
  for (const wire::InstanceReport& report : picture->reports) {
    if (auto endpoint = supervisor.endpoint(report.instance))
      picture->endpoints.emplace(report.instance, std::move(*endpoint));
    if (auto path = supervisor.log_file(report.instance)) picture->log_files.emplace(report.instance, std::move(*path));
  }
  return picture;
}

}  // namespace

Local::Local(net::Executor executor, Supervisor& supervisor, Observer& observer, const Clock& clock)
    : supervisor_(supervisor),
      observer_(observer),
      clock_(clock),
      changed_(executor),
      kick_(executor),
      thread_("supervisor", 1, kLocalJobsMax) {}

Local::~Local() = default;

void Local::publish(std::shared_ptr<const Picture> picture) {
  picture_ = std::move(picture);
  changed_.notify();
}

net::awaitable<Result<void>> Local::on_thread(std::function<void()> job) {
  co_return co_await thread_.run_void(std::move(job));
}

net::awaitable<Result<void>> Local::begin() {
  std::optional<Result<std::vector<std::string>>> notes;
  std::shared_ptr<const Picture> picture;
  std::function<void()> job = [this, &notes, &picture] {
    notes.emplace(supervisor_.adopt_all(clock_.now()));
    picture = picture_of(supervisor_);
  };
  CO_TRY_VOID(co_await on_thread(std::move(job)));
  ASSERT(notes);
  CO_TRY(const auto found, std::move(*notes));
  for (const std::string& note : found) log::info("found at the start", {log::kv("note", note)});
  publish(std::move(picture));
  co_return Result<void>{};
}

net::awaitable<void> Local::run() {
  while (!co_await net::task_cancelled()) {
    Duration pause = kTickLatest;
    std::shared_ptr<const Picture> picture;
    std::function<void()> job = [this, &pause, &picture] {
      const Time now = clock_.now();
      pause = supervisor_.tick(now) - now;
      picture = picture_of(supervisor_);
    };
    const auto ticked = co_await on_thread(std::move(job));
    if (ticked) publish(std::move(picture));
    const Duration wait = std::clamp(pause, kTickSoonest, kTickLatest);
    co_await kick_.wait(net::Deadline::in(wait));
  }
}

net::awaitable<Result<void>> Local::apply(std::vector<wire::DesiredInstance> desired) {
  std::function<void()> job = [this, &desired] {
    for (const wire::DesiredInstance& one : desired) {
      const auto applied = supervisor_.apply(one, clock_.now());
      if (!applied)
        log::warn("instruction refused",
                  {log::kv("instance", one.instance), log::kv("error", applied.error().message)});
    }
  };
  auto done = co_await on_thread(std::move(job));
  kick_.notify();
  co_return done;
}

net::awaitable<Result<void>> Local::forget(std::vector<std::string> instances) {
  std::shared_ptr<const Picture> picture;
  std::function<void()> job = [this, &instances, &picture] {
    for (const std::string& instance : instances) supervisor_.forget(instance);
    picture = picture_of(supervisor_);
  };
  CO_TRY_VOID(co_await on_thread(std::move(job)));
  publish(std::move(picture));
  co_return Result<void>{};
}

net::awaitable<Result<Usage>> Local::look() {
  std::optional<Result<Usage>> usage;
  std::function<void()> job = [this, &usage] { usage.emplace(observer_.look()); };
  CO_TRY_VOID(co_await on_thread(std::move(job)));
  ASSERT(usage);
  co_return std::move(*usage);
}

}  // namespace berth::worker
