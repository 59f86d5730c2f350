#include "worker/data/chunk_pipeline.h"

#include <atomic>
#include <map>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace vernier::data {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(200);

class Pipeline {
 public:
  Pipeline(Source& source, int threads, const ChunkSteps& steps)
      : source_(source), steps_(steps), window_(2 * threads + 2) {
    for (int t = 0; t < threads; ++t) workers_.emplace_back([this] { Work(); });
  }

  ~Pipeline() {
    MutexLock lock(mutex_);
    stopped_ = true;  // threads that wait look under the lock, those that work look now and then
    room_.NotifyAll();
    // The threads end before the members: workers_ comes last.
  }

  absl::StatusOr<bool> Consume() {
    while (true) {
      absl::StatusOr<DoneChunk> next = DoneChunk();
      VN_ASSIGN_OR_RETURN(const bool any, WaitForNext(next));
      if (!any) return true;
      VN_RETURN_IF_ERROR(next.status());
      VN_ASSIGN_OR_RETURN(const bool more, steps_.take(*std::move(next)));
      if (!more) return false;
      if (steps_.tick) VN_RETURN_IF_ERROR(steps_.tick());
    }
  }

 private:
  // False: the source is at its end and everything was taken.
  absl::StatusOr<bool> WaitForNext(absl::StatusOr<DoneChunk>& next) {
    while (true) {
      {
        MutexLock lock(mutex_);
        const absl::Time deadline = absl::Now() + kTick;
        while (true) {
          if (const auto it = done_.find(next_taken_); it != done_.end()) {
            next = std::move(it->second);
            done_.erase(it);
            ++next_taken_;
            room_.NotifyAll();
            return true;
          }
          if (at_end_ && next_taken_ == num_read_) return false;
          if (!ready_.WaitUntil(mutex_, deadline)) break;
        }
      }
      if (steps_.tick) VN_RETURN_IF_ERROR(steps_.tick());
    }
  }

  void Work() {
    while (true) {
      RawChunk raw;
      DoneChunk done;
      int64_t index = 0;
      {
        // Reading is one thread at a time; it is a small part of the work.
        MutexLock reading(source_mutex_);
        {
          MutexLock lock(mutex_);
          while (!stopped_ && !at_end_ && num_read_ >= next_taken_ + window_) room_.Wait(mutex_);
          if (stopped_ || at_end_) return;
        }
        absl::StatusOr<RawChunk> read = ReadChunk(source_);
        MutexLock lock(mutex_);
        at_end_ = !read.ok() || read->entries.empty();
        if (read.ok() && read->entries.empty()) {
          ready_.NotifyAll();
          return;
        }
        index = num_read_++;
        if (!read.ok()) {
          done_.emplace(index, read.status());
          ready_.NotifyAll();
          return;
        }
        raw = *std::move(read);
        done.first_line = raw.first_line;
        done.raw_bytes = static_cast<int64_t>(raw.bytes.size());
        done.source_offset = source_.offset();
      }
      const absl::Status status = Run(raw, done);
      MutexLock lock(mutex_);
      if (status.ok()) {
        done_.emplace(index, std::move(done));
      } else {
        done_.emplace(index, status);
      }
      ready_.NotifyAll();
    }
  }

  absl::Status Run(const RawChunk& raw, DoneChunk& done) const {
    try {
      return steps_.work(
          raw, [this] { return stopped_.load(); }, done);
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError(absl::StrCat("preparing the rows from line ", raw.first_line,
                                                       ": out of memory; use fewer threads or shorter rows"));
    }
  }

  Source& source_;
  const ChunkSteps& steps_;
  const int64_t window_;
  Mutex source_mutex_;  // taken before mutex_
  Mutex mutex_;
  CondVar ready_;  // a chunk is done, or the source ended
  CondVar room_;   // a chunk was taken, or all stop
  std::atomic<bool> stopped_ = false;
  bool at_end_ VN_GUARDED_BY(mutex_) = false;
  int64_t num_read_ VN_GUARDED_BY(mutex_) = 0;
  int64_t next_taken_ VN_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, absl::StatusOr<DoneChunk>> done_ VN_GUARDED_BY(mutex_);
  std::vector<std::jthread> workers_;
};

}  // namespace

absl::StatusOr<bool> RunChunks(Source& source, int threads, const ChunkSteps& steps) {
  return Pipeline(source, threads, steps).Consume();
}

}  // namespace vernier::data
