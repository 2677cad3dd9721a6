// Self-signed certificates.

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "net/detail/address.h"
#include "net/detail/openssl.h"
#include "net/tls.h"

namespace berth::net {
namespace {

Error openssl_error(std::string_view what) {
  return fail(Code::kInternal, fmt::format("cannot {}: {}", what, openssl_reason()));
}

Result<void> add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return invalid(fmt::format("\"{}\" cannot be in a certificate", value));
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  if (added != 1) return openssl_error("extend a certificate");
  return {};
}

/// "DNS:localhost,IP:127.0.0.1". The text goes through OpenSSL's configuration syntax, so names are checked first.
Result<std::string> subject_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:*_") ==
                       std::string::npos;
    if (name.empty() || !plain) return invalid(fmt::format("\"{}\" is no host name or IP address", name));
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", numeric_address(name, 0) ? "IP" : "DNS", name);
  }
  if (text.empty()) return invalid("a certificate needs at least one name");
  return text;
}

Result<void> fill(X509* certificate, EVP_PKEY* key, const SelfSigned& wanted) {
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return openssl_error("draw a serial number");
  serial[0] &= 0x7f;
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  const bool set = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  if (!set || X509_set_version(certificate, X509_VERSION_3) != 1) return openssl_error("begin a certificate");
  // Valid from yesterday on: machines that join may have clocks that are behind.
  X509_gmtime_adj(X509_getm_notBefore(certificate), -24L * 3600L);
  X509_gmtime_adj(X509_getm_notAfter(certificate), static_cast<long>(wanted.valid_for.count()) * 3600L);
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto* common = reinterpret_cast<const unsigned char*>(wanted.common_name.c_str());
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, common, -1, -1, 0) != 1) {
    return openssl_error("name a certificate");
  }
  if (X509_set_issuer_name(certificate, name) != 1 || X509_set_pubkey(certificate, key) != 1) {
    return openssl_error("fill a certificate");
  }
  TRY(const std::string names, subject_names(wanted.names));
  TRY_VOID(add_extension(certificate, NID_subject_alt_name, names));
  TRY_VOID(add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  TRY_VOID(add_extension(certificate, NID_ext_key_usage, "serverAuth"));
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return openssl_error("sign a certificate");
  return {};
}

std::string take_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

}  // namespace

Result<PemPair> make_self_signed(SelfSigned wanted) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_error("make a key");
  const X509Ptr certificate(X509_new());
  if (!certificate) return openssl_error("make a certificate");
  TRY_VOID(fill(certificate.get(), key.get(), wanted));
  const BioPtr certificate_text(BIO_new(BIO_s_mem()));
  const BioPtr key_text(BIO_new(BIO_s_secmem()));
  if (!certificate_text || !key_text || PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_error("write a certificate");
  }
  return PemPair{.certificate = take_text(certificate_text.get()), .key = take_text(key_text.get())};
}

}  // namespace berth::net
