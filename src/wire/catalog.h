#pragma once
// Catalog files → EngineCatalog. One engine a file, keys as in engines::Engine.

#include <string>
#include <vector>

#include "engines/catalog.h"

namespace berth::wire {

struct CatalogText {
  std::string name;  // for error messages
  std::string yaml;
};

/// Errors: kInvalid naming the file and the path in it. The result is validated.
Result<engines::EngineCatalog> load_catalog(const std::vector<CatalogText>& files);
/// src/engines/catalog/*.yaml, compiled in.
Result<engines::EngineCatalog> embedded_catalog();
/// The compiled-in files themselves. Generated at build time.
const std::vector<CatalogText>& embedded_catalog_files();

}  // namespace berth::wire
