#include "wire/catalog.h"

#include "wire/yaml.h"

namespace berth::wire {

Result<engines::EngineCatalog> load_catalog(const std::vector<CatalogText>& files) {
  engines::EngineCatalog catalog;
  for (const auto& file : files) {
    auto engine = from_yaml<engines::Engine>(file.yaml, Strictness::kStrict);
    if (!engine) return in(file.name, std::move(engine).error());
    catalog.engines.push_back(std::move(*engine));
  }
  catalog = engines::in_catalog_order(std::move(catalog.engines));
  TRY_VOID(engines::validate(catalog));
  return catalog;
}

Result<engines::EngineCatalog> embedded_catalog() { return load_catalog(embedded_catalog_files()); }

}  // namespace berth::wire
