#pragma once
// Who may do what: keys by HMAC, one admin password by argon2id. Lookups are in memory; every change is in the store
// before it counts. Thread-safe.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "fleet/objects.h"
#include "store/store.h"

namespace berth::api {

constexpr std::string_view kScopeManagement = "management";
constexpr std::string_view kScopeInference = "inference";
constexpr std::string_view kScopeJoin = "join";
/// Beside management: engine flags that berth does not know, and keys of this scope.
constexpr std::string_view kScopeOperator = "operator";
/// argon2id: 19 MiB, two passes (DESIGN §6).
constexpr std::size_t kPasswordMemoryBytes = 19ULL * 1024 * 1024;
constexpr unsigned long long kPasswordPasses = 2;
constexpr Duration kLoginKeyLives{12 * 3600 * 1000};

/// A key that was presented and found.
struct Principal {
  std::string key_id;
  std::string name;
  std::vector<std::string> scopes;
  [[nodiscard]] bool may(std::string_view scope) const;
};

struct NewKey {
  std::string id;
  std::string name;
  std::string key;  // shown once
  std::optional<Time> expires_at;
};

struct KeyLine {
  std::string id;
  std::string name;
  std::string owner;
  std::vector<std::string> scopes;
  std::string prefix;
  std::optional<Time> expires_at;
};
DESCRIBE(KeyLine, id, name, owner, scopes, prefix, expires_at);

class Auth {
 public:
  /// `hmac_key`: 32 bytes that live outside of the data directory.
  Auth(store::Store& store, std::string hmac_key, const Clock& clock);
  ~Auth();
  Auth(const Auth&) = delete;
  Auth& operator=(const Auth&) = delete;

  Result<void> load();
  /// Makes the admin password when there is none and returns it, once.
  Result<std::optional<std::string>> ensure_admin_password();

  /// Absent: unknown, expired or revoked. Constant time in the presented key.
  [[nodiscard]] std::optional<Principal> check(std::string_view presented) const;
  /// HMAC of a key, as stored.
  [[nodiscard]] std::string digest(std::string_view key) const;
  /// A fresh random key: prefix, underscore, 256 bits.
  static std::string fresh_key(std::string_view prefix);

  /// Errors: kConflict when the name is taken, kInvalid for an unknown scope.
  Result<NewKey> create(const std::string& name, std::vector<std::string> scopes, std::optional<Duration> lives);
  /// Errors: kNotFound.
  Result<void> revoke(const std::string& name_or_id);
  [[nodiscard]] std::vector<KeyLine> list() const;
  /// `peer`: who tries, for the limit (login_limit.h). Errors: kUnauthenticated, kRateLimited with the seconds to wait.
  Result<NewKey> login(std::string_view password, std::string_view peer);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What to do about a secret that is not there: kRefuse when there are keys that only it can check.
enum class SecretLost { kMakeNew, kRefuse };
/// Reads the HMAC key from `path`, or makes it (mode 0600). Errors: kInvalid when it is no regular file, when others
/// may read it, when it is too short, and when it is missing and must not be made.
Result<std::string> load_or_make_secret(const std::string& path, SecretLost lost = SecretLost::kMakeNew);

}  // namespace berth::api
