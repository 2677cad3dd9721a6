#include "app/route_table.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace berth::app {
namespace {

std::string waiting_for(const reconcile::View& view, const reconcile::DeploymentObject& d) {
  for (const auto& i : view.instances) {
    if (i.spec.deployment != d.meta.id) continue;
    if (i.status.waiting) return i.status.waiting->text;
    if (!i.status.message.empty()) return i.status.message;
  }
  return d.status.waiting ? d.status.waiting->text : "waiting to be placed";
}

}  // namespace

gateway::RouteTable route_table(const reconcile::View& view,
                                const std::function<std::string(const std::string&)>& secret_of) {
  gateway::RouteTable table;
  for (const auto& d : view.deployments) {
    if (d.meta.deleting) continue;
    const std::string route = d.spec.route.empty() ? d.meta.name : d.spec.route;
    gateway::RouteEntry entry{.task = d.spec.request.task, .created = d.meta.created_at, .ready = {}, .waiting = ""};
    for (const auto& i : view.instances) {
      const bool ready =
          i.spec.deployment == d.meta.id && i.status.state == fleet::InstanceState::kReady && !i.status.stop;
      if (!ready || i.spec.plan.workers.empty()) continue;
      gateway::Target target{.instance = i.meta.id,
                             .deployment = d.meta.id,
                             .worker = i.spec.plan.workers.front().worker,
                             .route = route,
                             .task = i.spec.task,
                             .attempt = i.spec.attempt,
                             .direct = std::nullopt};
      const std::string secret = secret_of(i.meta.id);
      if (!secret.empty() && i.status.port)
        target.direct =
            gateway::Direct{.host = "127.0.0.1", .port = static_cast<std::uint16_t>(*i.status.port), .secret = secret};
      entry.ready.push_back(std::move(target));
    }
    if (entry.ready.empty()) entry.waiting = waiting_for(view, d);
    table.routes.emplace(route, std::move(entry));
  }
  return table;
}

Result<void> write_private_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  const auto failed = [&] {
    return fail(errno == EACCES ? Code::kForbidden : Code::kUnavailable,
                fmt::format("{}: {}", path, std::strerror(errno)));
  };
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed();
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  ::close(fd);
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) return failed();
  return {};
}

}  // namespace berth::app
