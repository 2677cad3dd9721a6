#include "fleet/hashes.h"

#include "fleet/detail/hash_fields.h"

namespace berth::fleet {
namespace {

template <class T>
Hash hash_all(const T& value) {
  Hasher h;
  detail::hash_value(h, value);
  return h.finish();
}

}  // namespace

Hash hash_of(const Request& canonical_request) { return hash_all(canonical_request); }
Hash hash_of(const Policy& policy) { return hash_all(policy); }

Hash hash_of(const Plan& plan) {
  Plan copy = plan;
  copy.id.clear();
  copy.key.clear();
  copy.memory.clear();
  copy.warnings.clear();
  return hash_all(copy);
}

}  // namespace berth::fleet
