#include "cli/explain.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "base/text.h"
#include "wire/codec.h"
#include "wire/json.h"
#include "wire/texts.h"

BERTH_WIRE(berth::cli::ExplainedAnswer);

namespace berth::cli {
namespace {

constexpr std::size_t kOfferedMax = 8;

std::string_view kind_text(fleet::OccupantKind kind) {
  switch (kind) {
    case fleet::OccupantKind::kForeign:
      return "foreign";
    case fleet::OccupantKind::kOrphan:
      return "orphan";
    case fleet::OccupantKind::kInstance:
      break;
  }
  return "ours";
}

Error no_such_device(const std::string& reference, std::vector<std::string> known) {
  const auto near = nearest(reference, known);
  const std::size_t all = known.size();
  if (all > kOfferedMax) known.resize(kOfferedMax);
  const std::string more = all > kOfferedMax ? fmt::format(" and {} more", all - kOfferedMax) : "";
  return invalid(fmt::format("--explain names \"{}\", which this fleet does not have{}; it has {}{}",
                             printable(reference),
                             near ? fmt::format("; did you mean {}?", printable(*near)) : "",
                             known.empty() ? "no devices" : printable(join(known, ", ")),
                             more));
}

Bytes bytes_on(const std::vector<fleet::DeviceClaim>& list, const std::string& device) {
  Bytes sum;
  for (const auto& item : list)
    if (item.device == device) sum += item.bytes;
  return sum;
}

bool mentions(const std::vector<fleet::DeviceClaim>& list, const std::string& device) {
  return std::any_of(list.begin(), list.end(), [&](const auto& item) { return item.device == device; });
}

std::optional<HolderView> holder_of(const fleet::Occupant& o, const std::string& device) {
  if (!mentions(o.claim.devices, device) && !mentions(o.observed, device)) return std::nullopt;
  HolderView out{.name = o.id,
                 .deployment = o.deployment,
                 .kind = std::string(kind_text(o.kind)),
                 .claim = bytes_on(o.claim.devices, device),
                 .observed = std::nullopt,
                 .stopping = o.stopping};
  if (mentions(o.observed, device)) out.observed = bytes_on(o.observed, device);
  return out;
}

void add_holders(DeviceSums& sums, const std::vector<InstanceView>& instances) {
  for (const auto& i : instances)
    for (const auto& part : i.spec.plan.workers) {
      if (part.worker_name != sums.worker || !mentions(part.claim.devices, sums.device)) continue;
      HolderView holder{.name = i.name,
                        .deployment = i.spec.deployment_name,
                        .kind = "ours",
                        .claim = bytes_on(part.claim.devices, sums.device),
                        .observed = std::nullopt,
                        .stopping = i.status.stop};
      if (mentions(i.status.observed, sums.device)) holder.observed = bytes_on(i.status.observed, sums.device);
      sums.holders.push_back(std::move(holder));
    }
}

std::string holder_text(const HolderView& h, bool chinese) {
  std::string text = h.name;
  if (!h.deployment.empty() && h.deployment != h.name)
    text += fmt::format(fmt::runtime(chinese ? "（部署 {}）" : " (of {})"), h.deployment);
  if (h.kind != "ours") text += fmt::format(" [{}]", h.kind);
  text += fmt::format(fmt::runtime(chinese ? "：声明 {}" : ": claims {}"), human(h.claim));
  if (h.observed) text += fmt::format(fmt::runtime(chinese ? "，实测 {}" : ", measured {}"), human(*h.observed));
  if (h.stopping) text += chinese ? "，正在停止" : ", stopping";
  return text;
}

}  // namespace

fleet::Request for_device(fleet::Request request, const std::string& device) {
  request.restriction.workers.clear();
  request.restriction.devices = {device};
  request.restriction.use = fleet::DeviceUse::kAny;
  request.restriction.across_workers = false;
  request.replicas = 1;
  return request;
}

Result<DeviceSums> sums_of(const fleet::FleetSnapshot& snapshot, const std::string& reference) {
  std::vector<std::string> known;
  std::optional<DeviceSums> found;
  snapshot.for_each([&](const fleet::WorkerEntry& entry) {
    for (std::size_t i = 0; i < entry.worker.devices.size(); ++i) {
      const auto& device = entry.worker.devices[i];
      known.push_back(entry.worker.name + "/" + device.id);
      if (found || (known.back() != reference && entry.worker.id + "/" + device.id != reference)) continue;
      found = DeviceSums{.worker = entry.worker.name,
                         .device = device.id,
                         .name = device.name,
                         .capacity = entry.capacity[i],
                         .pool = device.unified_memory ? std::optional(entry.memory) : std::nullopt,
                         .holders = {}};
      for (const auto& o : entry.occupants)
        if (auto holder = holder_of(o, device.id)) found->holders.push_back(std::move(*holder));
    }
  });
  if (!found) return no_such_device(reference, std::move(known));
  return *std::move(found);
}

Result<DeviceSums> sums_of(const Server& server, const std::string& reference) {
  TRY(const auto devices, server.call("GET", "/api/v1/devices"));
  TRY(const auto list, wire::from_json<Items<DeviceView>>(devices, wire::Strictness::kLenient));
  std::vector<std::string> known;
  std::optional<DeviceSums> found;
  for (const auto& d : list.items) {
    known.push_back(d.worker + "/" + d.device.id);
    if (known.back() != reference) continue;
    found = DeviceSums{.worker = d.worker,
                       .device = d.device.id,
                       .name = d.device.name,
                       .capacity = d.capacity,
                       .pool = std::nullopt,
                       .holders = {}};
  }
  if (!found) return no_such_device(reference, std::move(known));
  TRY(const auto instances, server.call("GET", "/api/v1/instances"));
  TRY(const auto all, wire::from_json<Items<InstanceView>>(instances, wire::Strictness::kLenient));
  add_holders(*found, all.items);
  return *std::move(found);
}

std::string render(const Terminal& terminal, const DeviceSums& as_told, placement::Language language) {
  const bool chinese = language == placement::Language::kChinese;
  const auto say = [&](std::string_view english, std::string_view other) {
    return std::string(chinese ? other : english);
  };
  std::string out = terminal.paint(
      Ink::kBold,
      fmt::format("{}/{}: {}", printable(as_told.worker), printable(as_told.device), printable(as_told.name)));
  out += "\n";
  const auto row = [&](std::string_view sign, const std::string& what, Bytes bytes) {
    const std::size_t used = columns(what);
    out += fmt::format("  {} {}{} {:>12}\n", sign, what, std::string(used < 12 ? 12 - used : 0, ' '), human(bytes));
  };
  const auto sum = [&](const fleet::DeviceCapacity& c) {
    row(" ", say("total", "总量"), c.total);
    row("-", say("reserved", "保留"), c.reserved);
    row("-", say("claimed", "已占用"), c.claimed);
    row("-", say("foreign", "其他进程"), c.foreign);
    row("=", say("allocatable", "可分配"), c.allocatable);
    if (c.overcommitted)
      out += "  " + std::string(terminal.marks().warn) + " " + say("more is claimed than there is\n", "占用超过总量\n");
  };
  sum(as_told.capacity);
  if (as_told.pool) {
    out += say("  the pool that it shares with the host:\n", "  与主机共享的内存：\n");
    sum(*as_told.pool);
  }
  if (!as_told.holders.empty()) out += say("  held by\n", "  占用者\n");
  for (const auto& holder : as_told.holders) out += "    " + printable(holder_text(holder, chinese)) + "\n";
  out += "\n" + say("As if it alone were selected by hand:", "如同仅手动选择该设备：") + "\n";
  return terminal.plain(std::move(out));
}

}  // namespace berth::cli
