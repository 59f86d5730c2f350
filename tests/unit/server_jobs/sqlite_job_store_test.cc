#include "server/jobs/sqlite_job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/file.h"
#include "server/jobs/sqlite.h"
#include "tests/testing/temp_folder.h"

namespace vernier::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class SqliteJobStoreTest : public ::testing::Test {
 protected:
  void Execute(const char* sql) {
    SqliteDatabase database(path_);
    ASSERT_TRUE(database.Open().ok());
    const absl::Status status = database.Execute(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

  TempFolder folder_;
  const std::string path_ = folder_.path() + "/jobs.db";
};

TEST_F(SqliteJobStoreTest, AnotherVersionIsRefusedAndNamed) {
  ASSERT_TRUE(OpenSqliteJobStore(path_).ok());
  Execute("PRAGMA user_version=7");
  const absl::Status status = OpenSqliteJobStore(path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(path_));
  EXPECT_THAT(std::string(status.message()), HasSubstr("store version 7, this one reads version 1"));
}

TEST_F(SqliteJobStoreTest, AnotherProgramsDatabaseIsLeftAlone) {
  Execute("CREATE TABLE songs(title TEXT)");
  const absl::Status status = OpenSqliteJobStore(path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not a Vernier job store"));
}

TEST_F(SqliteJobStoreTest, AFileOfAnotherKindIsRefused) {
  ASSERT_TRUE(WriteFileAtomic(path_, std::string(8192, 'x')).ok());
  const absl::Status status = OpenSqliteJobStore(path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(SqliteJobStoreTest, ASecondProcessIsRefused) {
  const auto first = OpenSqliteJobStore(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status status = OpenSqliteJobStore(path_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another vernierd?"));
}

TEST_F(SqliteJobStoreTest, AMissingFolderIsNotFound) {
  const absl::Status status = OpenSqliteJobStore(folder_.path() + "/no/such/jobs.db").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(SqliteJobStoreTest, ADamagedFileIsDataLoss) {
  {
    const auto store = OpenSqliteJobStore(path_);
    ASSERT_TRUE(store.ok());
    StoreBatch batch;
    for (int i = 0; i < 200; ++i) {
      JobRecord record;
      record.set_id("job" + std::to_string(i));
      record.set_order(i + 1);
      record.set_request_id(std::string(500, 'r'));
      batch.put_jobs.push_back(record);
    }
    ASSERT_TRUE((*store)->Commit(batch).ok());
  }
  auto bytes = ReadFile(path_);
  ASSERT_TRUE(bytes.ok());
  for (size_t i = 8192; i < bytes->size(); i += 7) (*bytes)[i] = '\x5a';
  ASSERT_TRUE(WriteFileAtomic(path_, *bytes).ok());
  const auto store = OpenSqliteJobStore(path_);
  const absl::Status status = store.ok() ? (*store)->Load().status() : store.status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

// SQLite's own limit stands in for a full disk: both are SQLITE_FULL.
TEST_F(SqliteJobStoreTest, AFullDiskIsResourceExhausted) {
  SqliteDatabase database(path_);
  ASSERT_TRUE(database.Open().ok());
  ASSERT_TRUE(database.Execute("CREATE TABLE t(x); PRAGMA max_page_count=3;").ok());
  const absl::Status status = database.Execute("INSERT INTO t VALUES(randomblob(100000))");
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("free some space"));
}

}  // namespace
}  // namespace vernier::server
