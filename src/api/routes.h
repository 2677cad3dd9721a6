#pragma once
// The table of management routes: one row each with method, pattern, scope and handler. Scopes are checked before a
// handler runs; nothing is reachable that is not in the table.

#include <functional>
#include <vector>

#include "api/auth.h"
#include "api/reply.h"
#include "reconcile/reconciler.h"
#include "store/store.h"

namespace berth::api {

struct RouteDeps {
  reconcile::Reconciler& reconciler;
  store::Store& store;
  Auth& auth;
  std::function<void()> wake;  // something changed: tick soon
  std::string version;
};

std::vector<Route> management_routes(RouteDeps deps);
/// GPUStack v0.6's POST /v1/model-evaluations, answered from the same decision.
Route evaluation_route(RouteDeps deps);

}  // namespace berth::api
