// SQLite's C interface with errors as Status. Every message starts with the database's path.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::server {

// A prepared statement in use. Bind from 1, Step until false. Reset when it goes out of scope.
class SqliteStatement {
 public:
  SqliteStatement(sqlite3* database, sqlite3_stmt* statement, const std::string& path)
      : database_(database), statement_(statement), path_(path) {}
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  SqliteStatement& Int(int index, int64_t value);
  SqliteStatement& Text(int index, absl::string_view value);
  SqliteStatement& Blob(int index, absl::string_view value);
  // True: there is a row.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();
  int64_t IntAt(int column) const { return sqlite3_column_int64(statement_, column); }
  // Text or blob; valid until the next Step.
  absl::string_view BytesAt(int column) const;

 private:
  sqlite3* const database_;
  sqlite3_stmt* const statement_;
  const std::string& path_;
};

// Thread-compatible.
class SqliteDatabase {
 public:
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  absl::Status Open();
  // One or more statements without parameters.
  absl::Status Execute(const char* sql);
  // `sql` is compiled once and kept. Only one use of equal text at a time.
  absl::StatusOr<std::unique_ptr<SqliteStatement>> Prepare(const char* sql);
  // The first column of the first row.
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  sqlite3* database_ = nullptr;
  std::map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace vernier::server
