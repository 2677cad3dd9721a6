#pragma once
// Files of models → fleet::ModelCatalog. One family or house a file: a table of sources and the models.

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/describe.h"
#include "fleet/model_catalog.h"
#include "wire/catalog.h"

namespace berth::wire {

/// `sources`: what the keys mean that stand in `figures[].text` of this file's models.
struct ModelCatalogFile {
  std::map<std::string, std::string> sources;
  std::vector<fleet::CatalogModel> models;
};
DESCRIBE(ModelCatalogFile, sources, models);

/// Strict. Errors: kInvalid naming the file and the path in it, a source that the table lacks or never uses, and all of
/// fleet::validate.
Result<fleet::ModelCatalog> load_models(const std::vector<CatalogText>& files);
/// src/wire/models/*.yaml, compiled in. Read when asked for, never at the start of a command; costs milliseconds, so
/// keep it.
Result<fleet::ModelCatalog> embedded_models();
/// The compiled-in files themselves. Generated at build time.
const std::vector<CatalogText>& embedded_model_files();

/// embedded_models(), read when it is first asked for and kept. Any thread.
class EmbeddedModels {
 public:
  /// Lives as long as this. Errors: as embedded_models.
  Result<const fleet::ModelCatalog*> get() const;

 private:
  mutable std::once_flag once_;
  mutable Result<fleet::ModelCatalog> models_ = fail(Code::kInternal, "the catalog of models is not read yet");
};

}  // namespace berth::wire
