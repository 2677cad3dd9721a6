#pragma once
// What the store's tests share: a folder that goes away, and one maker per kind of store.

#include <atomic>
#include <doctest/doctest.h>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>

#include "store/memory/memory_store.h"
#include "store/sqlite/sqlite_store.h"
#include "store/store.h"

namespace berth::store {

class TempDir {
 public:
  TempDir() {
    static std::atomic<int> made{0};
    path_ = std::filesystem::temp_directory_path() /
            ("berth-store-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
    std::filesystem::create_directories(path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string file() const { return (path_ / "berth.db").string(); }

 private:
  std::filesystem::path path_;
};

struct MemoryMaker {
  std::unique_ptr<Store> store = make_memory_store();
};

struct SqliteMaker {
  TempDir dir;
  std::unique_ptr<Store> store = [this] {
    auto opened = open_sqlite({.path = dir.file(), .pages_max = {}});
    REQUIRE_MESSAGE(opened, (opened ? std::string() : opened.error().message));
    return std::move(*opened);
  }();
};

inline Time at(std::int64_t seconds) { return Time{std::chrono::seconds{seconds}}; }

inline Batch batch_at(std::int64_t seconds) { return {.at = at(seconds), .epoch = 0, .operations = {}}; }

inline Create deployment(const std::string& id, const std::string& spec = "{}") {
  return {.kind = "deployment", .id = id, .name = "name-" + id, .spec = spec, .status = "{}"};
}

inline Create instance(const std::string& id) {
  return {.kind = "instance", .id = id, .name = "name-" + id, .spec = "{}", .status = "{}"};
}

inline Batch one(Operation operation, std::int64_t seconds = 1) {
  Batch batch = batch_at(seconds);
  batch.operations.push_back(std::move(operation));
  return batch;
}

}  // namespace berth::store
