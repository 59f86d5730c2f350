#include "server/api/edge.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "google/protobuf/util/json_util.h"
#include "server/api/auth.h"

namespace vernier::server {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

constexpr int kPointsAtOnce = 1'000;

// All points of a stage, one JSON object a line. Blocks: not on the strand.
absl::Status WritePoints(Strand& strand, storage::ObjectStore& store, const WriteMetrics& what) {
  VN_ASSIGN_OR_RETURN(std::unique_ptr<storage::ObjectWriter> writer,
                      store.OpenWriter(what.key, storage::WriteMode::kReplace));
  int64_t cursor = 0;
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::vector<StoredPoint> points, strand.Call([&](Core& core, absl::Time) {
      return core.ListPoints(kDefaultTenant, what.job, what.stage, cursor, kPointsAtOnce);
    }));
    std::string lines;
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    for (const StoredPoint& point : points) {
      if (!google::protobuf::util::MessageToJsonString(point.point, &lines, options).ok()) {
        return absl::InternalError(absl::StrCat(what.key, ": a metric point has no JSON form"));
      }
      lines += '\n';
      cursor = point.cursor;
    }
    VN_RETURN_IF_ERROR(writer->Append(lines));
    if (points.size() < kPointsAtOnce) break;
  }
  return writer->Finish().status();
}

}  // namespace

void Edge::Execute(Strand& strand, Core& core, Effect& effect) {
  std::visit(Overloaded{
                 [&](SendToAgent& e) { agent_streams_.Send(e.connection, std::move(e.message)); },
                 [&](CloseConnection& e) { agent_streams_.Close(e.connection, e.reason); },
                 [&](JobChanged& e) { job_streams_.JobChanged(core, e.job); },
                 [&](JobProgress& e) { job_streams_.JobProgress(e.job, e.event); },
                 [&](MetricsChanged& e) { job_streams_.MetricsChanged(core, e.job); },
                 [&](GenerateOutput& e) { generate_streams_.Output(e.generation, std::move(e.response)); },
                 [&](GenerateEnded& e) { generate_streams_.Ended(e.generation, e.status); },
                 [&](DeleteObjects& e) { Delete(core, e); },
                 [&](WriteMetrics& e) { Write(strand, e); },
                 [&](GangPlaced& e) { metrics_.GangPlaced(e.policy, e.waited); },
             },
             effect);
}

void Edge::Delete(Core& core, const DeleteObjects& effect) {
  if (core.IsLive(effect.prefix)) return;
  deletions_.Begin(effect.prefix);
  const absl::Status posted = pool_.Post([this, prefix = effect.prefix] {
    const absl::StatusOr<int64_t> deleted = storage::DeletePrefix(store_, prefix);
    if (deleted.ok()) {
      VN_LOG(INFO) << "objects deleted prefix=" << prefix << " count=" << *deleted;
    } else {
      VN_LOG(WARNING) << "objects left behind, gc will find them prefix=" << prefix
                      << " error=" << deleted.status();
    }
    deletions_.End(prefix);
  });
  if (posted.ok()) return;
  deletions_.End(effect.prefix);
  VN_LOG(WARNING) << "objects left behind, gc will find them prefix=" << effect.prefix << " error=" << posted;
}

void Edge::Write(Strand& strand, const WriteMetrics& effect) {
  const absl::Status posted = pool_.Post([this, &strand, effect] {
    const absl::Status written = WritePoints(strand, store_, effect);
    // A job deleted meanwhile needs no file.
    if (!written.ok() && !absl::IsNotFound(written)) {
      VN_LOG(WARNING) << "metrics file not written key=" << effect.key << " error=" << written;
    }
  });
  if (!posted.ok()) VN_LOG(WARNING) << "metrics file not written key=" << effect.key << " error=" << posted;
}

void Edge::EndStreams(const absl::Status& status) {
  job_streams_.EndAll(status);
  agent_streams_.EndAll(status);
  generate_streams_.EndAll(status);
}

}  // namespace vernier::server
