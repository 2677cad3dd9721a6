#pragma once
// Objects → the gateway's table of public model names.

#include <functional>
#include <string>

#include "base/result.h"
#include "gateway/ports.h"
#include "reconcile/reconciler.h"

namespace berth::app {

/// Only ready instances are targets: never-ready, stopping, simulated and unknown ones are not routed.
gateway::RouteTable route_table(const reconcile::View& view,
                                const std::function<std::string(const std::string&)>& secret_of);

/// Mode 0600, through a temporary file. Errors: kForbidden, kUnavailable with the path.
Result<void> write_private_file(const std::string& path, const std::string& text);

}  // namespace berth::app
