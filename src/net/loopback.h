#pragma once
// Where 127.0.0.1 means the same.

#include <string>

namespace berth::net {

/// Two processes with the same non-empty answer reach each other through 127.0.0.1: same boot of the same machine, same
/// network namespace. A peer address alone does not show it: a tunnel's end is a loopback address too. Empty when the
/// system does not tell.
std::string loopback_id();

}  // namespace berth::net
