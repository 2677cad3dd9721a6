#pragma once
// The table of management routes: one row each with method, pattern, scope and handler. Scopes are checked before a
// handler runs; nothing is reachable that is not in the table.

#include <functional>
#include <memory>
#include <vector>

#include "api/auth.h"
#include "api/reply.h"
#include "reconcile/reconciler.h"
#include "store/store.h"
#include "wire/model_catalog.h"

namespace berth::api {

struct RouteDeps {
  reconcile::Reconciler& reconciler;
  store::Store& store;
  Auth& auth;
  std::function<void()> wake;  // something changed: tick soon
  std::string version;
  bool plain_http = false;                     // beyond this machine, without TLS
  std::function<std::string()> store_trouble;  // why the store cannot be written; empty: it can
  std::function<bool()> sees_files;            // the workers' files are this machine's
  std::vector<std::string> model_roots;        // folders that models may be read in
  std::shared_ptr<const wire::EmbeddedModels> models = std::make_shared<wire::EmbeddedModels>();
};

std::vector<Route> management_routes(RouteDeps deps);
/// What the key of a call may put into a request.
engines::Caller caller_of(const Call& call);
/// Facts of a local model that the caller left out; absent when there are none to read: another source, or a file that
/// only a worker elsewhere can see. Errors name `field`, the path and the reason.
Result<std::optional<fleet::ModelFacts>> facts_here(const RouteDeps& deps,
                                                    std::string_view field,
                                                    const fleet::Request& request);
/// GPUStack v0.6's POST /v1/model-evaluations, answered from the same decision.
Route evaluation_route(RouteDeps deps);

}  // namespace berth::api
