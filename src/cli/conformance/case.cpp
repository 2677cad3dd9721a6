#include "cli/conformance/case.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "wire/codec.h"
#include "wire/files.h"

namespace berth::cli::conformance {
namespace {

struct ReasonList {
  std::vector<CaseReason> reasons;
};
DESCRIBE(ReasonList, reasons);

template <class T>
Result<T> understood(Result<T> read) {
  if (read) return read;
  return fail(Code::kNotSupported, read.error().message);
}

/// Whether a selection says this name, and so could mean either of two.
bool is_selected_by_name(const Case& c, const std::string& name) {
  if (!c.model || !c.model->gpu_selector) return false;
  const auto& ids = c.model->gpu_selector->gpu_ids;
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) { return id.starts_with(name + ":"); });
}

/// Of two workers with one name in one cluster the second is called after its id, too.
void name_apart(Case& c) {
  std::set<std::pair<std::int64_t, std::string>> names;
  for (auto& worker : c.fleet.workers) {
    const auto cluster = worker.cluster_id.value_or(0);
    if (!names.emplace(cluster, worker.name).second && !is_selected_by_name(c, worker.name))
      worker.name += fmt::format("-{}", worker.id);
  }
}

}  // namespace

Result<CaseHead> read_head(std::string_view json) {
  TRY(auto head, wire::from_json<CaseHead>(json, wire::Strictness::kLenient));
  if (head.schema != kCaseSchema)
    return invalid(fmt::format("schema is \"{}\", must be \"{}\"", printable(head.schema), kCaseSchema));
  return head;
}

Result<Case> read_case(std::string_view json) {
  TRY(const auto head, read_head(json));
  TRY(const auto value, wire::parse_value(json));
  constexpr std::array kKnown = {kKindSchedule, kKindFilter, kKindCount, kKindEvaluate, kKindScore, kKindScaleDown};
  if (std::find(kKnown.begin(), kKnown.end(), head.kind) == kKnown.end()) {
    Case out;
    out.schema = head.schema;
    out.id = head.id;
    out.kind = head.kind;
    return out;
  }
  TRY(auto out, wire::from_value<Case>(value, wire::Strictness::kLenient));
  // An expectation that is passed over would let the case pass for nothing.
  if (const auto* expected = value.get_object().if_contains("expected")) {
    TRY_VOID(understood(wire::from_value<CaseExpected>(*expected, wire::Strictness::kStrict, "expected")));
  }
  return out;
}

Result<std::vector<CaseReason>> read_reasons(const wire::RawJson& json) {
  TRY(auto list, understood(wire::from_json<ReasonList>("{\"reasons\":" + json.text + "}", wire::Strictness::kStrict)));
  return std::move(list.reasons);
}

Result<CasePlace> read_place(const wire::RawJson& json) {
  TRY(auto place, understood(wire::from_json<CasePlace>(json.text, wire::Strictness::kStrict)));
  return place;
}

Case normalised(Case c) {
  name_apart(c);
  for (auto& worker : c.fleet.workers) {
    if (worker.os) worker.os = wire::system_name(*worker.os);
    if (worker.arch) worker.arch = wire::arch_name(*worker.arch);
    for (auto& gpu : worker.gpus) gpu.vendor = to_lower(gpu.vendor);
  }
  return c;
}

bool is_recorded(const Case& c) {
  constexpr std::array kAreas = {"gguf", "vllm", "sglang", "ascend", "audio", "custom"};
  return c.kind == kKindSchedule && std::find(kAreas.begin(), kAreas.end(), c.area) != kAreas.end();
}

}  // namespace berth::cli::conformance
