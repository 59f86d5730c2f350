#include "server/jobs/sqlite.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::server {
namespace {

absl::Status ErrorOf(sqlite3* database, int code, const std::string& path) {
  const std::string what =
      absl::StrCat(path, ": ", database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code));
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(what, "; another process has it open (another vernierd?)"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(what, "; free some space on its disk"));
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(what, "; restore it from a backup"));
    case SQLITE_NOTADB:
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; it is not a job store, name another --data-dir"));
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; let the service's user write to it and its folder"));
    case SQLITE_CANTOPEN:
      return absl::NotFoundError(
          absl::StrCat(what, "; does its folder exist, and may this user write to it?"));
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return absl::ResourceExhaustedError(what);
    case SQLITE_IOERR:
      return absl::UnavailableError(absl::StrCat(what, " (disk error ", code >> 8, "); look at its disk"));
    default:
      return absl::InternalError(absl::StrCat(what, " (SQLite code ", code, ")"));
  }
}

}  // namespace

SqliteStatement::~SqliteStatement() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

SqliteStatement& SqliteStatement::Int(int index, int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}

SqliteStatement& SqliteStatement::Text(int index, absl::string_view value) {
  sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::Blob(int index, absl::string_view value) {
  sqlite3_bind_blob64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT);
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ErrorOf(database_, code, path_);
}

absl::Status SqliteStatement::Run() {
  VN_ASSIGN_OR_RETURN(const bool row, Step());
  (void)row;
  return absl::OkStatus();
}

absl::string_view SqliteStatement::BytesAt(int column) const {
  // The pointer before the size, as SQLite's manual asks.
  const void* data = sqlite3_column_blob(statement_, column);
  return {static_cast<const char*>(data), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(database_);
}

absl::Status SqliteDatabase::Open() {
  const int code = sqlite3_open_v2(
      path_.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) return ErrorOf(database_, code, path_);
  return absl::OkStatus();
}

absl::Status SqliteDatabase::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return ErrorOf(database_, code, path_);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SqliteStatement>> SqliteDatabase::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return ErrorOf(database_, code, path_);
  }
  return std::make_unique<SqliteStatement>(database_, statement, path_);
}

absl::StatusOr<int64_t> SqliteDatabase::QueryInt(const char* sql) {
  VN_ASSIGN_OR_RETURN(const auto statement, Prepare(sql));
  VN_ASSIGN_OR_RETURN(const bool row, statement->Step());
  if (!row) return absl::InternalError(absl::StrCat(path_, ": no row for ", sql));
  return statement->IntAt(0);
}

}  // namespace vernier::server
