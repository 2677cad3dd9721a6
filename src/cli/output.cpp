#include "cli/output.h"

#include "wire/json.h"
#include "wire/yaml.h"

namespace berth::cli {

Result<std::string> formatted(std::string_view json, std::string_view form) {
  auto text = form == "yaml" ? wire::json_to_yaml(json) : wire::pretty(json);
  if (text && !text->ends_with("\n")) *text += "\n";
  return text;
}

}  // namespace berth::cli
