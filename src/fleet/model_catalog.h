#pragma once
// Models that people deploy, with what is known of each and where that is written. The files are compiled in by
// wire/model_catalog.h; here is what the entries mean: names, variants, and a request completed from them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/describe.h"
#include "base/result.h"
#include "fleet/model.h"
#include "fleet/request.h"

namespace berth::fleet {

/// Where figures come from. `figures` are names of members of ModelFacts; empty: all that no other source of the same
/// list names. `computed`: derived from other figures by the way that `text` says, not read anywhere.
struct FigureSource {
  std::string text;  // in files a key of the file's table of sources, or the text itself
  std::vector<std::string> figures;
  bool computed = false;
};
DESCRIBE(FigureSource, text, figures, computed);

/// Weights of one kind of layer; see LayerWeights. `device_bytes` absent: as host_bytes.
struct LayerKind {
  Bytes host_bytes;
  std::optional<Bytes> device_bytes;
  Bytes largest_tensor_bytes;
};
DESCRIBE(LayerKind, host_bytes, device_bytes, largest_tensor_bytes);

/// Another file of the same model. `facts` holds only what differs from the entry's; weights never carry over.
struct CatalogVariant {
  std::string name;  // "Q4_K_M"; unique in the entry without regard to case
  ModelSource source;
  ModelFacts facts;
  std::vector<LayerKind> layer_kinds;  // instead of facts.layer_weights: the kinds, at most 26 …
  std::string layer_order;             // … and a letter for each layer: "aabab", 'a' the first kind
  std::vector<FigureSource> figures;
};
DESCRIBE(CatalogVariant, name, source, facts, layer_kinds, layer_order, figures);

/// One model. What is not known is absent.
struct CatalogModel {
  std::string id;                    // "qwen3-32b": lower case, as is_name
  std::string title;                 // "Qwen3-32B"
  std::string family;                // "qwen3"
  std::vector<std::string> aliases;  // further names: "Qwen/Qwen3-32B", "qwen3:32b"
  std::optional<std::string> licence;
  std::vector<std::string> categories;    // "llm", "embedding", "reranker", "image", "speech_to_text", …
  std::vector<std::string> capabilities;  // "tools", "vision", "reasoning"
  std::optional<std::string> released;    // "2025-04-27"
  std::optional<std::uint64_t> active_parameters;
  ModelSource source;
  std::vector<ModelSource> mirrors;  // the same files elsewhere
  ModelFacts facts;
  std::vector<FigureSource> figures;
  std::vector<CatalogVariant> variants;
};
DESCRIBE(CatalogModel,
         id,
         title,
         family,
         aliases,
         licence,
         categories,
         capabilities,
         released,
         active_parameters,
         source,
         mirrors,
         facts,
         figures,
         variants);

/// Sorted by id. Read-only once built.
struct ModelCatalog {
  std::vector<CatalogModel> models;
};
DESCRIBE(ModelCatalog, models);

/// An entry, and one of its variants when the name says which; nullptr: the entry itself. Points into the catalog.
struct CatalogMatch {
  const CatalogModel* model = nullptr;
  const CatalogVariant* variant = nullptr;
};

/// Ids, aliases and variants unique, figures within their ranges and each with exactly one source, none named that is
/// not there. Errors: kInvalid naming entry, field and what is wrong.
Result<void> validate(const ModelCatalog& catalog);

/// Facts of the entry itself, or of one of its variants, named by title and variant.
ModelFacts facts_of(const CatalogModel& model, const CatalogVariant* variant = nullptr);

/// The entry that `name` means: its id, title or an alias, without regard to case, with ":VARIANT" or "@VARIANT" behind
/// it for another file; or the repository of a variant. A catalog of families: the family's name alone is ambiguous
/// unless it has one entry. Errors: kNotFound with near names; kInvalid with the choices when several are meant.
Result<CatalogMatch> find_model(const ModelCatalog& catalog, std::string_view name);

/// True for a request without facts that complete() may know: one with source.kind "catalog", one with a repository,
/// one with nothing but `model`.
bool may_name_catalog_model(const Request& request);

/// Fills what such a request leaves out: facts, variants (the other files of the model), task, model; and the source,
/// unless it names a repository itself. Source.kind "catalog" insists: its `repo`, or `model` where that is empty, is a
/// name. Otherwise what the catalog does not know stays as it is.
/// Errors: only for kind "catalog", as find_model, naming the field that holds the name.
Result<void> complete(const ModelCatalog& catalog, Request& request);

struct CatalogQuery {
  std::string text;      // words that must all be found; empty: every entry
  std::string category;  // empty: any
  std::string task;      // empty: any
};
/// Entries that match, best first: words of the id and title before those of family, aliases and the rest; equal ones
/// by family, parameters and id.
std::vector<const CatalogModel*> search(const ModelCatalog& catalog, const CatalogQuery& query);
/// Ids and titles that `text` may have meant, best first, at most `count`.
std::vector<std::string> near_names(const ModelCatalog& catalog, std::string_view text, std::size_t count);

}  // namespace berth::fleet
