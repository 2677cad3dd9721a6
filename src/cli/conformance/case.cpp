#include "cli/conformance/case.h"

#include <fmt/format.h>

#include "base/text.h"
#include "wire/codec.h"

namespace berth::cli::conformance {
namespace {

struct CaseHead {
  std::string schema;
  std::string id;
  std::string kind;
};
DESCRIBE(CaseHead, schema, id, kind);

struct ReasonList {
  std::vector<CaseReason> reasons;
};
DESCRIBE(ReasonList, reasons);

}  // namespace

Result<Case> read_case(std::string_view json) {
  TRY(const auto value, wire::parse_value(json));
  TRY(const auto head, wire::from_value<CaseHead>(value, wire::Strictness::kLenient));
  if (head.schema != kCaseSchema)
    return fail(Code::kNotSupported,
                fmt::format("schema is \"{}\", must be \"{}\"", printable(head.schema), kCaseSchema));
  if (head.kind != kKindSchedule && head.kind != kKindFilter) {
    Case out;
    out.schema = head.schema;
    out.id = head.id;
    out.kind = head.kind;
    return out;
  }
  return wire::from_value<Case>(value, wire::Strictness::kLenient);
}

Result<std::vector<CaseReason>> read_reasons(const wire::RawJson& json) {
  TRY(auto list, wire::from_json<ReasonList>("{\"reasons\":" + json.text + "}", wire::Strictness::kLenient));
  return std::move(list.reasons);
}

}  // namespace berth::cli::conformance
