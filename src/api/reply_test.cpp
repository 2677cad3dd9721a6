#include "api/reply.h"

#include <doctest/doctest.h>

#include "api/documents.h"
#include "wire/json.h"

namespace berth::api {
namespace {

const std::vector<Route> kRoutes = {{"GET", "/things", "", "", nullptr, {"object"}},
                                    {"PUT", "/things/{name}", "", "", nullptr, {"dry_run", "x"}},
                                    {"DELETE", "/things/{name}", "", "", nullptr}};

}  // namespace

TEST_CASE("a route is found with its parameters, or the methods that the path has are told") {
  const auto found = find_route(kRoutes, "PUT", "/things/a%20b");
  REQUIRE(found.route != nullptr);
  CHECK(found.params.at("name") == "a b");
  CHECK(find_route(kRoutes, "GET", "/things/a").allowed == "PUT, DELETE");
  CHECK(find_route(kRoutes, "GET", "/things/a").route == nullptr);
  CHECK(find_route(kRoutes, "GET", "/others").allowed.empty());
}

TEST_CASE("keys of a query that the route does not know are refused by name") {
  const Route& put = kRoutes[1];
  CHECK(check_query(put, "").has_value());
  CHECK(check_query(put, "dry_run=true&x=").has_value());
  CHECK(check_query(put, "dryrun=true").error().message.find("dryrun") != std::string::npos);
  CHECK(check_query(put, "dry_run=true&dry_run=false").error().message.find("twice") != std::string::npos);
  CHECK_FALSE(check_query(put, "dry_run=%zz").has_value());
  CHECK(check_query(kRoutes[2], "a=b").error().message.find("takes none") != std::string::npos);
}

TEST_CASE("a switch in a query is true or false and nothing else") {
  Call call;
  call.query = "dry_run=1";
  CHECK(call.query_flag("dry_run").error().message == "query dry_run is \"1\", must be true or false");
  call.query = "dry_run=true";
  CHECK(call.query_flag("dry_run").value());
  CHECK_FALSE(call.query_flag("other").value());
}

TEST_CASE("what a document cannot be without is missing by its path") {
  const auto missing = [](const auto& result) { return result ? std::string() : result.error().message; };
  using wire::Strictness;
  CHECK(missing(wire::from_json<EditDeployment>("{}", Strictness::kStrict)) == "$.spec is missing");
  CHECK(missing(wire::from_json<NewDeployment>(R"({"name":"nospec"})", Strictness::kStrict)) == "$.spec is missing");
  CHECK(missing(wire::from_json<NewDeployment>(R"({"name":"n","spec":{}})", Strictness::kStrict)) ==
        "$.spec.request is missing");
  CHECK(missing(wire::from_json<EditDeployment>(R"({"spec":{"request":{}}})", Strictness::kStrict)).empty());
}

}  // namespace berth::api
