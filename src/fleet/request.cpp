#include "fleet/request.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

#include "base/text.h"
#include "fleet/facts.h"

namespace berth::fleet {
namespace {

void sort_unique(std::vector<std::string>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

Result<void> check_range(std::string_view field,
                         std::optional<std::uint32_t> value,
                         std::uint32_t min,
                         std::uint32_t max) {
  if (!value || (*value >= min && *value <= max)) return {};
  return invalid(fmt::format("{} is {}, must be from {} to {}", field, *value, min, max));
}

Result<void> check_source(std::string_view path, const ModelSource& source) {
  constexpr std::array<std::string_view, 5> kKinds = {"local", "huggingface", "modelscope", "ollama", "catalog"};
  if (source.kind.empty() || std::find(kKinds.begin(), kKinds.end(), source.kind) != kKinds.end()) return {};
  return invalid(
      fmt::format("{}.kind is \"{}\", must be one of {}", path, printable(source.kind), fmt::join(kKinds, ", ")));
}

bool unprintable(std::string_view text) {
  return std::any_of(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

Result<void> check_declared(const Settings& s) {
  if (s.command.size() > kCommandWordsMax)
    return invalid(fmt::format("settings.command has {} words, at most {}", s.command.size(), kCommandWordsMax));
  std::size_t bytes = 0;
  for (const auto& word : s.command) {
    bytes += word.size();
    if (unprintable(word) || !is_utf8(word))
      return invalid(fmt::format("settings.command: \"{}\" has a line break, another control character or bad UTF-8",
                                 printable(word)));
  }
  if (bytes > kCommandBytesMax)
    return invalid(fmt::format("settings.command has {} bytes, at most {}", bytes, kCommandBytesMax));
  if (!s.command.empty() && s.command.front().empty()) return invalid("settings.command[0] is empty: name a program");
  if (s.image &&
      (s.image->empty() || s.image->front() == '-' || unprintable(*s.image) || s.image->find(' ') != std::string::npos))
    return invalid(fmt::format("settings.image is \"{}\", must be an image's name", printable(*s.image)));
  if (!s.needs) return {};
  TRY_VOID(check_range("settings.needs.devices", s.needs->devices, 0, kDeclaredDevicesMax));
  if (s.needs->device_bytes && s.needs->device_bytes->value == 0)
    return invalid("settings.needs.device_bytes is 0, must be above 0: leave it out, or ask for 0 devices");
  if (s.needs->device_bytes && s.needs->devices == 0u)
    return invalid("settings.needs: device_bytes is given, but devices is 0");
  return {};
}

Result<void> check_settings(const Settings& s) {
  constexpr std::uint32_t kUbatchMax = 65536;
  constexpr std::uint32_t kLayersMax = 100000;
  TRY_VOID(check_range("settings.context", s.context, 1, kContextMax));
  TRY_VOID(check_range("settings.sequences", s.sequences, 1, kSequencesMax));
  TRY_VOID(check_range("settings.ubatch", s.ubatch, 1, kUbatchMax));
  TRY_VOID(check_range("settings.offload_layers", s.offload_layers, 0, kLayersMax));
  if (s.utilization && !(*s.utilization > 0 && *s.utilization <= 1))
    return invalid(fmt::format("settings.utilization is {}, must be above 0 and at most 1", *s.utilization));
  return {};
}

Result<void> check_restriction(const Restriction& r) {
  constexpr std::uint32_t kParallelMax = 1024;
  TRY_VOID(check_range("restriction.devices_per_replica", r.devices_per_replica, 1, kParallelMax));
  TRY_VOID(check_range("restriction.tensor_parallel", r.tensor_parallel, 1, kParallelMax));
  TRY_VOID(check_range("restriction.pipeline_parallel", r.pipeline_parallel, 1, kParallelMax));
  TRY_VOID(check_range("restriction.data_parallel", r.data_parallel, 1, kParallelMax));
  TRY_VOID(check_range("restriction.data_parallel_local", r.data_parallel_local, 1, kParallelMax));
  TRY_VOID(check_range("restriction.expert_parallel", r.expert_parallel, 1, kParallelMax));
  TRY_VOID(check_range("restriction.prefill_context_parallel", r.prefill_context_parallel, 1, kParallelMax));
  TRY_VOID(check_range("restriction.decode_context_parallel", r.decode_context_parallel, 1, kParallelMax));
  if (r.devices.size() > kSelectedDevicesMax)
    return invalid(
        fmt::format("restriction.devices has {} entries, at most {}", r.devices.size(), kSelectedDevicesMax));
  for (const auto& device : r.devices) {
    const auto slash = device.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == device.size())
      return invalid(fmt::format("restriction.devices: \"{}\" must have the form worker/device-id", printable(device)));
  }
  if (r.use == DeviceUse::kAll && r.devices.empty())
    return invalid("restriction.use is all, but restriction.devices is empty: name the devices");
  return {};
}

}  // namespace

Policy standard_policy() {
  Policy policy;
  policy.allow_install = false;
  policy.over_workers = false;
  return policy;
}

Policy gpustack_policy() {
  Policy policy;
  policy.name = "gpustack";
  policy.plan_key = {"engine_order", "stage", "layers_on_devices", "score"};
  policy.estimates = "published";
  policy.allocatable = "claims";
  policy.candidates = "listed";
  policy.scores = "gpustack";
  // What it asks of a worker is a build of the backend for one of its devices.
  policy.rules_off = {"engine_arch", "engine_runtime", "driver", "capability", "engine_present", "disk"};
  policy.overcommit_selection = true;
  return policy;
}

Result<Request> canonical(Request request) {
  if (request.replicas < 1 || request.replicas > kReplicasMax)
    return invalid(fmt::format("replicas is {}, must be from 1 to {}", request.replicas, kReplicasMax));
  if (request.variants.size() > kVariantsMax)
    return invalid(fmt::format("variants has {} entries, at most {}", request.variants.size(), kVariantsMax));
  TRY_VOID(check_settings(request.settings));
  TRY_VOID(check_declared(request.settings));
  TRY_VOID(check_restriction(request.restriction));
  TRY_VOID(check_source("source", request.source));
  for (const auto& variant : request.variants)
    TRY_VOID(check_source(fmt::format("variants.{}.source", printable(variant.name)), variant.source));
  if (request.facts) TRY_VOID(check_facts("facts", *request.facts));
  for (const auto& variant : request.variants)
    if (variant.facts) TRY_VOID(check_facts(fmt::format("variants.{}.facts", printable(variant.name)), *variant.facts));
  sort_unique(request.restriction.workers);
  sort_unique(request.restriction.devices);
  sort_unique(request.accept);
  std::sort(request.variants.begin(), request.variants.end(), [](const Variant& a, const Variant& b) {
    return a.name < b.name;
  });
  for (std::size_t i = 1; i < request.variants.size(); ++i)
    if (request.variants[i].name == request.variants[i - 1].name)
      return invalid(fmt::format("variants: \"{}\" is named twice", printable(request.variants[i].name)));
  return request;
}

}  // namespace berth::fleet
