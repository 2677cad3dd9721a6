#include <algorithm>
#include <array>

#include "engines/launch.h"

namespace berth::engines {
namespace {

constexpr std::array<std::string_view, 20> kPlaceholders = {"model_path",
                                                            "host",
                                                            "port",
                                                            "secret_file",
                                                            "secret",
                                                            "alias",
                                                            "threads",
                                                            "pooling",
                                                            "context",
                                                            "sequences",
                                                            "kv_type",
                                                            "ubatch",
                                                            "offload_layers",
                                                            "tensor_split",
                                                            "utilization",
                                                            "tensor_parallel",
                                                            "pipeline_parallel",
                                                            "data_parallel",
                                                            "flash_attention",
                                                            "device_count"};

struct Piece {
  std::string_view text;  // literal text, or the name between braces
  bool name = false;
};

bool is_name_char(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }

std::vector<Piece> pieces_of(std::string_view text) {
  std::vector<Piece> out;
  std::size_t from = 0;
  std::size_t i = 0;
  while (i < text.size()) {
    const auto close = text[i] == '{' ? text.find('}', i) : std::string_view::npos;
    const std::string_view name =
        close == std::string_view::npos ? std::string_view() : text.substr(i + 1, close - i - 1);
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_char)) {
      ++i;
      continue;
    }
    if (i > from) out.push_back({text.substr(from, i - from), false});
    out.push_back({name, true});
    i = close + 1;
    from = i;
  }
  if (from < text.size()) out.push_back({text.substr(from), false});
  return out;
}

}  // namespace

bool is_placeholder(std::string_view name) {
  return std::find(kPlaceholders.begin(), kPlaceholders.end(), name) != kPlaceholders.end();
}

bool is_condition(std::string_view name) {
  return name == "devices" || name == "cpu" || name == "one_device" || name == "several_devices";
}

std::optional<std::string> expand(std::string_view text,
                                  const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  for (const auto& piece : pieces_of(text)) {
    if (!piece.name) {
      out += piece.text;
      continue;
    }
    const auto found = values.find(piece.text);
    if (found == values.end()) return std::nullopt;
    out += found->second;
  }
  return out;
}

std::vector<std::string> placeholders_in(std::string_view text) {
  std::vector<std::string> out;
  for (const auto& piece : pieces_of(text))
    if (piece.name) out.emplace_back(piece.text);
  return out;
}

}  // namespace berth::engines
