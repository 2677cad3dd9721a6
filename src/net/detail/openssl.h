#pragma once
// Small owners for OpenSSL objects.

#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string>
#include <string_view>

namespace berth::net {

template <auto Free>
struct OpenSslFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;

/// Reason of the oldest queued OpenSSL error; empties the queue.
std::string openssl_reason();
/// "sha256:…" over the DER of the certificate.
std::string fingerprint_of(const X509* certificate);
BioPtr memory_bio(std::string_view text);

}  // namespace berth::net
