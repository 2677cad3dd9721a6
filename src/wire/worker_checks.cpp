#include "wire/worker_checks.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"

namespace berth::wire {
namespace {

constexpr std::size_t kVersionLengthMax = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_' ||
         c == '+';
}

bool is_dotted(std::string_view text) {
  const auto parts = split(text, '.');
  return text.size() <= kVersionLengthMax && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && std::all_of(part.begin(), part.end(), is_digit);
         });
}

bool is_chip(std::string_view text) {
  return !text.empty() && text.size() <= kVersionLengthMax && std::all_of(text.begin(), text.end(), is_word);
}

Result<void> check_claims(const std::string& where,
                          const fleet::Worker& worker,
                          std::string_view field,
                          const std::vector<fleet::DeviceClaim>& claims) {
  std::set<std::string> seen;
  std::vector<std::string> ids;
  for (const auto& device : worker.devices) ids.push_back(device.id);
  for (const auto& claim : claims) {
    if (std::find(ids.begin(), ids.end(), claim.device) == ids.end())
      return invalid(fmt::format("{}.{}: the worker has no device \"{}\", it has {}",
                                 where,
                                 field,
                                 printable(claim.device),
                                 ids.empty() ? "none" : join(ids, ", ")));
    if (!seen.insert(claim.device).second)
      return invalid(fmt::format("{}.{} names device \"{}\" twice", where, field, printable(claim.device)));
  }
  return {};
}

}  // namespace

Result<void> check_versions(const fleet::Device& device) {
  const bool nvidia = device.vendor == "nvidia";
  const auto version = [&](std::string_view field, const std::optional<std::string>& value) -> Result<void> {
    if (!value || is_dotted(*value)) return {};
    if (!nvidia && is_chip(*value) && is_digit(value->front())) return {};
    return invalid(fmt::format("{} is \"{}\", must be {} like 12.4",
                               field,
                               printable(*value),
                               nvidia ? "numbers with dots" : "a version that begins with a number,"));
  };
  TRY_VOID(version("runtime_version", device.runtime_version));
  TRY_VOID(version("driver_version", device.driver_version));
  const auto& capability = device.compute_capability;
  if (!capability || is_dotted(*capability) || (!nvidia && is_chip(*capability))) return {};
  return invalid(fmt::format("compute_capability is \"{}\", must be {}",
                             printable(*capability),
                             nvidia ? "numbers with a dot like 8.9" : "a version or the name of a chip like 910b3"));
}

Result<void> check_occupants(const fleet::Worker& worker, const std::vector<fleet::Occupant>& occupants) {
  std::set<std::string> ids;
  for (std::size_t i = 0; i < occupants.size(); ++i) {
    const auto& o = occupants[i];
    const std::string where = fmt::format("occupants.{}[{}]", worker.name, i);
    if (o.id.empty()) return invalid(where + ".id is missing");
    if (!ids.insert(o.id).second)
      return invalid(fmt::format("{}.id is \"{}\", which another one has too", where, printable(o.id)));
    const auto& on = o.claim.worker;
    if (!on.empty() && on != worker.id && on != worker.name)
      return invalid(
          fmt::format("{}.claim.worker is \"{}\", must be \"{}\" or left out", where, printable(on), worker.name));
    TRY_VOID(check_claims(where, worker, "claim.devices", o.claim.devices));
    TRY_VOID(check_claims(where, worker, "observed", o.observed));
  }
  return {};
}

}  // namespace berth::wire
