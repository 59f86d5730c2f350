// RunPrepare as it runs in production. Apart from the logic in prepare.cc, which is tested with made-up
// codecs.
#include "worker/data/codec.h"
#include "worker/data/prepare.h"
#include "worker/data/prepare_task.h"
#include "worker/data/store_io.h"

namespace vernier::data {

absl::StatusOr<v1::PreparedData> RunPrepare(const v1::Task& task, storage::ObjectStore& store,
                                            const ProgressFn& progress, const std::atomic<bool>* stop) {
  const std::unique_ptr<Blobs> blobs = BlobsOf(store);
  return RunPrepareOn(task, *blobs, CreateCodec, progress, stop);
}

}  // namespace vernier::data
