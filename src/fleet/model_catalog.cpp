#include "fleet/model_catalog.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>
#include <set>
#include <type_traits>

#include "base/text.h"
#include "fleet/facts.h"

namespace berth::fleet {
namespace {

/// What a file is called or how it is read: no figures, so no source is asked for them.
constexpr std::array<std::string_view, 6> kNoFigures = {
    "name", "format", "architecture", "task", "causal", "custom_code"};

template <class T>
bool given(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value;
  else if constexpr (requires { value.has_value(); })
    return value.has_value();
  else
    return !value.empty();
}

template <class F>
void for_each_member(F visit) {
  boost::mp11::mp_for_each<berth::detail::Members<ModelFacts>>(
      [&](auto member) { visit(std::string_view(member.name), member.pointer); });
}

std::set<std::string, std::less<>> figures_given(const ModelFacts& facts) {
  std::set<std::string, std::less<>> out;
  for_each_member([&](std::string_view name, auto pointer) {
    const bool figure = std::find(kNoFigures.begin(), kNoFigures.end(), name) == kNoFigures.end();
    if (figure && given(facts.*pointer)) out.emplace(name);
  });
  return out;
}

/// Each figure has one source, and each source figures that are there.
Result<void> check_sources(const std::set<std::string, std::less<>>& figures,
                           const std::vector<FigureSource>& sources) {
  std::set<std::string, std::less<>> named;
  bool rest = false;
  for (const auto& source : sources) {
    if (source.text.empty()) return invalid("figures: a source without text");
    if (source.figures.empty()) {
      if (rest) return invalid("figures: two sources name no figure; only one can hold all that others do not name");
      rest = true;
    }
    for (const auto& figure : source.figures) {
      if (!figures.contains(figure))
        return invalid(fmt::format("figures: \"{}\" is given a source but is not there", printable(figure)));
      if (!named.insert(figure).second) return invalid(fmt::format("figures: {} has two sources", figure));
    }
  }
  for (const auto& figure : figures)
    if (!rest && !named.contains(figure)) return invalid(fmt::format("figures: {} has no source", figure));
  if (rest && named.size() == figures.size()) return invalid("figures: a source for the rest, but nothing is left");
  return {};
}

Result<void> check_layers(const CatalogVariant& variant) {
  constexpr std::size_t kKindsMax = 26;
  if (!variant.facts.layer_weights.empty()) return invalid("facts.layer_weights is written as layer_kinds");
  if (variant.layer_kinds.size() > kKindsMax)
    return invalid(fmt::format("layer_kinds has {} entries, at most {}", variant.layer_kinds.size(), kKindsMax));
  for (const char letter : variant.layer_order)
    if (letter < 'a' || static_cast<std::size_t>(letter - 'a') >= variant.layer_kinds.size())
      return invalid(fmt::format("layer_order: '{}' is none of the {} kinds",
                                 printable(std::string_view(&letter, 1)),
                                 variant.layer_kinds.size()));
  if (variant.layer_order.empty() != variant.layer_kinds.empty())
    return invalid("layer_kinds and layer_order go together");
  return {};
}

Result<void> check_variant(const CatalogModel& model, const CatalogVariant& variant) {
  if (variant.name.empty()) return invalid("name is missing");
  if (variant.source.kind.empty() || variant.source.repo.empty()) return invalid("source needs kind and repo");
  TRY_VOID(check_layers(variant));
  auto figures = figures_given(variant.facts);
  if (!variant.layer_kinds.empty()) figures.emplace("layer_kinds");
  TRY_VOID(check_sources(figures, variant.figures));
  return check_facts("facts", facts_of(model, &variant));
}

Result<void> check_model(const CatalogModel& model) {
  if (model.title.empty()) return invalid("title is missing");
  if (model.family.empty()) return invalid("family is missing");
  if (model.categories.empty()) return invalid("categories is missing");
  if (model.source.kind.empty() || model.source.repo.empty()) return invalid("source needs kind and repo");
  if (model.licence && model.licence->empty()) return invalid("licence is empty; leave it out when it is not known");
  if (model.active_parameters && model.facts.parameters && *model.active_parameters > *model.facts.parameters)
    return invalid(fmt::format(
        "active_parameters is {}, must be at most parameters, {}", *model.active_parameters, *model.facts.parameters));
  auto figures = figures_given(model.facts);
  if (model.active_parameters) figures.emplace("active_parameters");
  TRY_VOID(check_sources(figures, model.figures));
  TRY_VOID(check_facts("facts", model.facts));
  std::set<std::string> names;
  for (const auto& variant : model.variants) {
    const std::string where = fmt::format("variants.{}", printable(variant.name));
    if (!names.insert(to_lower(variant.name)).second) return invalid(fmt::format("{} is there twice", where));
    if (auto ok = check_variant(model, variant); !ok) return in(where, std::move(ok).error());
  }
  return {};
}

}  // namespace

Result<void> validate(const ModelCatalog& catalog) {
  std::map<std::string, std::string> owners;  // name in lower case → id
  for (const auto& model : catalog.models) {
    if (!is_name(model.id))
      return invalid(fmt::format("id is \"{}\", must be 1 to 63 of a-z, 0-9, '-', '.', '_'", printable(model.id)));
    if (auto ok = check_model(model); !ok) return in(model.id, std::move(ok).error());
    std::vector<std::string> names = model.aliases;
    names.push_back(model.id);
    if (to_lower(model.title) != model.id) names.push_back(model.title);
    for (const auto& name : names) {
      const auto [at, fresh] = owners.emplace(to_lower(name), model.id);
      if (!fresh)
        return invalid(fmt::format("{}: the name \"{}\" is also that of {}", model.id, printable(name), at->second));
    }
  }
  return {};
}

ModelFacts facts_of(const CatalogModel& model, const CatalogVariant* variant) {
  ModelFacts facts = model.facts;
  facts.name = model.title;
  if (variant == nullptr) return facts;
  facts.weight_bytes.reset();
  facts.quantization.reset();
  if (!variant->facts.format.empty() && variant->facts.format != model.facts.format) {
    // Each format has names of its own, and code beside the files of one is not beside those of another.
    facts.architecture.clear();
    facts.architectures.clear();
    facts.custom_code.reset();
  }
  for_each_member([&](std::string_view name, auto pointer) {
    // A task always says something; that of another file is the model's own.
    if (name != "task" && given(variant->facts.*pointer)) facts.*pointer = variant->facts.*pointer;
  });
  facts.name = fmt::format("{} {}", model.title, variant->name);
  for (const char letter : variant->layer_order) {
    const auto& kind = variant->layer_kinds.at(static_cast<std::size_t>(letter - 'a'));
    facts.layer_weights.push_back(
        {kind.host_bytes, kind.device_bytes.value_or(kind.host_bytes), kind.largest_tensor_bytes});
  }
  return facts;
}

}  // namespace berth::fleet
