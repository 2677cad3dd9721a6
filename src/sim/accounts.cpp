#include "sim/accounts.h"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "wire/json.h"

namespace berth::sim {
namespace {

using Books = std::map<std::tuple<std::string, std::string, std::string>, Bytes>;  // instance, worker, device

void book(
    Books& books, const std::string& instance, const std::string& worker, const std::string& device, Bytes bytes) {
  if (bytes != Bytes()) books[{instance, worker, device}] += bytes;
}

/// No device of a simulated machine shares its memory with the host: each claim is its own.
void book(Books& books, const std::string& instance, const std::string& worker, const fleet::Claim& claim) {
  for (const auto& d : claim.devices) book(books, instance, worker, d.device, d.bytes);
  book(books, instance, worker, "", claim.memory_bytes);
}

Violation differ(const Books& a, const Books& b, const std::string& what_a, const std::string& what_b) {
  for (const auto& [where, bytes] : a) {
    const auto at = b.find(where);
    if (at != b.end() && at->second == bytes) continue;
    const auto& [instance, worker, device] = where;
    return fmt::format("{} have {} bytes of {} on {}/{}, {} have {}",
                       what_a,
                       bytes.value,
                       instance,
                       worker,
                       device,
                       what_b,
                       at == b.end() ? 0 : at->second.value);
  }
  return std::nullopt;
}

Violation agree(const Books& a, const Books& b, const std::string& what_a, const std::string& what_b) {
  if (auto found = differ(a, b, what_a, what_b)) return found;
  return differ(b, a, what_b, what_a);
}

const std::string kKeyDeployment = "deployment ";
const std::string kKeyWorker = "worker ";

}  // namespace

Violation ClaimsChecker::check(store::Store& store, const reconcile::View& view) {
  const auto claims = store.list_claims({});
  if (!claims) return "claims cannot be read: " + claims.error().message;
  Books stored;
  Books held;
  Books occupied;
  for (const auto& c : *claims) book(stored, c.instance, c.worker, c.device, c.bytes);
  for (const auto& i : view.instances)
    for (const auto& part : i.spec.plan.workers) book(held, i.meta.id, part.worker, part.claim);
  if (auto found = agree(stored, held, "claims", "instances")) return found;
  view.snapshot->for_each([&](const fleet::WorkerEntry& entry) {
    for (const auto& o : entry.occupants)
      if (o.kind == fleet::OccupantKind::kInstance) book(occupied, o.id, entry.worker.id, o.claim);
    for (const auto& lost : entry.lost) book(occupied, lost.occupant, entry.worker.id, lost.device, lost.bytes);
  });
  return agree(held, occupied, "instances", "occupants of the snapshot");
}

std::string mark_of(const fleet::DeploymentSpec& spec) {
  return fmt::format("{} x{}", spec.request.source.path, spec.request.replicas);
}

/// Decodes what changed since the last time.
Violation StoreChecker::read(store::Store& store) {
  const auto now = store.revision();
  if (now && *now == revision_) return std::nullopt;
  const auto all = store.read_state({"worker", "deployment", "instance"});
  if (!all) return "the store cannot be read: " + all.error().message;
  std::map<std::string, Known> fresh;
  for (const auto& o : all->objects) {
    const std::string key = o.kind + " " + o.id;
    auto& known = fresh[key];
    if (const auto at = stored_.find(key); at != stored_.end() && at->second.revision == o.revision) {
      known = std::move(at->second);
      continue;
    }
    known.revision = o.revision;
    known.deleting = o.deleting_at.has_value();
    if (o.kind == "instance") {
      auto status = wire::from_json<fleet::InstanceStatus>(o.status, wire::Strictness::kStrict);
      if (!status) return key + ": " + status.error().message;
      known.status = std::move(*status);
    } else if (o.kind == "worker") {
      const auto spec = wire::from_json<fleet::WorkerSpec>(o.spec, wire::Strictness::kStrict);
      if (!spec) return key + ": " + spec.error().message;
      known.cordoned = spec->cordoned;
    } else {
      const auto spec = wire::from_json<fleet::DeploymentSpec>(o.spec, wire::Strictness::kStrict);
      if (!spec) return key + ": " + spec.error().message;
      known.mark = mark_of(*spec);
    }
  }
  stored_ = std::move(fresh);
  revision_ = all->revision;
  return std::nullopt;
}

Violation StoreChecker::check(store::Store& store, const Look& look) {
  const auto& view = look.view;
  if (auto found = read(store)) return found;
  std::size_t matched = 0;
  const auto find = [&](const std::string& kind, const reconcile::Envelope& meta) -> const Known* {
    const auto at = stored_.find(kind + " " + meta.id);
    if (at == stored_.end()) return nullptr;
    ++matched;
    return &at->second;
  };
  for (const auto& d : view.deployments) {
    const auto* known = find("deployment", d.meta);
    if (known == nullptr) return d.meta.name + " is shown and not stored";
    if (known->mark != mark_of(d.spec) || known->deleting != d.meta.deleting)
      return fmt::format("{} is shown as {}, stored as {}", d.meta.name, mark_of(d.spec), known->mark);
  }
  for (const auto& i : view.instances) {
    const auto* known = find("instance", i.meta);
    if (known == nullptr) return i.meta.name + " is shown and not stored";
    if (known->status.state != i.status.state || known->status.stop != i.status.stop)
      return fmt::format("{} is shown as {}, stored as {}",
                         i.meta.name,
                         wire::enum_name(i.status.state),
                         wire::enum_name(known->status.state));
  }
  for (const auto& w : view.workers) {
    const auto* known = find("worker", w.meta);
    if (known == nullptr) return w.meta.name + " is shown and not stored";
    if (known->cordoned != w.spec.cordoned || known->cordoned != w.worker.cordoned)
      return w.meta.name + " is shown as cordoned or not, and stored otherwise";
  }
  if (matched != stored_.size()) return fmt::format("{} objects are stored, {} are shown", stored_.size(), matched);
  return std::nullopt;
}

std::string deployment_key(const std::string& name) { return kKeyDeployment + name; }
std::string worker_key(const std::string& name) { return kKeyWorker + name; }

void Promises::ask(const std::string& key, std::optional<std::string> mark) {
  auto& possible = possible_[key];
  if (possible.empty()) possible.emplace_back();
  possible.push_back(mark);
  asked_ = {key, std::move(mark)};
}

void Promises::done() { possible_[asked_.key] = {asked_.mark}; }

void Promises::refused(Code code) {
  if (code != Code::kTimeout) possible_[asked_.key].pop_back();
}

std::vector<std::string> Promises::deployments() const {
  std::vector<std::string> out;
  for (const auto& [key, possible] : possible_)
    if (key.starts_with(kKeyDeployment) &&
        std::any_of(possible.begin(), possible.end(), [](const auto& mark) { return mark.has_value(); }))
      out.push_back(key.substr(kKeyDeployment.size()));
  return out;
}

Violation Promises::check(const reconcile::View& view) const {
  std::map<std::string, std::string> is;
  for (const auto& d : view.deployments)
    if (!d.meta.deleting) is[deployment_key(d.meta.name)] = mark_of(d.spec);
  for (const auto& w : view.workers)
    if (w.spec.cordoned) is[worker_key(w.meta.name)] = "cordoned";
  for (const auto& [key, mark] : is)
    if (!possible_.contains(key)) return fmt::format("{} is {}, which nobody asked for", key, mark);
  for (const auto& [key, possible] : possible_) {
    const auto at = is.find(key);
    const auto mark = at == is.end() ? std::nullopt : std::optional(at->second);
    if (std::find(possible.begin(), possible.end(), mark) == possible.end())
      return fmt::format("{} is {}, promised was {}",
                         key,
                         mark.value_or("not there"),
                         possible.front().value_or("that it is not there"));
  }
  for (const auto& i : view.instances)
    if (!i.status.stop && stopped_.contains(i.meta.id)) return i.meta.name + " was told to stop and goes on";
  return std::nullopt;
}

}  // namespace berth::sim
