#pragma once
// A thin owner of one SQLite connection and its prepared statements. Values are always bound, never pasted into SQL.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <sqlite3.h>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace berth::store::sqlite {

class Db;

/// One run of a prepared statement: `while (q.step()) read(q); TRY_VOID(q.done());`. Resets it when it goes away.
class Query {
 public:
  Query(Db& db, sqlite3_stmt* statement, int error) : db_(db), statement_(statement), code_(error) {}
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  /// Copies the text: values may be temporaries.
  Query& bind(std::string_view text);
  Query& bind(std::uint64_t number);
  Query& bind(Time time);
  Query& bind(const std::optional<Time>& time);

  /// True: a row lies ready. False: at the end, or failed; done() tells which.
  bool step();
  [[nodiscard]] Result<void> done() const;

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::uint64_t number(int column) const;
  [[nodiscard]] Time time(int column) const;
  [[nodiscard]] std::optional<Time> optional_time(int column) const;

 private:
  void keep(int code);

  Db& db_;
  sqlite3_stmt* statement_;
  int code_;
  int next_ = 1;
};

/// One connection; one thread at a time.
class Db {
 public:
  /// Creates the file when it is missing. Errors as in error().
  static Result<std::unique_ptr<Db>> open(const std::string& path);
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;
  ~Db();

  /// Statements of our own without values: schema, pragmas, BEGIN.
  Result<void> exec(const char* sql);

  /// A prepared statement with its values bound in order. Kept for the next call with the same text.
  template <class... Values>
  Query query(std::string_view sql, const Values&... values) {
    int code = SQLITE_OK;
    sqlite3_stmt* statement = prepare(sql, code);
    Query made(*this, statement, code);
    (made.bind(values), ...);
    return made;
  }

  /// A statement that returns no rows.
  template <class... Values>
  Result<void> run(std::string_view sql, const Values&... values) {
    Query q = query(sql, values...);
    q.step();
    return q.done();
  }

  /// Error for an SQLite result code, in words that say what to do: kUnavailable when the disk is full or fails or the
  /// file is locked, kInternal when the file is damaged.
  [[nodiscard]] Error error(int code) const;
  /// False inside a transaction; some failures end it by themselves.
  [[nodiscard]] bool idle() const { return sqlite3_get_autocommit(handle_) != 0; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Extended code of the last failure.
  [[nodiscard]] int last_code() const { return sqlite3_extended_errcode(handle_); }

 private:
  Db(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3_stmt* prepare(std::string_view sql, int& code);

  sqlite3* handle_;
  std::string path_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;  // bounded: our own texts
};

}  // namespace berth::store::sqlite
