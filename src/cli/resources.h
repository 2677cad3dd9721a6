#pragma once
// What `get` and `describe` know of each kind of object: where it lives and how it looks in a table.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cli/terminal.h"

namespace berth::cli {

struct TableOptions {
  bool wide = false;
  Time now{};
};

struct Resource {
  std::string_view name;      // "deployments"
  std::string_view singular;  // "deployment"
  std::string_view path;      // "/api/v1/deployments"
  bool has_items = false;     // GET path/{name} exists
  /// The list's JSON as a table. Errors: kInternal when the server's answer is not understood.
  Result<Table> (*table)(const std::string& json, const TableOptions& options);
};

std::span<const Resource> resources();
/// By plural or singular name. Errors: kInvalid with "did you mean".
Result<const Resource*> find_resource(const std::string& name);
std::vector<std::string> resource_names();

/// First column of each row of a list, for -o name.
Result<std::vector<std::string>> names_in(const Resource& resource, const std::string& json);
/// {"items":[item]} for one object, so that one table serves both.
std::string as_list(const std::string& item_json);

}  // namespace berth::cli
