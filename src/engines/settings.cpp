#include "engines/detail/settings.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <fmt/format.h>
#include <limits>

#include "base/text.h"

namespace berth::engines::detail {
namespace {

using fleet::Request;

// An engine's own word for "choose yourself": the field stays absent, and berth's default applies.
constexpr std::string_view kAuto = "auto";

template <class T>
Result<void> put(const Setting& self, const ParsedFlag& flag, std::optional<T>& field, T value) {
  if (field && *field != value)
    return invalid(fmt::format("flag {} is {}, but {} is {}: give one of them", flag.name, value, self.path, *field));
  field = std::move(value);
  return {};
}

Result<void> put_count(const Setting& self, const ParsedFlag& flag, std::optional<std::uint32_t>& field) {
  if (flag.value == kAuto) return {};
  const auto value = parse_u64(flag.value);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (!value || *value > kMost)
    return invalid(fmt::format("flag {} is \"{}\", must be from 0 to {}", flag.name, flag.value, kMost));
  return put(self, flag, field, static_cast<std::uint32_t>(*value));
}

Result<void> put_text(const Setting& self, const ParsedFlag& flag, std::optional<std::string>& field) {
  return flag.value == kAuto ? Result<void>() : put(self, flag, field, flag.value);
}

Result<void> context(const Setting& s, const ParsedFlag& f, Request& r) { return put_count(s, f, r.settings.context); }
Result<void> sequences(const Setting& s, const ParsedFlag& f, Request& r) {
  return put_count(s, f, r.settings.sequences);
}
Result<void> ubatch(const Setting& s, const ParsedFlag& f, Request& r) { return put_count(s, f, r.settings.ubatch); }
Result<void> kv_type(const Setting& s, const ParsedFlag& f, Request& r) { return put_text(s, f, r.settings.kv_type); }
Result<void> tensor_parallel(const Setting& s, const ParsedFlag& f, Request& r) {
  return put_count(s, f, r.restriction.tensor_parallel);
}
Result<void> pipeline_parallel(const Setting& s, const ParsedFlag& f, Request& r) {
  return put_count(s, f, r.restriction.pipeline_parallel);
}
Result<void> data_parallel(const Setting& s, const ParsedFlag& f, Request& r) {
  return put_count(s, f, r.restriction.data_parallel);
}
Result<void> kept_size(const Setting& s, const ParsedFlag& f, Request& r) {
  return put_count(s, f, r.restriction.*s.kept);
}

Result<void> utilization(const Setting& s, const ParsedFlag& f, Request& r) {
  double value = 0;
  const char* end = f.value.data() + f.value.size();
  const auto read = std::from_chars(f.value.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end)
    return invalid(fmt::format("flag {} is \"{}\", must be a number", f.name, f.value));
  return put(s, f, r.settings.utilization, value);
}

Result<void> cpu_offload(const Setting& s, const ParsedFlag& f, Request& r) {
  if (f.off) {
    r.settings.cpu_offload = false;
    return {};
  }
  if (!r.settings.cpu_offload)
    return invalid(fmt::format("flag {} is on, but {} is false: give one of them", f.name, s.path));
  return {};
}

Result<void> flash_attention(const Setting& s, const ParsedFlag& f, Request& r) {
  if (f.value == kAuto) return {};
  return put(s, f, r.settings.flash_attention, !f.off && f.value != "off");
}

// "all" leaves the count to the plan, but nothing may stay on the host.
Result<void> offload_layers(const Setting& s, const ParsedFlag& f, Request& r) {
  if (f.value != "all") return put_count(s, f, r.settings.offload_layers);
  if (r.settings.offload_layers)
    return invalid(
        fmt::format("flag {} is all, but {} is {}: give one of them", f.name, s.path, *r.settings.offload_layers));
  r.settings.cpu_offload = false;
  return {};
}

constexpr std::array kSettings = {
    Setting{"context", "settings.context", context},
    Setting{"sequences", "settings.sequences", sequences},
    Setting{"kv_type", "settings.kv_type", kv_type},
    Setting{"flash_attention", "settings.flash_attention", flash_attention},
    Setting{"ubatch", "settings.ubatch", ubatch},
    Setting{"utilization", "settings.utilization", utilization},
    Setting{"offload_layers", "settings.offload_layers", offload_layers},
    Setting{"cpu_offload", "settings.cpu_offload", cpu_offload},
    Setting{"tensor_parallel", "restriction.tensor_parallel", tensor_parallel},
    Setting{"pipeline_parallel", "restriction.pipeline_parallel", pipeline_parallel},
    Setting{"data_parallel", "restriction.data_parallel", data_parallel},
    Setting{
        "data_parallel_local", "restriction.data_parallel_local", kept_size, &fleet::Restriction::data_parallel_local},
    Setting{"expert_parallel", "restriction.expert_parallel", kept_size, &fleet::Restriction::expert_parallel},
    Setting{"prefill_context_parallel",
            "restriction.prefill_context_parallel",
            kept_size,
            &fleet::Restriction::prefill_context_parallel},
    Setting{"decode_context_parallel",
            "restriction.decode_context_parallel",
            kept_size,
            &fleet::Restriction::decode_context_parallel},
};
constexpr std::size_t kKeptFirst = 11;
constexpr std::array kKept = {
    &kSettings[kKeptFirst], &kSettings[kKeptFirst + 1], &kSettings[kKeptFirst + 2], &kSettings[kKeptFirst + 3]};
static_assert(kSettings[kKeptFirst - 1].kept == nullptr);
static_assert(kSettings.size() == kKeptFirst + kKept.size());

}  // namespace

const Setting* find_setting(std::string_view name) {
  for (const auto& setting : kSettings)
    if (setting.name == name) return &setting;
  return nullptr;
}

std::span<const Setting* const> kept_settings() { return kKept; }

std::string setting_names() {
  std::string out;
  for (const auto& setting : kSettings) out += fmt::format("{}{}", out.empty() ? "" : ", ", setting.name);
  return out;
}

}  // namespace berth::engines::detail
