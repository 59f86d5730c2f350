// What vernierd holds in memory of its job store, with the indices that answer questions about it.
// Changes only through a Draft (draft.h), as its transaction commits.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/jobs/job_store.h"
#include "server/jobs/owned_table.h"
#include "server/jobs/record.pb.h"
#include "server/validate/catalog.h"

namespace vernier::server {

// A stage by its place in the record.
struct StagePlace {
  std::string job;  // id
  int stage = 0;
  auto operator<=>(const StagePlace&) const = default;
};

// Thread-compatible.
class State {
 public:
  explicit State(StoreSnapshot snapshot);

  Counters counters;
  OwnedTable<v1::Dataset> datasets{"dataset"};
  OwnedTable<v1::Model> models{"model"};
  OwnedTable<AdapterRecord> adapters{"adapter"};

  // By id; null: none.
  const JobRecord* Find(absl::string_view id) const;
  // "jobs/ID", "ID", a spec's name (the newest with it) or a unique prefix of an id. NotFound,
  // InvalidArgument.
  absl::StatusOr<const JobRecord*> Resolve(absl::string_view tenant, absl::string_view name) const;
  // The job made for this request; null: none.
  const JobRecord* FindRequest(absl::string_view tenant, absl::string_view request_id) const;
  // Who holds this lease; null: nobody any more.
  const StagePlace* FindLease(absl::string_view lease) const;

  // Ids by order of submission: all, and those that have not ended.
  const std::map<uint64_t, std::string>& all_jobs() const { return by_order_; }
  const std::map<uint64_t, std::string>& live_jobs() const { return live_; }
  int64_t CountJobs(absl::string_view tenant) const;
  int64_t CountLiveJobs(absl::string_view tenant) const;
  // Every lease that a stage holds, by its id.
  const std::map<std::string, StagePlace, std::less<>>& leases() const { return leases_; }

  // For Draft::Commit.
  void Put(JobRecord record);
  void Erase(const std::string& id);
  // What is not stored until the record is next written.
  void SetProgress(const StagePlace& place, const v1::Progress& progress);

 private:
  void Unlink(const JobRecord& record);

  std::map<std::string, JobRecord> jobs_;
  std::map<uint64_t, std::string> by_order_;
  std::map<uint64_t, std::string> live_;
  std::map<std::pair<std::string, std::string>, std::string> by_request_;
  std::map<std::string, StagePlace, std::less<>> leases_;
  std::map<std::string, std::pair<int64_t, int64_t>> counts_;  // tenant -> jobs, those that have not ended
};

// One tenant's things, for validation. `state` must outlive it.
class StateCatalog final : public Catalog {
 public:
  StateCatalog(const State& state, absl::string_view tenant) : state_(state), tenant_(tenant) {}
  absl::StatusOr<v1::Dataset> FindDataset(absl::string_view name) const override;
  absl::StatusOr<v1::Model> FindModel(absl::string_view name) const override;
  absl::StatusOr<AdapterFacts> FindAdapter(const v1::AdapterRef& ref) const override;
  absl::StatusOr<PublishedFacts> FindPublished(absl::string_view job) const override;

 private:
  absl::StatusOr<AdapterFacts> AdapterOfJob(absl::string_view name) const;
  const State& state_;
  const std::string tenant_;
};

}  // namespace vernier::server
