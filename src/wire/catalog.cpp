#include "wire/catalog.h"

#include "wire/yaml.h"

namespace berth::wire {

Result<engines::EngineCatalog> load_catalog(const std::vector<CatalogText>& files) {
  std::vector<engines::Engine> engines;
  for (const auto& file : files) {
    auto engine = from_yaml<engines::Engine>(file.yaml, Strictness::kStrict);
    if (!engine) return in(file.name, std::move(engine).error());
    engines.push_back(std::move(*engine));
  }
  auto catalog = engines::in_catalog_order(std::move(engines));
  TRY_VOID(engines::validate(catalog));
  return catalog;
}

Result<engines::EngineCatalog> embedded_catalog() { return load_catalog(embedded_catalog_files()); }

}  // namespace berth::wire
