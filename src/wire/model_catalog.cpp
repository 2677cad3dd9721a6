#include "wire/model_catalog.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"
#include "wire/yaml.h"

namespace berth::wire {
namespace {

Result<void> resolve(std::vector<fleet::FigureSource>& figures,
                     const std::map<std::string, std::string>& sources,
                     std::set<std::string>& used) {
  for (auto& figure : figures) {
    const auto found = sources.find(figure.text);
    if (found == sources.end())
      return invalid(fmt::format("figures: source \"{}\" is not in the file's sources", printable(figure.text)));
    used.insert(figure.text);
    figure.text = found->second;
  }
  return {};
}

Result<void> resolve(fleet::CatalogModel& model,
                     const std::map<std::string, std::string>& sources,
                     std::set<std::string>& used) {
  TRY_VOID(resolve(model.figures, sources, used));
  for (auto& variant : model.variants) TRY_VOID(resolve(variant.figures, sources, used));
  return {};
}

Result<void> append(const CatalogText& text, fleet::ModelCatalog& catalog) {
  TRY(auto file, from_yaml<ModelCatalogFile>(text.yaml, Strictness::kStrict));
  std::set<std::string> used;
  for (auto& model : file.models) {
    if (auto ok = resolve(model, file.sources, used); !ok) return in(model.id, std::move(ok).error());
    catalog.models.push_back(std::move(model));
  }
  for (const auto& [key, source] : file.sources)
    if (!used.contains(key)) return invalid(fmt::format("sources.{} is not used", printable(key)));
  return {};
}

}  // namespace

Result<fleet::ModelCatalog> load_models(const std::vector<CatalogText>& files) {
  fleet::ModelCatalog catalog;
  for (const auto& file : files)
    if (auto ok = append(file, catalog); !ok) return in(file.name, std::move(ok).error());
  std::sort(catalog.models.begin(), catalog.models.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  TRY_VOID(fleet::validate(catalog));
  return catalog;
}

Result<fleet::ModelCatalog> embedded_models() { return load_models(embedded_model_files()); }

Result<const fleet::ModelCatalog*> EmbeddedModels::get() const {
  std::call_once(once_, [this] { models_ = embedded_models(); });
  if (!models_) return models_.error();
  return &*models_;
}

}  // namespace berth::wire
