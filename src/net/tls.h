#pragma once
// Certificates and TLS contexts (OpenSSL 3). TLS 1.2 and later only.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct ssl_ctx_st;

namespace berth::net {

/// A certificate chain and its private key, both PEM.
struct PemPair {
  std::string certificate;
  std::string key;
};

struct SelfSigned {
  std::string common_name = "berth";
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};  // DNS names and IP addresses of the SAN
  std::chrono::hours valid_for = std::chrono::hours(24) * 3650;
};

/// A new ECDSA P-256 key with a certificate signed by itself.
Result<PemPair> make_self_signed(SelfSigned wanted);
/// "sha256:" and 64 lower-case hexadecimal digits over the DER of the first certificate in `pem`.
Result<std::string> certificate_fingerprint(std::string_view pem);
/// True for text of the form that certificate_fingerprint returns.
bool is_fingerprint(std::string_view text);

/// Shared by all connections of a listener; copies share.
class ServerTls {
 public:
  ServerTls() = default;
  /// Errors: kInvalid with OpenSSL's reason; key and certificate must belong together.
  static Result<ServerTls> from_pem(const PemPair& pair);
  static Result<ServerTls> from_files(const std::string& certificate_path, const std::string& key_path);

  [[nodiscard]] bool enabled() const { return context_ != nullptr; }
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] ssl_ctx_st* native() const { return context_.get(); }

 private:
  std::shared_ptr<ssl_ctx_st> context_;
  std::string fingerprint_;
};

/// Whom a client trusts: exactly one certificate by fingerprint, or the CAs of the system (or of `ca_path`).
struct TrustOptions {
  std::string fingerprint;  // empty: the chain and the host name are verified
  std::string ca_path;      // PEM file; empty: the system's
};

class ClientTls {
 public:
  ClientTls() = default;
  /// Errors: kInvalid for a malformed fingerprint or an unreadable CA file.
  static Result<ClientTls> make(const TrustOptions& trust);

  [[nodiscard]] bool enabled() const { return context_ != nullptr; }
  [[nodiscard]] const std::string& pinned() const { return pinned_; }
  [[nodiscard]] ssl_ctx_st* native() const { return context_.get(); }

 private:
  std::shared_ptr<ssl_ctx_st> context_;
  std::string pinned_;
};

}  // namespace berth::net
