#include "server/api/generate_streams.h"

#include <utility>

namespace vernier::server {

void GenerateStreams::Start(Core& core, absl::Time now, Strand& strand, absl::string_view tenant,
                            const v1::GenerateRequest& request,
                            const std::shared_ptr<GenerateStream>& stream) {
  const StreamHold hold(*stream);
  if (!hold) return;
  const absl::StatusOr<uint64_t> generation = core.StartGenerate(tenant, request, now);
  if (!generation.ok()) return stream->End(generation.status());
  stream->OnEnded([this, &strand, id = *generation] {
    strand.PostAlways([this, id](Core& core, absl::Time now) {
      if (streams_.erase(id) > 0) core.CancelGenerate(id, now);
    });
  });
  streams_.emplace(*generation, stream);
}

void GenerateStreams::Output(uint64_t generation, v1::GenerateResponse response) {
  if (const auto found = streams_.find(generation); found != streams_.end())
    found->second->Write(std::move(response));
}

void GenerateStreams::Ended(uint64_t generation, const absl::Status& status) {
  if (const auto node = streams_.extract(generation)) node.mapped()->End(status);
}

void GenerateStreams::EndAll(const absl::Status& status) {
  for (auto& [generation, stream] : streams_) stream->End(status);
}

}  // namespace vernier::server
