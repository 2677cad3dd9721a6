#include "store/sqlite/db.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <unistd.h>
#include <utility>

#include "base/assert.h"

namespace berth::store::sqlite {
namespace {

/// Milliseconds that a connection waits for another process's lock before it gives up.
constexpr int kBusyTimeoutMs = 2000;

}  // namespace

Query::Query(Query&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)), code_(other.code_), next_(other.next_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::keep(int code) {
  if (code_ == SQLITE_OK) code_ = code;
}

Query& Query::bind(std::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();
  if (code_ == SQLITE_OK)
    keep(sqlite3_bind_text64(statement_, next_, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  ++next_;
  return *this;
}

Query& Query::bind(std::uint64_t number) {
  ASSERT(number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (code_ == SQLITE_OK) keep(sqlite3_bind_int64(statement_, next_, static_cast<std::int64_t>(number)));
  ++next_;
  return *this;
}

Query& Query::bind(Time time) {
  if (code_ == SQLITE_OK) keep(sqlite3_bind_int64(statement_, next_, time.time_since_epoch().count()));
  ++next_;
  return *this;
}

Query& Query::bind(const std::optional<Time>& time) {
  if (time) return bind(*time);
  if (code_ == SQLITE_OK) keep(sqlite3_bind_null(statement_, next_));
  ++next_;
  return *this;
}

bool Query::step() {
  if (code_ != SQLITE_OK) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) keep(db_.last_code());
  return false;
}

Result<void> Query::done() const {
  if (code_ == SQLITE_OK) return {};
  return db_.error(code_);
}

std::string Query::text(int column) const {
  const unsigned char* data = sqlite3_column_text(statement_, column);
  if (data == nullptr) return {};
  const int size = sqlite3_column_bytes(statement_, column);
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)};
}

std::uint64_t Query::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_, column));
}

Time Query::time(int column) const { return Time{Duration{sqlite3_column_int64(statement_, column)}}; }

std::optional<Time> Query::optional_time(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return time(column);
}

namespace {

/// SQLite makes files as the umask has it, and its -wal and -shm with the mode of the database.
Result<void> keep_private(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const bool made = fd >= 0 && ::fchmod(fd, 0600) == 0;
  const int why = errno;
  if (fd >= 0) ::close(fd);
  if (!made) return fail(Code::kUnavailable, fmt::format("{} cannot be opened: {}", path, std::strerror(why)));
  for (const auto* end : {"-wal", "-shm"}) (void)!::chmod((path + end).c_str(), 0600);  // of an earlier version
  return {};
}

}  // namespace

Result<std::unique_ptr<Db>> Db::open(const std::string& path) {
  TRY_VOID(keep_private(path));
  sqlite3* handle = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, kFlags, nullptr);
  std::unique_ptr<Db> db(new Db(handle, path));
  if (code != SQLITE_OK) return db->error(code);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return db;
}

Db::~Db() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Result<void> Db::exec(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return error(last_code());
}

sqlite3_stmt* Db::prepare(std::string_view sql, int& code) {
  if (const auto it = statements_.find(sql); it != statements_.end()) {
    ASSERT(sqlite3_stmt_busy(it->second) == 0);
    return it->second;
  }
  sqlite3_stmt* statement = nullptr;
  code = sqlite3_prepare_v3(
      handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code == SQLITE_OK) statements_.emplace(std::string(sql), statement);
  return statement;
}

Error Db::error(int code) const {
  const bool last = handle_ != nullptr && last_code() == code;
  const std::string detail = last ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  switch (code & 0xFF) {
    case SQLITE_FULL:
      return fail(Code::kUnavailable, fmt::format("the disk holding {} is full: free space, berth retries", path_));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(Code::kUnavailable,
                  fmt::format("{} is locked by another program (a backup, a shell?): close it, berth retries", path_));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(Code::kInternal,
                  fmt::format("{} is damaged or no database ({}): stop berth, keep a copy of the file and restore the "
                              "last backup in its place, or move it away to start empty",
                              path_,
                              detail));
    case SQLITE_IOERR:
      return fail(Code::kUnavailable,
                  fmt::format("the disk holding {} fails ({}): look into the system log, then restart berth",
                              path_,
                              sqlite3_errstr(code)));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return fail(
          Code::kUnavailable,
          fmt::format(
              "{} cannot be opened for writing ({}): its folder must exist and belong to the user that runs berth",
              path_,
              detail));
    default:
      return fail(Code::kInternal, fmt::format("database {}: {} (code {})", path_, detail, code));
  }
}

}  // namespace berth::store::sqlite
