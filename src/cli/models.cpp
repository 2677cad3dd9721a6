#include "cli/models.h"

#include "cli/inputs.h"
#include "wire/model_catalog.h"

namespace berth::cli {

bool looks_like_path(const std::string& argument) {
  return argument.ends_with(".gguf") || argument.starts_with("/") || argument.starts_with("./") ||
         argument.starts_with("../") || argument.starts_with("~") || argument.ends_with("/");
}

Result<fleet::Request> request_for_name(const std::string& name) {
  TRY(const auto catalog, wire::embedded_models());
  TRY_VOID(fleet::find_model(catalog, name));  // its message names the model, not a field of the request
  fleet::Request request;
  request.source.kind = "catalog";
  request.source.repo = name;
  TRY_VOID(fleet::complete(catalog, request));
  request.deployment = name_from_path(request.model);
  return request;
}

Result<void> complete_from_catalog(fleet::Request& request) {
  if (!fleet::may_name_catalog_model(request)) return {};
  TRY(const auto catalog, wire::embedded_models());
  return fleet::complete(catalog, request);
}

}  // namespace berth::cli
