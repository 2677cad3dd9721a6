#pragma once
// A few read-only connections; a reader sees one committed state and never waits for the writer (WAL).

#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "store/sqlite/db.h"

namespace berth::store::sqlite {

constexpr std::size_t kReaders = 3;
constexpr Duration kReaderWait{10'000};  // for a free connection

class Readers {
 public:
  Result<void> open(const std::string& path);

  /// Runs `read(Db&)` inside one read transaction. Errors: those of `read`, and kTimeout when all stay busy.
  template <class Read>
  auto with(Read read) -> decltype(read(std::declval<Db&>())) {
    TRY(const Lease lease, take());
    TRY_VOID(lease.db->exec("BEGIN"));
    auto result = read(*lease.db);
    if (auto ended = lease.db->exec("COMMIT"); !ended && result) return std::move(ended).error();
    return result;
  }

 private:
  struct Lease {
    Lease(Readers& from, Db& taken) : readers(&from), db(&taken) {}
    Lease(Lease&& other) noexcept : readers(std::exchange(other.readers, nullptr)), db(other.db) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (readers != nullptr) readers->give_back(*db);
    }
    Readers* readers;
    Db* db;
  };
  Result<Lease> take();
  void give_back(Db& db);

  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<Db>> all_;
  std::vector<Db*> free_;
};

}  // namespace berth::store::sqlite
