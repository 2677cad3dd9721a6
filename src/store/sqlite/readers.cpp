#include "store/sqlite/readers.h"

#include <fmt/format.h>

namespace berth::store::sqlite {

Result<void> Readers::open(const std::string& path) {
  for (std::size_t i = 0; i < kReaders; ++i) {
    TRY(auto db, Db::open(path));
    // A small page cache: the kernel's serves all connections, ours would only hold copies.
    TRY_VOID(db->exec("PRAGMA query_only = ON; PRAGMA cache_size = -512"));
    free_.push_back(db.get());
    all_.push_back(std::move(db));
  }
  return {};
}

Result<Readers::Lease> Readers::take() {
  std::unique_lock lock(mutex_);
  if (!freed_.wait_for(lock, kReaderWait, [&] { return !free_.empty(); })) {
    return fail(Code::kTimeout,
                fmt::format("all {} readers of the store were busy for {}", kReaders, human(kReaderWait)));
  }
  Db* db = free_.back();
  free_.pop_back();
  return Lease(*this, *db);
}

void Readers::give_back(Db& db) {
  if (!db.idle()) (void)db.exec("ROLLBACK");
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(&db);
  }
  freed_.notify_one();
}

}  // namespace berth::store::sqlite
