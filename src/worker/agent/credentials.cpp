#include "worker/agent/credentials.h"

#include "wire/codec.h"
#include "wire/json.h"
#include "worker/files/fd.h"
#include "worker/supervise/identity.h"

BERTH_WIRE(berth::worker::Credentials);

namespace berth::worker {
namespace {

constexpr std::size_t kHostIdBytes = 16;

std::string path_in(const std::string& state_dir) { return state_dir + "/worker.json"; }

}  // namespace

Result<Credentials> load_credentials(const std::string& state_dir) {
  const std::string path = path_in(state_dir);
  const auto text = read_small_file(path);
  if (text) {
    auto known = wire::from_json<Credentials>(*text, wire::Strictness::kLenient);
    if (!known) return in(path + " is damaged; remove it and join again with a token", std::move(known).error());
    return known;
  }
  if (text.error().code != Code::kNotFound) return text.error();
  Credentials fresh;
  TRY(fresh.host_id, random_hex(kHostIdBytes));
  TRY_VOID(save_credentials(state_dir, fresh));
  return fresh;
}

Result<void> save_credentials(const std::string& state_dir, const Credentials& credentials) {
  return write_file_durably(path_in(state_dir), wire::to_json_pretty(credentials), WriteOptions{.mode = 0600});
}

}  // namespace berth::worker
