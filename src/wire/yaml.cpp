#include "wire/yaml.h"

#include <fmt/format.h>
#include <istream>
#include <map>
#include <sstream>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "base/assert.h"
#include "base/text.h"
#include "wire/codec_support.h"

namespace berth::wire {
namespace {

namespace json = boost::json;

/// Builds the value from the parser's events, so that bounds hold before anything large exists. After an error events
/// are passed over. With `wanted` it also looks for the line of the longest path that this text begins with.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view wanted = {}) : wanted_(wanted) {}

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  [[nodiscard]] json::value take() { return std::move(root_); }
  /// 0: not found.
  [[nodiscard]] int found_line() const { return found_line_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) stop(mark, "a second document begins; one file holds one");
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!open_node(mark, false)) return;
    close_node(json::value(nullptr), {.anchor = anchor, .nodes = 1, .bytes = 0, .height = 0});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!open_node(mark, false)) return;
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) return stop(mark, "an alias inside its own anchor");
    const auto& [value, size] = known->second;
    nodes_ += size.nodes - 1;
    bytes_ += size.bytes;
    if (nodes_ > kYamlNodesMax) return stop(mark, fmt::format("more than {} values", kYamlNodesMax));
    if (bytes_ > kJsonBytesMax) return stop(mark, too_long());
    if (open_.size() + size.height > kJsonDepthMax) return stop(mark, too_deep());
    close_node(value, {.anchor = 0, .nodes = size.nodes, .bytes = size.bytes, .height = size.height});
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t anchor,
                const std::string& text) override {
    if (!open_node(mark, true)) return;
    const auto kind = kind_of(tag);
    if (!kind) return stop(mark, fmt::format("the tag \"{}\" is not supported", printable(tag)));
    bytes_ += text.size();
    if (is_key()) return take_key(mark, anchor, text);
    close_node(json::value(*kind + text), {.anchor = anchor, .nodes = 1, .bytes = text.size(), .height = 0});
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, tag, anchor, false);
  }
  void OnMapStart(const YAML::Mark& mark,
                  const std::string& tag,
                  YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(mark, tag, anchor, true);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

 private:
  struct Size {
    YAML::anchor_t anchor = 0;
    std::size_t nodes = 0;
    std::size_t bytes = 0;   // of texts
    std::size_t height = 0;  // of containers below and with it
  };
  struct Open {
    json::value value;
    std::optional<std::string> key;  // of the next value, in a map
    int key_line = 0;
    YAML::anchor_t anchor = 0;
    std::size_t nodes_before = 0;
    std::size_t bytes_before = 0;
    std::size_t height = 1;
    std::string path;
  };

  static std::string too_long() { return fmt::format("texts of more than {} bytes in all", kJsonBytesMax); }
  static std::string too_deep() { return fmt::format("nested deeper than {}", kJsonDepthMax); }

  void stop(const YAML::Mark& mark, std::string_view what) {
    if (!error_) error_ = invalid(fmt::format("line {}: {}", mark.line + 1, what));
  }

  [[nodiscard]] bool is_key() const { return !open_.empty() && open_.back().value.is_object() && !open_.back().key; }

  static std::optional<char> kind_of(const std::string& tag) {
    if (tag.empty() || tag == "?") return codec::kPlain;
    if (tag == "!") return codec::kQuoted;
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    if (!tag.starts_with(kCore)) return std::nullopt;
    const std::string_view name = std::string_view(tag).substr(kCore.size());
    if (name == "str") return codec::kQuoted;
    if (name == "int" || name == "float" || name == "bool" || name == "null") return codec::kPlain;
    return std::nullopt;
  }

  /// False: to be passed over.
  bool open_node(const YAML::Mark& mark, bool may_be_key) {
    if (error_) return false;
    if (++nodes_ > kYamlNodesMax) stop(mark, fmt::format("more than {} values", kYamlNodesMax));
    if (bytes_ > kJsonBytesMax) stop(mark, too_long());
    if (is_key() && !may_be_key) stop(mark, "a key must be a text");
    if (!error_ && !is_key()) look(place(), open_.empty() || !open_.back().key ? mark.line + 1 : open_.back().key_line);
    return !error_;
  }

  void take_key(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& text) {
    Open& map = open_.back();
    if (anchor != 0)
      anchors_.insert_or_assign(anchor,
                                std::pair(json::value(codec::kPlain + text),
                                          Size{.anchor = 0, .nodes = 1, .bytes = text.size(), .height = 0}));
    if (map.value.get_object().contains(text))
      return stop(mark, fmt::format("the key \"{}\" stands twice", printable(text)));
    map.key = text;
    map.key_line = mark.line + 1;
  }

  void start(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, bool map) {
    if (!open_node(mark, false)) return;
    if (open_.size() >= kJsonDepthMax) return stop(mark, too_deep());
    if (!tag.empty() && tag != "?" && tag != (map ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq"))
      return stop(mark, fmt::format("the tag \"{}\" is not supported", printable(tag)));
    Open next;
    next.path = place();
    next.value = map ? json::value(json::object()) : json::value(json::array());
    next.anchor = anchor;
    next.nodes_before = nodes_ - 1;
    next.bytes_before = bytes_;
    open_.push_back(std::move(next));
  }

  void end() {
    if (error_ || open_.empty()) return;
    Open done = std::move(open_.back());
    open_.pop_back();
    close_node(std::move(done.value),
               {.anchor = done.anchor,
                .nodes = nodes_ - done.nodes_before,
                .bytes = bytes_ - done.bytes_before,
                .height = done.height});
  }

  void close_node(json::value value, const Size& size) {
    if (size.anchor != 0) {
      bytes_ += size.bytes;  // the copy counts: anchors within anchors are copied at each level
      anchors_.insert_or_assign(size.anchor, std::pair(value, size));
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    parent.height = std::max(parent.height, size.height + 1);
    if (auto* array = parent.value.if_array()) {
      array->push_back(std::move(value));
      return;
    }
    ASSERT(parent.key);
    parent.value.get_object().emplace(*parent.key, std::move(value));
    parent.key.reset();
  }

  /// Path of the value that comes next; built only when looking for one.
  [[nodiscard]] std::string place() const {
    if (wanted_.empty()) return {};
    if (open_.empty()) return "$";
    const Open& parent = open_.back();
    if (parent.key) return parent.path + codec::step_text(std::string_view(*parent.key));
    return parent.path + codec::step_text(parent.value.get_array().size());
  }

  void look(const std::string& path, int line) {
    if (wanted_.empty() || path.size() <= found_ || !wanted_.starts_with(path)) return;
    const char next = wanted_.size() == path.size() ? ' ' : wanted_[path.size()];
    if (next != ' ' && next != '.' && next != '[' && next != ':') return;
    found_ = path.size();
    found_line_ = line;
  }

  std::string_view wanted_;
  std::size_t found_ = 0;
  int found_line_ = 0;
  std::size_t documents_ = 0;
  std::size_t nodes_ = 0;
  std::size_t bytes_ = 0;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::pair<json::value, Size>> anchors_;
  json::value root_;
  std::optional<Error> error_;
};

/// The parser takes byte 4 for the end of its input and replaces what is not UTF-8: both are refused before.
Result<void> check_characters(std::string_view text) {
  if (!is_utf8(text)) return invalid("the document is not valid UTF-8");
  std::size_t line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F)
      return invalid(fmt::format("line {}: the control character 0x{:02x} is not allowed", line, byte));
  }
  return {};
}

/// The parser's words for a tab there name everything but the tab; it finds it on that line or on the next.
bool indented_by_tab(std::string_view text, int line) {
  const auto lines = split(text, '\n');
  for (const int at : {line - 2, line - 1}) {
    if (at < 0 || static_cast<std::size_t>(at) >= lines.size()) continue;
    const std::string_view found = lines[static_cast<std::size_t>(at)];
    const std::string_view indentation = found.substr(0, found.find_first_not_of(" \t"));
    if (indentation.find('\t') != std::string_view::npos) return true;
  }
  return false;
}

Result<void> run(Builder& builder, std::string_view text) {
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (!builder.error() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    if (const auto& error = builder.error()) return *error;
    const int line = e.mark.line + 1;
    const std::string_view hint = indented_by_tab(text, line) ? "; tabs are not allowed for indentation" : "";
    return invalid(fmt::format("line {}: YAML: {}{}", line, printable(e.msg), hint));
  }
  if (const auto& error = builder.error()) return *error;
  return {};
}

}  // namespace

Result<Document> parse_document(std::string_view text) {
  const auto body = trim(text);
  if (body.starts_with('{') || body.starts_with('[')) {
    TRY(auto value, parse_value(text));
    return Document{.value = std::move(value), .spelled = false};
  }
  if (text.size() > kYamlBytesMax)
    return fail(Code::kTooLarge, fmt::format("the YAML document has {} bytes, at most {}", text.size(), kYamlBytesMax));
  TRY_VOID(check_characters(text));
  Builder builder;
  TRY_VOID(run(builder, text));
  return Document{.value = builder.take(), .spelled = true};
}

Error at_line(std::string_view yaml, Error error) {
  Builder builder(error.message);
  if (!run(builder, yaml) || builder.found_line() == 0) return error;
  return in(fmt::format("line {}", builder.found_line()), std::move(error));
}

Result<std::string> yaml_to_json(std::string_view yaml) {
  TRY(const auto document, parse_document(yaml));
  return serialize_value(document.spelled ? codec::resolved(document.value) : document.value);
}

}  // namespace berth::wire
