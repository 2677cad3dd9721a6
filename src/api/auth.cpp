#include "api/auth.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <mutex>
#include <sodium.h>

#include "api/login_limit.h"
#include "base/text.h"
#include "wire/json.h"

namespace berth::api {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kPrefixShown = 8;

std::string random_text(std::size_t bytes) {
  std::vector<unsigned char> raw(bytes);
  randombytes_buf(raw.data(), raw.size());
  std::string out(sodium_base64_encoded_len(bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING), '\0');
  sodium_bin2base64(out.data(), out.size(), raw.data(), raw.size(), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  out.resize(out.size() - 1);  // the terminator
  return out;
}

constexpr std::size_t kSweptMax = 32;  // expired keys that go with one new one

bool known_scope(const std::string& scope) {
  return scope == kScopeManagement || scope == kScopeInference || scope == kScopeJoin || scope == kScopeOperator;
}

struct Entry {
  std::string id;
  std::string name;
  fleet::ApiKeySpec spec;
};

}  // namespace

bool Principal::may(std::string_view scope) const {
  return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
}

struct Auth::State {
  State(store::Store& s, std::string key, const Clock& c) : store(s), hmac_key(std::move(key)), clock(c) {}

  store::Store& store;
  std::string hmac_key;
  const Clock& clock;
  std::mutex changes;        // one change at a time; held while the disk writes
  mutable std::mutex mutex;  // of what follows; never held while the disk writes: each request asks here
  std::map<std::string, Entry> by_digest;
  std::string password_hash;
  LoginLimit logins;

  Result<void> remove(const std::string& id);
  void sweep(Time now);
};

Auth::Auth(store::Store& store, std::string hmac_key, const Clock& clock)
    : state_(std::make_unique<State>(store, std::move(hmac_key), clock)) {}
Auth::~Auth() = default;

std::string Auth::fresh_key(std::string_view prefix) { return fmt::format("{}_{}", prefix, random_text(kKeyBytes)); }

std::string Auth::digest(std::string_view key) const {
  std::array<unsigned char, crypto_auth_hmacsha256_BYTES> mac{};
  crypto_auth_hmacsha256_state hmac;
  const auto* secret = reinterpret_cast<const unsigned char*>(state_->hmac_key.data());  // NOLINT
  crypto_auth_hmacsha256_init(&hmac, secret, state_->hmac_key.size());
  crypto_auth_hmacsha256_update(&hmac, reinterpret_cast<const unsigned char*>(key.data()), key.size());  // NOLINT
  crypto_auth_hmacsha256_final(&hmac, mac.data());
  std::array<char, 2 * crypto_auth_hmacsha256_BYTES + 1> text{};  // this is on the way of every request
  sodium_bin2hex(text.data(), text.size(), mac.data(), mac.size());
  return text.data();
}

Result<void> Auth::load() {
  if (sodium_init() < 0) return fail(Code::kInternal, "the crypto library could not be initialised");
  const std::scoped_lock lock(state_->mutex);
  TRY(auto all, state_->store.read_state({"api_key", "setting"}));
  for (const auto& o : all.objects) {
    if (o.kind == "setting" && o.name == "admin-password") {
      state_->password_hash = o.spec;
      continue;
    }
    if (o.kind != "api_key") continue;
    TRY(auto spec, wire::from_json<fleet::ApiKeySpec>(o.spec, wire::Strictness::kLenient));
    const std::string digest_text = spec.digest;
    state_->by_digest.emplace(digest_text, Entry{o.id, o.name, std::move(spec)});
  }
  return {};
}

Result<std::optional<std::string>> Auth::ensure_admin_password() {
  const std::scoped_lock one(state_->changes);
  {
    const std::scoped_lock lock(state_->mutex);
    if (!state_->password_hash.empty()) return std::optional<std::string>();
  }
  const std::string password = random_text(15);
  std::array<char, crypto_pwhash_STRBYTES> hash{};
  if (crypto_pwhash_str(hash.data(), password.data(), password.size(), kPasswordPasses, kPasswordMemoryBytes) != 0)
    return fail(Code::kInternal, "not enough memory to hash the admin password");
  store::Batch batch{.at = state_->clock.now(), .epoch = 0, .operations = {}};
  batch.add(store::Put{
      .kind = "setting", .id = "admin-password", .name = "admin-password", .spec = hash.data(), .status = "{}"});
  TRY_VOID(state_->store.commit(std::move(batch)));
  const std::scoped_lock lock(state_->mutex);
  state_->password_hash = hash.data();
  return std::optional<std::string>(password);
}

std::optional<Principal> Auth::check(std::string_view presented) const {
  // The digest hides the key's bytes: a lookup by it tells nothing about how near a guess was.
  const std::string wanted = digest(presented);
  const std::scoped_lock lock(state_->mutex);
  const auto at = state_->by_digest.find(wanted);
  if (at == state_->by_digest.end()) return std::nullopt;
  const auto& e = at->second;
  if (e.spec.expires_at && *e.spec.expires_at <= state_->clock.now()) return std::nullopt;
  return Principal{e.id, e.name, e.spec.scopes};
}

Result<NewKey> Auth::create(const std::string& name, std::vector<std::string> scopes, std::optional<Duration> lives) {
  if (!is_name(name))
    return invalid(fmt::format("name \"{}\" must be 1 to 63 of a-z, 0-9, '-', '.', '_'", printable(name)));
  if (scopes.empty()) return invalid("scopes is empty, must name management, operator, inference or join");
  for (const auto& scope : scopes)
    if (!known_scope(scope))
      return invalid(fmt::format("scopes: \"{}\" must be management, operator, inference or join", printable(scope)));
  NewKey fresh{.id = random_text(9), .name = name, .key = fresh_key("bk"), .expires_at = std::nullopt};
  const Time now = state_->clock.now();
  if (lives) fresh.expires_at = now + *lives;
  fleet::ApiKeySpec spec{.owner = "admin",
                         .scopes = std::move(scopes),
                         .digest = digest(fresh.key),
                         .prefix = fresh.key.substr(0, kPrefixShown),
                         .expires_at = fresh.expires_at};
  const std::scoped_lock one(state_->changes);
  state_->sweep(now);
  store::Batch batch{.at = now, .epoch = 0, .operations = {}};
  batch.add(
      store::Create{.kind = "api_key", .id = fresh.id, .name = name, .spec = wire::to_json(spec), .status = "{}"});
  TRY_VOID(state_->store.commit(std::move(batch)));
  const std::string key_digest = spec.digest;
  const std::scoped_lock lock(state_->mutex);
  state_->by_digest.emplace(key_digest, Entry{fresh.id, name, std::move(spec)});
  return fresh;
}

Result<void> Auth::revoke(const std::string& name_or_id) {
  const std::scoped_lock one(state_->changes);
  std::string id;
  {
    const std::scoped_lock lock(state_->mutex);
    for (const auto& [digest_text, entry] : state_->by_digest)
      if (entry.id == name_or_id || entry.name == name_or_id) id = entry.id;
  }
  // A key whose making was not confirmed may be in the store alone.
  if (id.empty()) {
    const auto stored = state_->store.get_by_name("api_key", name_or_id);
    if (!stored && stored.error().code != Code::kNotFound) return stored.error();
    if (!stored) return fail(Code::kNotFound, fmt::format("key \"{}\" does not exist", printable(name_or_id)));
    id = stored->id;
  }
  return state_->remove(id);
}

/// The key is refused from now on when the store says that it is gone, also by an earlier try that was not confirmed.
Result<void> Auth::State::remove(const std::string& id) {
  store::Batch batch{.at = clock.now(), .epoch = 0, .operations = {}};
  batch.add(store::Remove{.kind = "api_key", .id = id, .expected_revision = std::nullopt});
  if (auto done = store.commit(std::move(batch)); !done && done.error().code != Code::kNotFound) return done.error();
  const std::scoped_lock lock(mutex);
  std::erase_if(by_digest, [&](const auto& entry) { return entry.second.id == id; });
  return {};
}

/// Each login makes a key that expires: the expired ones go when others come.
void Auth::State::sweep(Time now) {
  std::vector<std::string> expired;
  {
    const std::scoped_lock lock(mutex);
    for (const auto& [digest_text, entry] : by_digest)
      if (entry.spec.expires_at && *entry.spec.expires_at <= now && expired.size() < kSweptMax)
        expired.push_back(entry.id);
  }
  for (const auto& id : expired)
    if (!remove(id)) return;
}

std::vector<KeyLine> Auth::list() const {
  const std::scoped_lock lock(state_->mutex);
  std::vector<KeyLine> out;
  for (const auto& [digest_text, e] : state_->by_digest)
    out.push_back({e.id, e.name, e.spec.owner, e.spec.scopes, e.spec.prefix, e.spec.expires_at});
  std::sort(out.begin(), out.end(), [](const KeyLine& a, const KeyLine& b) { return a.name < b.name; });
  return out;
}

Result<NewKey> Auth::login(std::string_view password, std::string_view peer) {
  TRY_VOID(state_->logins.begin(peer, state_->clock.now()));
  std::string hash;
  {
    const std::scoped_lock lock(state_->mutex);
    hash = state_->password_hash;
  }
  const bool right = !hash.empty() && crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
  if (right) state_->logins.right(peer);
  state_->logins.ended(peer);
  if (!right) return fail(Code::kUnauthenticated, "wrong password");
  std::string name = "login-" + to_lower(random_text(6));
  std::replace(name.begin(), name.end(), '_', '-');
  return create(
      name, {std::string(kScopeManagement), std::string(kScopeOperator), std::string(kScopeInference)}, kLoginKeyLives);
}

}  // namespace berth::api
