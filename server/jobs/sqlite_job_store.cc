#include "server/jobs/sqlite_job_store.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/sqlite.h"

namespace vernier::server {
namespace {

constexpr int64_t kApplicationId = 0x566e6a73;  // "Vnjs": tells a job store from any other SQLite file
constexpr int64_t kVersion = 1;                 // of the tables below, in user_version

constexpr char kSchema[] = R"sql(
CREATE TABLE counters(id INTEGER PRIMARY KEY CHECK(id = 1), epoch INTEGER, next_token INTEGER,
                      next_order INTEGER);
INSERT INTO counters VALUES(1, 0, 1, 1);
CREATE TABLE jobs(id TEXT PRIMARY KEY, tenant TEXT NOT NULL, ordinal INTEGER NOT NULL UNIQUE,
                  state INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE events(job TEXT, sequence INTEGER, event BLOB NOT NULL,
                    PRIMARY KEY(job, sequence)) WITHOUT ROWID;
CREATE TABLE points(cursor INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, stage TEXT NOT NULL,
                    step INTEGER NOT NULL, point BLOB NOT NULL, UNIQUE(job, stage, step));
CREATE INDEX points_by_job ON points(job, cursor);
CREATE TABLE datasets(tenant TEXT, name TEXT, record BLOB NOT NULL, PRIMARY KEY(tenant, name)) WITHOUT ROWID;
CREATE TABLE models(tenant TEXT, name TEXT, record BLOB NOT NULL, PRIMARY KEY(tenant, name)) WITHOUT ROWID;
CREATE TABLE adapters(tenant TEXT, name TEXT, record BLOB NOT NULL, PRIMARY KEY(tenant, name)) WITHOUT ROWID;
)sql";

template <typename Message>
absl::StatusOr<Message> Parse(absl::string_view bytes, const std::string& path, absl::string_view what) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError(
        absl::StrCat(path, ": a record of ", what, " cannot be read; restore a backup"));
  }
  return message;
}

class SqliteJobStore final : public JobStore {
 public:
  explicit SqliteJobStore(const std::string& path) : database_(path) {}

  absl::Status Open() {
    VN_RETURN_IF_ERROR(database_.Open());
    // EXCLUSIVE: a second vernierd on this file is refused. The lock is taken with the first read.
    VN_RETURN_IF_ERROR(database_.Execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA busy_timeout=500;"));
    VN_RETURN_IF_ERROR(CheckVersion());
    VN_RETURN_IF_ERROR(database_.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
    return InTransaction([&]() -> absl::Status {
      VN_ASSIGN_OR_RETURN(const int64_t version, database_.QueryInt("PRAGMA user_version"));
      if (version == kVersion) return absl::OkStatus();
      VN_RETURN_IF_ERROR(database_.Execute(kSchema));
      return database_.Execute(
          absl::StrCat("PRAGMA application_id=", kApplicationId, "; PRAGMA user_version=", kVersion).c_str());
    });
  }

  absl::StatusOr<StoreSnapshot> Load() override {
    StoreSnapshot snapshot;
    {
      VN_ASSIGN_OR_RETURN(const auto row,
                          database_.Prepare("SELECT epoch, next_token, next_order FROM counters"));
      VN_ASSIGN_OR_RETURN(const bool found, row->Step());
      if (!found)
        return absl::DataLossError(absl::StrCat(database_.path(), ": has no counters; restore a backup"));
      snapshot.counters = {.epoch = static_cast<uint64_t>(row->IntAt(0)),
                           .next_token = static_cast<uint64_t>(row->IntAt(1)),
                           .next_order = static_cast<uint64_t>(row->IntAt(2))};
    }
    VN_ASSIGN_OR_RETURN(const auto rows, database_.Prepare("SELECT record FROM jobs ORDER BY ordinal"));
    while (true) {
      VN_ASSIGN_OR_RETURN(const bool more, rows->Step());
      if (!more) break;
      VN_ASSIGN_OR_RETURN(JobRecord record, Parse<JobRecord>(rows->BytesAt(0), database_.path(), "jobs"));
      snapshot.jobs.push_back(std::move(record));
    }
    VN_RETURN_IF_ERROR(LoadOwned("SELECT tenant, record FROM datasets", "datasets", snapshot.datasets));
    VN_RETURN_IF_ERROR(LoadOwned("SELECT tenant, record FROM models", "models", snapshot.models));
    VN_RETURN_IF_ERROR(LoadOwned("SELECT tenant, record FROM adapters", "adapters", snapshot.adapters));
    return snapshot;
  }

  absl::Status Commit(const StoreBatch& batch) override {
    return InTransaction([&] { return Write(batch); });
  }

  absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(absl::string_view job, int64_t after,
                                                       int limit) override {
    VN_ASSIGN_OR_RETURN(
        const auto rows,
        database_.Prepare("SELECT event FROM events WHERE job=? AND sequence>? ORDER BY sequence LIMIT ?"));
    rows->Text(1, job).Int(2, after).Int(3, limit);
    std::vector<v1::JobEvent> found;
    while (true) {
      VN_ASSIGN_OR_RETURN(const bool more, rows->Step());
      if (!more) return found;
      VN_ASSIGN_OR_RETURN(v1::JobEvent event,
                          Parse<v1::JobEvent>(rows->BytesAt(0), database_.path(), "events"));
      found.push_back(std::move(event));
    }
  }

  absl::StatusOr<std::vector<StoredPoint>> ListPoints(absl::string_view job, absl::string_view stage,
                                                      int64_t after, int limit) override {
    VN_ASSIGN_OR_RETURN(const auto rows,
                        database_.Prepare("SELECT cursor, point FROM points WHERE job=? AND cursor>? AND "
                                          "(?3='' OR stage=?3) ORDER BY cursor LIMIT ?4"));
    rows->Text(1, job).Int(2, after).Text(3, stage).Int(4, limit);
    std::vector<StoredPoint> found;
    while (true) {
      VN_ASSIGN_OR_RETURN(const bool more, rows->Step());
      if (!more) return found;
      VN_ASSIGN_OR_RETURN(v1::MetricPoint point,
                          Parse<v1::MetricPoint>(rows->BytesAt(1), database_.path(), "points"));
      found.push_back({rows->IntAt(0), std::move(point)});
    }
  }

 private:
  absl::Status CheckVersion() {
    VN_ASSIGN_OR_RETURN(const int64_t version, database_.QueryInt("PRAGMA user_version"));
    VN_ASSIGN_OR_RETURN(const int64_t application, database_.QueryInt("PRAGMA application_id"));
    VN_ASSIGN_OR_RETURN(const int64_t tables, database_.QueryInt("SELECT count(*) FROM sqlite_master"));
    if (tables == 0) return absl::OkStatus();  // new
    if (application != kApplicationId) {
      return absl::FailedPreconditionError(
          absl::StrCat(database_.path(), ": is not a Vernier job store; name another --data-dir"));
    }
    if (version != kVersion) {
      return absl::FailedPreconditionError(absl::StrCat(
          database_.path(), ": was written by a vernierd with store version ", version,
          ", this one reads version ", kVersion, "; run that vernierd, or name another --data-dir"));
    }
    return absl::OkStatus();
  }

  template <typename Body>
  absl::Status InTransaction(Body body) {
    VN_RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
    absl::Status status = body();
    if (status.ok()) status = database_.Execute("COMMIT");
    // SQLite rolls some errors back by itself; then this has nothing to do and says so, which changes
    // nothing.
    if (!status.ok()) database_.Execute("ROLLBACK").IgnoreError();
    return status;
  }

  template <typename T>
  absl::Status LoadOwned(const char* sql, absl::string_view what, std::vector<Owned<T>>& out) {
    VN_ASSIGN_OR_RETURN(const auto rows, database_.Prepare(sql));
    while (true) {
      VN_ASSIGN_OR_RETURN(const bool more, rows->Step());
      if (!more) return absl::OkStatus();
      std::string tenant(rows->BytesAt(0));
      VN_ASSIGN_OR_RETURN(T value, Parse<T>(rows->BytesAt(1), database_.path(), what));
      out.push_back({std::move(tenant), std::move(value)});
    }
  }

  absl::Status Write(const StoreBatch& batch) {
    if (batch.counters) {
      VN_ASSIGN_OR_RETURN(const auto put,
                          database_.Prepare("UPDATE counters SET epoch=?, next_token=?, next_order=?"));
      put->Int(1, static_cast<int64_t>(batch.counters->epoch))
          .Int(2, static_cast<int64_t>(batch.counters->next_token))
          .Int(3, static_cast<int64_t>(batch.counters->next_order));
      VN_RETURN_IF_ERROR(put->Run());
    }
    for (const JobRecord& record : batch.put_jobs) VN_RETURN_IF_ERROR(PutJob(record));
    for (const StoreBatch::Event& event : batch.events) {
      VN_ASSIGN_OR_RETURN(const auto put, database_.Prepare("INSERT INTO events VALUES(?, ?, ?)"));
      put->Text(1, event.job).Int(2, event.event.sequence()).Blob(3, event.event.SerializeAsString());
      VN_RETURN_IF_ERROR(put->Run());
    }
    for (const StoreBatch::EventsBelow& below : batch.delete_events) {
      VN_ASSIGN_OR_RETURN(const auto del, database_.Prepare("DELETE FROM events WHERE job=? AND sequence<?"));
      VN_RETURN_IF_ERROR(del->Text(1, below.job).Int(2, below.sequence).Run());
    }
    for (const StoreBatch::Point& point : batch.points) VN_RETURN_IF_ERROR(PutPoint(point));
    for (const StoreBatch::PointsBelow& below : batch.delete_points) {
      VN_ASSIGN_OR_RETURN(const auto del,
                          database_.Prepare("DELETE FROM points WHERE job=? AND stage=? AND step<?"));
      VN_RETURN_IF_ERROR(del->Text(1, below.job).Text(2, below.stage).Int(3, below.step).Run());
    }
    for (const std::string& id : batch.delete_jobs) {
      for (const char* sql : {"DELETE FROM jobs WHERE id=?", "DELETE FROM events WHERE job=?",
                              "DELETE FROM points WHERE job=?"}) {
        VN_ASSIGN_OR_RETURN(const auto del, database_.Prepare(sql));
        VN_RETURN_IF_ERROR(del->Text(1, id).Run());
      }
    }
    return WriteOwned(batch);
  }

  absl::Status WriteOwned(const StoreBatch& batch) {
    for (const auto& [tenant, dataset] : batch.put_datasets) {
      VN_RETURN_IF_ERROR(
          Put("INSERT OR REPLACE INTO datasets VALUES(?, ?, ?)", tenant, dataset.name(), dataset));
    }
    for (const auto& [tenant, model] : batch.put_models) {
      VN_RETURN_IF_ERROR(Put("INSERT OR REPLACE INTO models VALUES(?, ?, ?)", tenant, model.name(), model));
    }
    for (const auto& [tenant, adapter] : batch.put_adapters) {
      VN_RETURN_IF_ERROR(
          Put("INSERT OR REPLACE INTO adapters VALUES(?, ?, ?)", tenant, adapter.digest(), adapter));
    }
    for (const auto& [sql, names] :
         {std::pair("DELETE FROM datasets WHERE tenant=? AND name=?", &batch.delete_datasets),
          std::pair("DELETE FROM models WHERE tenant=? AND name=?", &batch.delete_models),
          std::pair("DELETE FROM adapters WHERE tenant=? AND name=?", &batch.delete_adapters)}) {
      for (const auto& [tenant, name] : *names) {
        VN_ASSIGN_OR_RETURN(const auto del, database_.Prepare(sql));
        VN_RETURN_IF_ERROR(del->Text(1, tenant).Text(2, name).Run());
      }
    }
    return absl::OkStatus();
  }

  absl::Status Put(const char* sql, const std::string& tenant, const std::string& name,
                   const google::protobuf::Message& value) {
    VN_ASSIGN_OR_RETURN(const auto put, database_.Prepare(sql));
    return put->Text(1, tenant).Text(2, name).Blob(3, value.SerializeAsString()).Run();
  }

  absl::Status PutJob(const JobRecord& record) {
    VN_ASSIGN_OR_RETURN(const auto put,
                        database_.Prepare("INSERT OR REPLACE INTO jobs VALUES(?, ?, ?, ?, ?)"));
    put->Text(1, record.id())
        .Text(2, record.tenant())
        .Int(3, static_cast<int64_t>(record.order()))
        .Int(4, record.job().state())
        .Blob(5, record.SerializeAsString());
    return put->Run();
  }

  absl::Status PutPoint(const StoreBatch::Point& point) {
    v1::MetricPoint merged;
    {
      VN_ASSIGN_OR_RETURN(const auto get,
                          database_.Prepare("SELECT point FROM points WHERE job=? AND stage=? AND step=?"));
      get->Text(1, point.job).Text(2, point.point.stage()).Int(3, point.point.step());
      VN_ASSIGN_OR_RETURN(const bool found, get->Step());
      if (found) {
        VN_ASSIGN_OR_RETURN(merged, Parse<v1::MetricPoint>(get->BytesAt(0), database_.path(), "points"));
      }
    }
    MergePoint(point.point, merged);
    // REPLACE deletes the old row, so that the point gets a new cursor.
    VN_ASSIGN_OR_RETURN(
        const auto put,
        database_.Prepare("INSERT OR REPLACE INTO points(job, stage, step, point) VALUES(?, ?, ?, ?)"));
    put->Text(1, point.job).Text(2, merged.stage()).Int(3, merged.step()).Blob(4, merged.SerializeAsString());
    return put->Run();
  }

  SqliteDatabase database_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path) {
  auto store = std::make_unique<SqliteJobStore>(path);
  VN_RETURN_IF_ERROR(store->Open());
  return store;
}

}  // namespace vernier::server
