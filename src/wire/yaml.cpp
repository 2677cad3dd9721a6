#include "wire/yaml.h"

#include <fmt/format.h>
#include <set>
#include <yaml-cpp/yaml.h>

#include "base/text.h"
#include "wire/codec.h"

namespace berth::wire {
namespace {

namespace json = boost::json;

class Converter {
 public:
  Result<json::value> convert(const YAML::Node& node, std::size_t depth) {
    if (++nodes_ > kYamlNodesMax) return invalid(fmt::format("YAML: more than {} nodes", kYamlNodesMax));
    if (depth > kJsonDepthMax) return invalid(fmt::format("YAML: nested deeper than {}", kJsonDepthMax));
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return json::value(nullptr);
      case YAML::NodeType::Scalar:
        return scalar(node);
      case YAML::NodeType::Sequence: {
        json::array out;
        for (const auto& item : node) {
          TRY(auto value, convert(item, depth + 1));
          out.push_back(std::move(value));
        }
        return json::value(std::move(out));
      }
      case YAML::NodeType::Map:
        return map(node, depth);
    }
    return json::value(nullptr);
  }

 private:
  static int line(const YAML::Node& node) { return node.Mark().line + 1; }

  static Result<json::value> scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    if (!is_utf8(text)) return invalid(fmt::format("YAML: line {}: not valid UTF-8", line(node)));
    if (node.Tag() == "?" || node.Tag().empty()) return json::value(std::string(codec::kPlainMark) + text);
    return json::value(text);
  }

  Result<json::value> map(const YAML::Node& node, std::size_t depth) {
    json::object out;
    std::set<std::string> seen;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar())
        return invalid(fmt::format("YAML: line {}: a key must be a plain text", line(pair.first)));
      const std::string& key = pair.first.Scalar();
      if (!seen.insert(key).second)
        return invalid(fmt::format("YAML: line {}: the key \"{}\" stands twice", line(pair.first), printable(key)));
      TRY(auto value, convert(pair.second, depth + 1));
      out.emplace(key, std::move(value));
    }
    return json::value(std::move(out));
  }

  std::size_t nodes_ = 0;
};

bool needs_quotes(std::string_view text) {
  if (text.empty() || text != trim(text) || codec::is_null_text(text) || text == "true" || text == "false") return true;
  if (text.find_first_of(":#\n\r\t\"'{}[],&*!|>%@`\\") != std::string_view::npos) return true;
  const char c = text.front();
  return c == '-' || c == '?' || (c >= '0' && c <= '9') || c == '.' || c == '+' || printable(text) != text;
}

std::string scalar_text(const json::value& v) {
  if (v.is_string() && !needs_quotes(std::string_view(v.get_string()))) return std::string(v.get_string());
  return json::serialize(v);
}

void emit(std::string& out, const json::value& v, std::size_t indent, bool in_list);

void emit_object(std::string& out, const json::object& o, std::size_t indent, bool in_list) {
  bool first = true;
  for (const auto& [key, item] : o) {
    if (!(first && in_list)) out += std::string(indent, ' ');
    first = false;
    out += scalar_text(json::value(key)) + ":";
    emit(out, item, indent + 2, false);
  }
}

void emit(std::string& out, const json::value& v, std::size_t indent, bool in_list) {
  if (const auto* o = v.if_object(); o != nullptr && !o->empty()) {
    if (!in_list) out += "\n";
    emit_object(out, *o, indent, in_list);
  } else if (const auto* a = v.if_array(); a != nullptr && !a->empty()) {
    if (!in_list) out += "\n";
    bool first = true;
    for (const auto& item : *a) {
      if (!(first && in_list)) out += std::string(indent, ' ');
      first = false;
      out += "- ";
      emit(out, item, indent + 2, true);
    }
  } else {
    out += (in_list ? "" : " ") + scalar_text(v) + "\n";
  }
}

}  // namespace

Result<json::value> parse_document(std::string_view text) {
  const auto body = trim(text);
  if (text.size() > kJsonBytesMax)
    return fail(Code::kTooLarge, fmt::format("the document has {} bytes, at most {}", text.size(), kJsonBytesMax));
  if (body.starts_with('{') || body.starts_with('[')) return parse_value(text);
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    return Converter().convert(root, 0);
  } catch (const YAML::Exception& e) {
    return invalid(fmt::format("YAML: line {}: {}", e.mark.line + 1, e.msg));
  }
}

Result<std::string> json_to_yaml(std::string_view text) {
  TRY(const auto value, parse_value(text));
  std::string out;
  emit(out, value, 0, true);
  return out;
}

}  // namespace berth::wire
