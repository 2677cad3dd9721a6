#include "fleet/model_catalog.h"

#include <doctest/doctest.h>

namespace berth::fleet {
namespace {

CatalogModel toy(const std::string& title, std::uint64_t parameters, const std::string& task = "generate") {
  CatalogModel m;
  m.title = title;
  m.id = title;
  for (char& c : m.id) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  m.family = "toy";
  m.categories = {task == "generate" ? "llm" : "embedding"};
  m.source.kind = "huggingface";
  m.source.repo = "Toys/" + title;
  m.aliases = {m.source.repo};
  m.facts.format = "safetensors";
  m.facts.task = task;
  m.facts.parameters = parameters;
  m.facts.weight_bytes = Bytes(parameters * 2);
  m.facts.quantization = "fp8";
  m.figures = {{.text = "made up", .figures = {}, .computed = false}};
  return m;
}

CatalogVariant file(const std::string& name, const std::string& repo) {
  CatalogVariant v;
  v.name = name;
  v.source.kind = "huggingface";
  v.source.repo = repo;
  v.facts.format = "gguf";
  v.facts.architecture = "llama";
  v.facts.quantization = name;
  v.figures = {{.text = "made up", .figures = {}, .computed = false}};
  return v;
}

ModelCatalog toys() {
  ModelCatalog catalog;
  catalog.models = {
      toy("Toy-1B", 1'000'000'000), toy("Toy-32B", 32'000'000'000), toy("Toy-Embed", 500'000'000, "embed")};
  catalog.models[1].aliases.emplace_back("toy:32b");
  catalog.models[1].capabilities = {"tools"};
  catalog.models[1].variants = {
      file("Q4_K_M", "Toys/Toy-32B-GGUF"), file("Q8_0", "Toys/Toy-32B-GGUF"), file("FP8", "Toys/Toy-32B-FP8")};
  catalog.models[1].variants[0].facts.weight_bytes = Bytes(19'000'000'000);
  REQUIRE(validate(catalog).has_value());
  return catalog;
}

std::string found(const ModelCatalog& catalog, std::string_view name) {
  const auto match = find_model(catalog, name);
  if (!match) return match.error().message;
  return match->variant == nullptr ? match->model->id : match->model->id + ":" + match->variant->name;
}

std::string ids(const std::vector<const CatalogModel*>& list) {
  std::string out;
  for (const auto* m : list) out += (out.empty() ? "" : " ") + m->id;
  return out;
}

}  // namespace

TEST_CASE("a model is found by id, title, alias and repository, in any case, and a file of it behind its name") {
  const auto catalog = toys();
  for (const char* name : {"toy-32b", "Toy-32B", "TOYS/TOY-32B", " toy:32b ", "Toy 32B", "toy_32b"})
    CHECK(found(catalog, name) == "toy-32b");
  CHECK(found(catalog, "toy-32b:q4_k_m") == "toy-32b:Q4_K_M");
  CHECK(found(catalog, "Toys/Toy-32B@Q8_0") == "toy-32b:Q8_0");
  CHECK(found(catalog, "toy:32b:q8_0") == "toy-32b:Q8_0");
  CHECK(found(catalog, "toys/toy-32b-fp8") == "toy-32b:FP8");
}

TEST_CASE("a name that several mean is refused with the choices") {
  const auto catalog = toys();
  const auto family = find_model(catalog, "toy");
  REQUIRE_FALSE(family.has_value());
  CHECK(family.error().code == Code::kInvalid);
  CHECK(family.error().message == "\"toy\" may be one of several models: toy-1b, toy-32b, toy-embed");
  CHECK(found(catalog, "Toys/Toy-32B-GGUF") ==
        "\"toys/toy-32b-gguf\" holds several files; name one of toy-32b:Q4_K_M, toy-32b:Q8_0");
}

TEST_CASE("a name that nothing has comes with near ones") {
  const auto catalog = toys();
  const auto missing = find_model(catalog, "toy-3b");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == Code::kNotFound);
  CHECK(missing.error().message ==
        "no model of the catalog is called \"toy-3b\"; did you mean toy-1b, toy-32b?; `berth search` lists them");
  CHECK(found(catalog, "zzzzzzzzzz") == "no model of the catalog is called \"zzzzzzzzzz\"; `berth search` lists them");
  CHECK(found(catalog, "toy-32b:Q2_K") == "the catalog's toy-32b has no variant \"q2_k\": it has Q4_K_M, Q8_0, FP8");
  CHECK(found(catalog, "toy-1b:Q2_K") == "the catalog's toy-1b has no variant \"q2_k\": it has none");
  CHECK(find_model(catalog, " ").error().code == Code::kInvalid);
}

TEST_CASE("a variant has the entry's facts but never its weights or quantization") {
  const auto catalog = toys();
  CatalogModel embed = catalog.models[2];
  embed.variants = {file("Q8_0", "Toys/Toy-Embed-GGUF")};
  CHECK(facts_of(embed, embed.variants.data()).task == "embed");
  const auto& model = catalog.models[1];
  const auto known = facts_of(model, &model.variants[0]);
  CHECK(known.format == "gguf");
  CHECK(known.parameters == 32'000'000'000U);
  CHECK(known.weight_bytes == Bytes(19'000'000'000));
  CHECK(known.quantization == "Q4_K_M");
  CHECK_FALSE(facts_of(model, &model.variants[1]).weight_bytes.has_value());
}

TEST_CASE("a request that names a model is completed with facts, source, task and the other files") {
  const auto catalog = toys();
  Request request;
  request.model = "toy-32b:q8_0";
  REQUIRE(complete(catalog, request).has_value());
  CHECK(request.model == "Toy-32B Q8_0");
  CHECK(request.source.kind == "huggingface");
  CHECK(request.source.repo == "Toys/Toy-32B-GGUF");
  REQUIRE(request.facts.has_value());
  REQUIRE(request.variants.size() == 3);
  CHECK(request.variants[0].name == "original");
  CHECK(request.variants[0].source.repo == "Toys/Toy-32B");
  CHECK(canonical(request).has_value());

  Request embed;
  embed.source.kind = "catalog";
  embed.source.repo = "Toy-Embed";
  REQUIRE(complete(catalog, embed).has_value());
  CHECK(embed.task == "embed");
  CHECK(embed.model == "Toy-Embed");
  CHECK(embed.variants.empty());
}

TEST_CASE("a request that brings facts or a source of its own stays as it is") {
  const auto catalog = toys();
  Request facts;
  facts.model = "Toy-32B";
  facts.facts = ModelFacts{};
  REQUIRE(complete(catalog, facts).has_value());
  CHECK_FALSE(facts.facts.value_or(ModelFacts{}).parameters.has_value());
  Request local;
  local.model = "Toy-32B";
  local.source.kind = "local";
  local.source.path = "/models/toy";
  REQUIRE(complete(catalog, local).has_value());
  CHECK_FALSE(local.facts.has_value());
  Request other;
  other.model = "toy";  // several models, and others than these may be meant
  REQUIRE(complete(catalog, other).has_value());
  CHECK_FALSE(other.facts.has_value());
  Request unnamed;
  REQUIRE(complete(catalog, unnamed).has_value());
  Request wrong;
  wrong.source.kind = "catalog";
  wrong.source.repo = "toy-99b";
  const auto refused = complete(catalog, wrong);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.starts_with("source.repo: no model of the catalog is called \"toy-99b\""));
}

TEST_CASE("a repository of the catalog gives its facts; another file or revision of it does not") {
  const auto catalog = toys();
  const auto facts = [&](const ModelSource& source) {
    Request request;
    request.source = source;
    REQUIRE(complete(catalog, request).has_value());
    CHECK(request.source.repo == source.repo);
    return request.facts.value_or(ModelFacts{});
  };
  const auto from = [](const char* kind, const char* repo, const char* file = "", const char* revision = "") {
    return ModelSource{.kind = kind, .repo = repo, .file = file, .path = "", .revision = revision};
  };
  CHECK(facts(from("huggingface", "toys/Toy-32B")).name == "Toy-32B");
  CHECK(facts(from("huggingface", "Toys/Toy-32B-FP8")).name == "Toy-32B FP8");
  CHECK(facts(from("ollama", "toy:32b")).name == "Toy-32B Q4_K_M");
  CHECK(facts(from("modelscope", "Toys/Toy-32B")).name.empty());
  CHECK(facts(from("huggingface", "Toys/Toy-32B-GGUF")).name.empty());
  CHECK(facts(from("huggingface", "Toys/Toy-32B", "other.gguf")).name.empty());
  CHECK(facts(from("huggingface", "Toys/Toy-32B", "", "v2")).name.empty());
}

TEST_CASE("search ranks names before other words, and keeps to category and task") {
  const auto catalog = toys();
  CHECK(ids(search(catalog, {})) == "toy-embed toy-1b toy-32b");
  CHECK(ids(search(catalog, {.text = "32b", .category = "", .task = ""})) == "toy-32b");
  CHECK(ids(search(catalog, {.text = "Toy 32B", .category = "", .task = ""})) == "toy-32b");
  CHECK(ids(search(catalog, {.text = "tools", .category = "", .task = ""})) == "toy-32b");
  CHECK(ids(search(catalog, {.text = "q8_0 gguf", .category = "", .task = ""})) == "toy-32b");
  CHECK(ids(search(catalog, {.text = "toy embed", .category = "", .task = ""})) == "toy-embed");
  CHECK(ids(search(catalog, {.text = "", .category = "EMBEDDING", .task = ""})) == "toy-embed");
  CHECK(ids(search(catalog, {.text = "", .category = "", .task = "generate"})) == "toy-1b toy-32b");
  CHECK(search(catalog, {.text = "nothing", .category = "", .task = ""}).empty());
}

}  // namespace berth::fleet
