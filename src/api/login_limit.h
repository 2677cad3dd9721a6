#pragma once
// How often a password may be tried: counted by the address that tries, so that a stranger who guesses keeps nobody
// else out, and before it is looked at, so that tries at the same time are no way round.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace berth::api {

/// Wrong passwords in a row from one address before each further try must wait kLoginWait.
constexpr std::uint32_t kLoginFreeTries = 5;
constexpr Duration kLoginWait{5'000};
/// After this long without a try an address is forgotten.
constexpr Duration kLoginMemory{3'600'000};
/// Addresses that are remembered. With more at once, the one that tried longest ago is forgotten.
constexpr std::size_t kLoginPeersMax = 4096;
/// Passwords that are looked at together: each takes kPasswordMemoryBytes and a processor. Addresses that were wrong
/// before get all of these but one.
constexpr std::uint32_t kLoginsAtOnceMax = 3;

class LoginLimit {
 public:
  /// Counts a try as a wrong one until right() says otherwise; ended() must follow. Errors: kRateLimited with the
  /// seconds to wait. `peer`: "address:port", "unix".
  Result<void> begin(std::string_view peer, Time now);
  void right(std::string_view peer);
  void ended(std::string_view peer);

  [[nodiscard]] std::size_t peers() const;

 private:
  struct Peer {
    std::uint32_t wrong = 0;  // in a row, those under way among them
    std::uint32_t under_way = 0;
    Time last{};
  };
  void forget(Time now);

  mutable std::mutex mutex_;
  std::map<std::string, Peer, std::less<>> peers_;
  std::uint32_t under_way_ = 0;
};

/// Who is behind a connection, as far as it can be told: an IPv4 address, or the 64 bits of an IPv6 network.
std::string login_peer(std::string_view peer);

}  // namespace berth::api
