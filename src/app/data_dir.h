#pragma once
// The folder that a server keeps its database in.

#include <string>

#include "base/result.h"

namespace berth::app {

/// Makes the folder for its owner alone when it is not there. One that is there keeps its mode, whoever made it; others
/// that may look into it are named in a warning. Errors: kInvalid naming --data-dir, the path and the reason; a folder
/// that everybody may write to is refused, unless it is sticky.
Result<void> prepare_data_dir(const std::string& path);

}  // namespace berth::app
