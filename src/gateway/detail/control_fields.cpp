#include "gateway/detail/control_fields.h"

#include <fmt/format.h>

#include "base/text.h"
#include "gateway/detail/json_scan.h"
#include "gateway/detail/utf8.h"

namespace berth::gateway {
namespace {

constexpr std::string_view kSwitchOn = "\"include_usage\":true";

/// Collects while the scan goes on. An error of a member is told apart from broken JSON by `problem`.
class Reader {
 public:
  explicit Reader(std::string_view body) : body_(body) {}

  Result<void> member(const JsonMember& member) {
    if (member.key == "model") return model(member);
    if (member.key == "stream") return stream(member);
    if (member.key == "stream_options") return stream_options(member);
    return {};
  }

  ControlFields fields;
  std::optional<BodyProblem> problem;
  bool has_model = false;

 private:
  Error refuse(std::string param, std::string message) {
    problem = BodyProblem{.message = std::move(message), .param = std::move(param)};
    return invalid("refused");
  }
  Result<void> once(bool& seen, const char* name) {
    if (seen) return refuse(name, fmt::format("'{}' is given twice in the request body", name));
    seen = true;
    return {};
  }

  Result<void> model(const JsonMember& member) {
    TRY_VOID(once(has_model, "model"));
    if (member.kind != JsonKind::kString) return refuse("model", "'model' must be a string");
    if (member.value.size() > kModelNameBytesMax * 6) return too_long();
    auto name = decode_string(member.value);
    if (!name) return refuse("model", "'model' holds half of a surrogate pair");
    if (name->empty()) return refuse("model", "'model' is empty");
    if (name->size() > kModelNameBytesMax) return too_long();
    fields.model = std::move(*name);
    return {};
  }
  Error too_long() { return refuse("model", fmt::format("'model' is longer than {} bytes", kModelNameBytesMax)); }

  Result<void> stream(const JsonMember& member) {
    TRY_VOID(once(has_stream_, "stream"));
    if (member.kind == JsonKind::kTrue) fields.stream = true;
    const bool allowed =
        member.kind == JsonKind::kTrue || member.kind == JsonKind::kFalse || member.kind == JsonKind::kNull;
    if (!allowed) return refuse("stream", "'stream' must be true or false");
    return {};
  }

  Result<void> stream_options(const JsonMember& member) {
    TRY_VOID(once(has_options_, "stream_options"));
    const auto at = static_cast<std::size_t>(member.value.data() - body_.data());
    if (member.kind == JsonKind::kNull) {
      fields.usage = {.kind = UsageSwitch::Kind::kNullOptions, .at = at, .size = member.value.size()};
      return {};
    }
    if (member.kind != JsonKind::kObject) return refuse("stream_options", "'stream_options' must be an object");
    fields.usage = {.kind = UsageSwitch::Kind::kNoSwitch, .at = at + 1, .alone = true};
    bool seen = false;
    const OnMember inner = [&](const JsonMember& option) { return usage_option(option, seen); };
    return scan_object(member.value, inner);
  }

  Result<void> usage_option(const JsonMember& option, bool& seen) {
    fields.usage.alone = false;
    if (option.key != "include_usage") return {};
    TRY_VOID(once(seen, "stream_options.include_usage"));
    if (option.kind == JsonKind::kTrue) {
      fields.usage.kind = UsageSwitch::Kind::kOn;
      return {};
    }
    if (option.kind != JsonKind::kFalse && option.kind != JsonKind::kNull) {
      return refuse("stream_options.include_usage", "'stream_options.include_usage' must be true or false");
    }
    fields.usage.kind = UsageSwitch::Kind::kOff;
    fields.usage.at = static_cast<std::size_t>(option.value.data() - body_.data());
    fields.usage.size = option.value.size();
    return {};
  }

  std::string_view body_;
  bool has_stream_ = false;
  bool has_options_ = false;
};

}  // namespace

tl::expected<ControlFields, BodyProblem> read_control_fields(std::string_view body) {
  const auto refuse = [](std::string message, std::string param = {}) {
    return tl::unexpected(BodyProblem{.message = std::move(message), .param = std::move(param)});
  };
  if (trim(body).empty()) return refuse("the request body is empty, it must be a JSON object");
  if (!is_utf8_fast(body)) return refuse("the request body is not valid UTF-8");
  Reader reader(body);
  const OnMember on_member = [&reader](const JsonMember& member) { return reader.member(member); };
  const Result<void> scanned = scan_object(body, on_member);
  if (reader.problem) return tl::unexpected(std::move(*reader.problem));
  if (!scanned) return refuse("the request body is not valid JSON: " + scanned.error().message);
  if (!reader.has_model) return refuse("'model' is missing: name the model to use", "model");
  if (reader.fields.usage.kind == UsageSwitch::Kind::kNoOptions) reader.fields.usage.at = body.find('{') + 1;
  return std::move(reader.fields);
}

void switch_usage_on(std::string& body, const UsageSwitch& usage) {
  std::string text;
  switch (usage.kind) {
    case UsageSwitch::Kind::kOn:
      return;
    case UsageSwitch::Kind::kNoOptions:
      text = fmt::format("\"stream_options\":{{{}}},", kSwitchOn);
      break;
    case UsageSwitch::Kind::kNullOptions:
      text = fmt::format("{{{}}}", kSwitchOn);
      break;
    case UsageSwitch::Kind::kNoSwitch:
      text = fmt::format("{}{}", kSwitchOn, usage.alone ? "" : ",");
      break;
    case UsageSwitch::Kind::kOff:
      text = "true";
      break;
  }
  body.replace(usage.at, usage.size, text);
}

}  // namespace berth::gateway
