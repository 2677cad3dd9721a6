#pragma once
// What a case leaves out of a model that the catalog of models knows by its repository.

#include "cli/conformance/case.h"
#include "fleet/model_catalog.h"

namespace berth::cli::conformance {

/// The case with those figures filled in from the catalog that it does not tell itself; whoever names a repository gets
/// them everywhere else in berth, too. Only for placements, and not where the files are GGUF, whose figures are those
/// of the very file.
Case with_known_model(Case c, const fleet::ModelCatalog& models);

}  // namespace berth::cli::conformance
