#pragma once
// From a model's source to a file on this machine.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "engines/paths.h"
#include "fleet/model.h"

namespace berth::worker {

/// A model file that was opened and found to be a regular file under a configured root.
struct ModelFile {
  std::string path;  // canonical: what the engine is given
  Bytes size_bytes;
};

/// Kind "local": `path` must be absolute and lie under one of `roots`, after symbolic links are followed; only a
/// regular file (or a folder, for safetensors) is accepted, never a FIFO or device. It is opened beneath its root, by
/// openat2 where the kernel has it, else from component to component without links, and the path is the name of what
/// was opened. What the engine opens with it, the entries of a folder (one level) and the other parts of a split GGUF,
/// must not lead out either; the size is the sum of those (≤ kFolderFilesMax). Other kinds: kNotSupported, with what to
/// do. Errors: kForbidden outside the roots, kNotFound, kInvalid, kNotSupported.
Result<ModelFile> resolve_model(const fleet::ModelSource& source, const std::vector<std::string>& roots);

constexpr std::size_t kFolderFilesMax = 4096;

/// Paths in an engine's flags, opened as models are: path → the name of what was opened. Errors: as resolve_model, with
/// the flag.
Result<std::map<std::string, std::string>> resolve_flag_paths(const std::vector<engines::FlagPath>& paths,
                                                              const std::vector<std::string>& roots);

/// Folders that a person named after `flag`: absolute, there, and to be entered. Errors: kInvalid with flag and path.
Result<void> check_folders(std::string_view flag, const std::vector<std::string>& folders);

/// Name of a model file's content for "is it here already": "<size>-<32 hex>", the digest over size, first and last
/// MiB. Two quantizations of a model differ in their headers; this is not a defence against forgery.
Result<std::string> content_id(const std::string& path);

}  // namespace berth::worker
