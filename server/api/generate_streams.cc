#include "server/api/generate_streams.h"

#include <utility>

#include "server/api/calls.h"

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
      if (sinks_.erase(id) > 0) core.CancelGenerate(id, now);
    });
  });
  sinks_[*generation] = {
      .write = [stream](v1::GenerateResponse response) { stream->Write(std::move(response)); },
      .end = [stream](const absl::Status& status) { stream->End(status); }};
}

void GenerateStreams::Take(Core& core, absl::Time now, absl::string_view tenant,
                           const v1::ConverseRequest& request,
                           const std::shared_ptr<ConverseStream>& stream) {
  const bool begun = stream->generation_ != 0;
  if (request.has_interrupt()) {
    if (begun) core.InterruptGenerate(stream->generation_, now);
    return;
  }
  if (!request.has_ask()) {
    return stream->End(absl::InvalidArgumentError("a message of a conversation asks or interrupts"));
  }
  if (begun) {
    const absl::Status status = core.ContinueGenerate(stream->generation_, request.ask(), now);
    if (!status.ok()) stream->End(status);
    return;
  }
  const absl::StatusOr<uint64_t> generation = core.StartConversation(tenant, request.ask(), now);
  if (!generation.ok()) return stream->End(generation.status());
  stream->generation_ = *generation;
  sinks_[*generation] = {
      .write = [stream](v1::GenerateResponse response) { stream->Write(std::move(response)); },
      .end = [stream](const absl::Status& status) { stream->End(status); }};
}

void GenerateStreams::Leave(Core& core, absl::Time now, ConverseStream& stream) {
  if (sinks_.erase(stream.generation_) > 0) core.CancelGenerate(stream.generation_, now);
}

void GenerateStreams::Output(uint64_t generation, v1::GenerateResponse response) {
  if (const auto found = sinks_.find(generation); found != sinks_.end())
    found->second.write(std::move(response));
}

void GenerateStreams::Ended(uint64_t generation, const absl::Status& status) {
  if (const auto node = sinks_.extract(generation)) node.mapped().end(status);
}

void GenerateStreams::EndAll(const absl::Status& status) {
  for (auto& [generation, sink] : sinks_) sink.end(status);
}

void ConverseStream::Start() {
  OnEnded([this] {
    // Posted after everything the client said.
    strand_.PostAlways(
        [self = shared_from_this()](Core& core, absl::Time now) { self->streams_.Leave(core, now, *self); });
  });
  StartRead(&message_);
}

void ConverseStream::OnReadDone(bool ok) {
  if (!ok) return End(absl::OkStatus());  // it has nothing more to ask, or its connection broke
  if (const absl::Status size = CheckSize(message_, kMaxMessageBytes); !size.ok()) return End(size);
  strand_.PostAlways([self = shared_from_this()](Core& core, absl::Time now) {
    // The call cannot end in between, so another read may be started.
    const StreamHold hold(*self);
    if (!hold) return;
    self->streams_.Take(core, now, self->tenant_, self->message_, self);
    self->message_.Clear();
    self->StartRead(&self->message_);
  });
}

}  // namespace vernier::server
