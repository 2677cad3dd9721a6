#pragma once
// What an instance holds beside its process: a port and a secret.

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "worker/supervise/process.h"

namespace berth::worker {

struct PortRange {
  std::uint16_t first = 41'000;
  std::uint16_t last = 41'999;  // inclusive
};

/// True when 127.0.0.1:port can be listened on now, by the same options that servers use.
bool port_is_free(std::uint16_t port);

/// A free port of the range for which `taken` is false, starting at `start` and going round.
/// Errors: kUnavailable with the range when all are in use.
Result<std::uint16_t> pick_port(const PortRange& range,
                                std::uint16_t start,
                                const std::function<bool(std::uint16_t)>& taken);

constexpr std::size_t kSecretBytes = 32;

/// Writes a new secret (64 hexadecimal digits and no newline) that only the engine's user and root can read.
Result<std::string> make_secret(const std::string& path, const EngineUser& user);
/// Errors: kInvalid when the file does not hold a secret of that form.
Result<std::string> read_secret(const std::string& path);

}  // namespace berth::worker
