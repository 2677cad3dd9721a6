#pragma once
// From a model's source to a file on this machine.

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "fleet/model.h"
#include "worker/files/fd.h"

namespace berth::worker {

/// A model file that was opened and found to be a regular file under a configured root.
struct ModelFile {
  std::string path;  // canonical: what the engine is given
  Bytes size_bytes;
};

/// Kind "local": `path` must be absolute and lie under one of `roots`, after symbolic links are followed; only a
/// regular file (or a folder, for safetensors) is accepted, never a FIFO or device. Other kinds: kNotSupported, with
/// what to do. Size of a folder is the sum of the regular files in it (≤ kFolderFilesMax, one level). Errors:
/// kForbidden outside the roots, kNotFound, kInvalid, kNotSupported.
Result<ModelFile> resolve_model(const fleet::ModelSource& source, const std::vector<std::string>& roots);

constexpr std::size_t kFolderFilesMax = 4096;

/// Folders that a person named after `flag`: absolute, there, and to be entered. Errors: kInvalid with flag and path.
Result<void> check_folders(std::string_view flag, const std::vector<std::string>& folders);

/// Opens `relative` beneath `root` so that neither ".." nor a symbolic link leads out of it; read-only, regular file.
/// Uses openat2 where the kernel has it, else a walk from component to component that refuses links.
Result<Fd> open_beneath(const std::string& root, const std::string& relative);

/// Name of a model file's content for "is it here already": "<size>-<32 hex>", the digest over size, first and last
/// MiB. Two quantizations of a model differ in their headers; this is not a defence against forgery.
Result<std::string> content_id(const std::string& path);

}  // namespace berth::worker
