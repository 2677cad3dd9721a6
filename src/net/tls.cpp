#include "net/tls.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "net/detail/openssl.h"

namespace berth::net {
namespace {

constexpr std::size_t kPemBytesMax = 1024 * 1024;
constexpr std::string_view kFingerprintPrefix = "sha256:";

std::shared_ptr<SSL_CTX> make_context(const SSL_METHOD* method) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return nullptr;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // A stream cut off without close_notify must not look like its end.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return context;
}

Result<std::string> read_pem(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, fmt::format("cannot read \"{}\": {}", path, std::strerror(errno)));
  std::string text;
  text.resize(kPemBytesMax);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() == kPemBytesMax) return fail(Code::kTooLarge, fmt::format("\"{}\" is larger than 1 MiB", path));
  return text;
}

}  // namespace

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

BioPtr memory_bio(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string fingerprint_of(const X509* certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  std::string text(kFingerprintPrefix);
  if (X509_digest(certificate, EVP_sha256(), digest, &size) != 1) return text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

Result<std::string> certificate_fingerprint(std::string_view pem) {
  const BioPtr bio = memory_bio(pem);
  const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) return invalid("no certificate in the PEM text: " + openssl_reason());
  return fingerprint_of(certificate.get());
}

bool is_fingerprint(std::string_view text) {
  if (!text.starts_with(kFingerprintPrefix) || text.size() != kFingerprintPrefix.size() + 64) return false;
  return std::ranges::all_of(text.substr(kFingerprintPrefix.size()),
                             [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<ServerTls> ServerTls::from_pem(const PemPair& pair) {
  ERR_clear_error();
  ServerTls tls;
  auto context = make_context(TLS_server_method());
  if (!context) return fail(Code::kInternal, "no TLS context: " + openssl_reason());
  TRY(tls.fingerprint_, certificate_fingerprint(pair.certificate));
  const BioPtr chain = memory_bio(pair.certificate);
  const X509Ptr leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context.get(), leaf.get()) != 1) {
    return invalid("the certificate cannot be used: " + openssl_reason());
  }
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context.get(), next) == 1) continue;
    X509_free(next);
    return invalid("the certificate chain cannot be used: " + openssl_reason());
  }
  ERR_clear_error();  // the end of the chain is an error to the reader
  const BioPtr key_text = memory_bio(pair.key);
  const KeyPtr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!key) return invalid("no private key in the PEM text: " + openssl_reason());
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    return invalid("the private key does not belong to the certificate: " + openssl_reason());
  }
  tls.context_ = std::move(context);
  return tls;
}

Result<ServerTls> ServerTls::from_files(const std::string& certificate_path, const std::string& key_path) {
  PemPair pair;
  TRY(pair.certificate, read_pem(certificate_path));
  TRY(pair.key, read_pem(key_path));
  auto made = from_pem(pair);
  if (!made) return in(certificate_path, std::move(made).error());
  return made;
}

Result<ClientTls> ClientTls::make(const TrustOptions& trust) {
  ERR_clear_error();
  ClientTls tls;
  auto context = make_context(TLS_client_method());
  if (!context) return fail(Code::kInternal, "no TLS context: " + openssl_reason());
  if (!trust.fingerprint.empty()) {
    if (!is_fingerprint(trust.fingerprint)) {
      return invalid(
          fmt::format("\"{}\" is no fingerprint: want sha256: and 64 hexadecimal digits", trust.fingerprint));
    }
    tls.pinned_ = trust.fingerprint;
  } else if (trust.ca_path.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_file(context.get(), trust.ca_path.c_str()) != 1) {
    return invalid(fmt::format("no CA certificates in \"{}\": {}", trust.ca_path, openssl_reason()));
  }
  tls.context_ = std::move(context);
  return tls;
}

}  // namespace berth::net
