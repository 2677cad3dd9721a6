// Names and search over the model catalog.
#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "base/text.h"
#include "fleet/model_catalog.h"

namespace berth::fleet {
namespace {

constexpr std::size_t kNamesShown = 8;

bool has_name(const CatalogModel& model, std::string_view name) {
  return model.id == name || to_lower(model.title) == name ||
         std::any_of(
             model.aliases.begin(), model.aliases.end(), [&](const auto& alias) { return to_lower(alias) == name; });
}

const CatalogModel* by_name(const ModelCatalog& catalog, std::string_view name) {
  for (const auto& model : catalog.models)
    if (has_name(model, name)) return &model;
  return nullptr;
}

std::string listed(const std::vector<std::string>& names) {
  if (names.size() <= kNamesShown) return join(names, ", ");
  const std::vector<std::string> first(names.begin(), names.begin() + kNamesShown);
  return fmt::format("{} and {} more", join(first, ", "), names.size() - kNamesShown);
}

std::vector<std::string> variant_names(const CatalogModel& model) {
  std::vector<std::string> names;
  for (const auto& variant : model.variants) names.push_back(variant.name);
  return names;
}

const CatalogVariant* variant_named(const CatalogModel& model, std::string_view name) {
  for (const auto& variant : model.variants)
    if (equals_ignoring_case(variant.name, name)) return &variant;
  return nullptr;
}

/// "qwen3-32b:q4_k_m" and "qwen3-32b@q4_k_m".
Result<std::optional<CatalogMatch>> with_suffix(const ModelCatalog& catalog, std::string_view name) {
  using Match = std::optional<CatalogMatch>;
  const auto at = name.find_last_of(":@");
  if (at == std::string_view::npos || at == 0) return Match();
  const auto* model = by_name(catalog, name.substr(0, at));
  if (model == nullptr) return Match();
  const auto wanted = name.substr(at + 1);
  if (const auto* variant = variant_named(*model, wanted)) return Match(CatalogMatch{model, variant});
  const auto names = variant_names(*model);
  return fail(Code::kNotFound,
              fmt::format("the catalog's {} has no variant \"{}\": {}",
                          model->id,
                          printable(wanted),
                          names.empty() ? "it has none" : "it has " + listed(names)));
}

/// The repository of a variant, when one variant alone lies there.
Result<std::optional<CatalogMatch>> by_repository(const ModelCatalog& catalog, std::string_view name) {
  std::vector<CatalogMatch> found;
  std::vector<std::string> choices;
  for (const auto& model : catalog.models)
    for (const auto& variant : model.variants) {
      if (to_lower(variant.source.repo) != name) continue;
      found.push_back({&model, &variant});
      choices.push_back(fmt::format("{}:{}", model.id, variant.name));
    }
  if (found.size() == 1) return std::optional(found.front());
  if (found.empty()) return std::optional<CatalogMatch>();
  return invalid(fmt::format("\"{}\" holds several files; name one of {}", printable(name), listed(choices)));
}

Result<std::optional<CatalogMatch>> by_family(const ModelCatalog& catalog, std::string_view name) {
  std::vector<std::string> ids;
  const CatalogModel* last = nullptr;
  for (const auto& model : catalog.models) {
    if (model.family != name && !model.id.starts_with(std::string(name) + "-")) continue;
    ids.push_back(model.id);
    last = &model;
  }
  if (ids.empty()) return std::optional<CatalogMatch>();
  if (ids.size() == 1) return std::optional(CatalogMatch{last, nullptr});
  return invalid(fmt::format("\"{}\" may be one of several models: {}", printable(name), listed(ids)));
}

bool same_place(const ModelSource& wanted, const ModelSource& known) {
  return wanted.kind == known.kind && equals_ignoring_case(wanted.repo, known.repo) &&
         (wanted.file.empty() || wanted.file == known.file);
}

/// A repository that one entry, or one file of an entry, lies in. Another revision than the usual may hold other files.
std::optional<CatalogMatch> by_source(const ModelCatalog& catalog, const ModelSource& source) {
  if (!source.revision.empty()) return std::nullopt;
  std::vector<CatalogMatch> found;
  for (const auto& model : catalog.models) {
    const auto here = [&](const ModelSource& known) { return same_place(source, known); };
    if (here(model.source) || std::any_of(model.mirrors.begin(), model.mirrors.end(), here))
      found.push_back({&model, nullptr});
    for (const auto& variant : model.variants)
      if (here(variant.source)) found.push_back({&model, &variant});
    // Ollama's tags mean its own GGUF files, which are of this type unless the tag says otherwise.
    if (source.kind == "ollama" && has_name(model, to_lower(source.repo)))
      if (const auto* variant = variant_named(model, "Q4_K_M")) return CatalogMatch{&model, variant};
  }
  if (found.size() != 1) return std::nullopt;
  return found.front();
}

void fill(const CatalogMatch& match, Request& request) {
  const CatalogModel& model = *match.model;
  const CatalogVariant* variant = match.variant;
  const bool own_source = !request.source.kind.empty() && request.source.kind != "catalog";
  const std::string title = variant == nullptr ? model.title : fmt::format("{} {}", model.title, variant->name);
  if (!own_source) request.source = variant == nullptr ? model.source : variant->source;
  if (!own_source || request.model.empty()) request.model = title;
  request.facts = facts_of(model, variant);
  if (request.task == Request().task) request.task = request.facts->task;
  if (!request.variants.empty()) return;
  if (variant != nullptr) request.variants.push_back({"original", model.source, facts_of(model)});
  for (const auto& other : model.variants)
    if (&other != variant) request.variants.push_back({other.name, other.source, facts_of(model, &other)});
}

/// Letters and digits alone: "Qwen 3 32B", "qwen3_32b" and "qwen3-32b" are one.
std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : to_lower(text))
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::string lower = to_lower(text);
  for (char& c : lower)
    if (c == '-' || c == '_' || c == '/' || c == ':' || c == ',' || c == '\t' || c == '\n') c = ' ';
  std::vector<std::string> words;
  for (auto& word : split(lower, ' '))
    if (!word.empty()) words.push_back(std::move(word));
  return words;
}

/// 0: nothing; the larger the better. Words are looked for in the fields from the most to the least telling.
int rank_of(const CatalogModel& model, const std::vector<std::string>& words, const std::string& whole) {
  if (!whole.empty() && has_name(model, whole)) return 1000;
  const std::string id = squeezed(model.id);
  const std::string title = squeezed(model.title);
  if (const std::string text = squeezed(whole); !text.empty() && (id == text || title == text)) return 900;
  std::string rest = to_lower(join(model.categories, " ") + " " + join(model.capabilities, " ") + " " +
                              model.licence.value_or("") + " " + model.facts.task + " " + model.facts.architecture);
  for (const auto& variant : model.variants)
    rest += " " + to_lower(variant.name + " " + variant.facts.format + " " + variant.source.repo);
  int rank = 1;
  for (const auto& word : words) {
    const std::string key = squeezed(word);
    const auto parts = words_of(model.id + " " + model.title);
    const auto has = [&](const std::string& alias) { return to_lower(alias).find(word) != std::string::npos; };
    if (std::find(parts.begin(), parts.end(), word) != parts.end())
      rank += 100;
    else if (!key.empty() && (id.starts_with(key) || title.starts_with(key)))
      rank += 60;
    else if (!key.empty() && (id.find(key) != std::string::npos || title.find(key) != std::string::npos))
      rank += 40;
    else if (model.family.find(word) != std::string::npos)
      rank += 30;
    else if (std::any_of(model.aliases.begin(), model.aliases.end(), has) || has(model.source.repo))
      rank += 20;
    else if (rest.find(word) != std::string::npos)
      rank += 10;
    else
      return 0;
  }
  return rank;
}

}  // namespace

Result<CatalogMatch> find_model(const ModelCatalog& catalog, std::string_view name) {
  const std::string wanted = to_lower(trim(name));
  if (wanted.empty()) return invalid("the name of a model is empty");
  if (const auto* model = by_name(catalog, wanted)) return CatalogMatch{model, nullptr};
  for (const auto look : {with_suffix, by_repository, by_family}) {
    TRY(const auto found, look(catalog, wanted));
    if (found) return *found;
  }
  std::vector<std::string> same;
  for (const auto& model : catalog.models)
    if (squeezed(model.id) == squeezed(wanted) || squeezed(model.title) == squeezed(wanted)) same.push_back(model.id);
  if (same.size() == 1) return CatalogMatch{by_name(catalog, same.front()), nullptr};
  constexpr std::size_t kNear = 3;
  const auto near = near_names(catalog, wanted, kNear);
  return fail(Code::kNotFound,
              fmt::format("no model of the catalog is called \"{}\"{}; `berth search` lists them",
                          printable(trim(name)),
                          near.empty() ? "" : "; did you mean " + join(near, ", ") + "?"));
}

std::vector<std::string> near_names(const ModelCatalog& catalog, std::string_view text, std::size_t count) {
  const std::string wanted = to_lower(trim(text));
  std::vector<std::string> out;
  std::vector<std::string> ids;
  for (const auto& model : catalog.models) ids.push_back(model.id);
  const auto slash = wanted.rfind('/');
  const std::string tail = slash == std::string::npos ? wanted : wanted.substr(slash + 1);
  while (out.size() < count) {
    const auto best = nearest(tail, ids);
    if (!best) break;
    out.push_back(*best);
    ids.erase(std::find(ids.begin(), ids.end(), *best));
  }
  if (!out.empty()) return out;
  // A word of a name, misspelt: its first letter is rarely wrong, and three letters are too few to say.
  constexpr std::size_t kWordMin = 4;
  std::vector<std::string> words;
  for (const auto& model : catalog.models)
    for (auto& word : words_of(model.family + " " + model.title))
      if (word.size() >= kWordMin && !tail.empty() && word.front() == tail.front()) words.push_back(std::move(word));
  if (tail.size() >= kWordMin)
    if (const auto word = nearest(tail, words)) return {*word};
  // Nothing is spelt like it: what begins alike.
  constexpr std::size_t kStemMin = 4;
  for (std::size_t stem = tail.size(); stem >= kStemMin && out.empty(); --stem)
    for (const auto& id : ids)
      if (out.size() < count && id.starts_with(tail.substr(0, stem))) out.push_back(id);
  return out;
}

std::vector<const CatalogModel*> search(const ModelCatalog& catalog, const CatalogQuery& query) {
  struct Hit {
    const CatalogModel* model;
    int rank;
  };
  const auto words = words_of(query.text);
  const std::string whole = to_lower(trim(query.text));
  std::vector<Hit> hits;
  for (const auto& model : catalog.models) {
    const auto in_category = [&](const auto& c) { return equals_ignoring_case(c, query.category); };
    if (!query.category.empty() && std::none_of(model.categories.begin(), model.categories.end(), in_category))
      continue;
    if (!query.task.empty() && !equals_ignoring_case(model.facts.task, query.task)) continue;
    const int rank = rank_of(model, words, whole);
    if (rank > 0) hits.push_back({&model, rank});
  }
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return std::tuple(
               -a.rank, std::string_view(a.model->family), a.model->facts.parameters, std::string_view(a.model->id)) <
           std::tuple(
               -b.rank, std::string_view(b.model->family), b.model->facts.parameters, std::string_view(b.model->id));
  });
  std::vector<const CatalogModel*> out;
  out.reserve(hits.size());
  for (const auto& hit : hits) out.push_back(hit.model);
  return out;
}

bool may_name_catalog_model(const Request& request) {
  if (request.facts) return false;
  const auto& s = request.source;
  if (s.kind == "catalog") return true;
  if (s.kind == "huggingface" || s.kind == "modelscope" || s.kind == "ollama") return !s.repo.empty();
  const bool no_source = s.kind.empty() && s.repo.empty() && s.file.empty() && s.path.empty();
  return no_source && !request.model.empty();
}

Result<void> complete(const ModelCatalog& catalog, Request& request) {
  if (!may_name_catalog_model(request)) return {};
  const auto& source = request.source;
  const bool insists = source.kind == "catalog";
  std::optional<CatalogMatch> match;
  if (insists || source.kind.empty()) {
    const bool by_repo = !source.repo.empty();
    auto found = find_model(catalog, by_repo ? source.repo : request.model);
    if (!found && insists) return in(by_repo ? "source.repo" : "model", std::move(found).error());
    if (found) match = *found;
  } else {
    match = by_source(catalog, source);
  }
  if (!match) return {};
  fill(*match, request);
  return {};
}

}  // namespace berth::fleet
