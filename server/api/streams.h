// Reactors for streams: writes that queue up, and reads that are handled on the worker pool.
//
// gRPC may run a reaction inside StartWrite or Finish on the calling thread, so neither is called under a
// lock.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "server/api/status.h"
#include "server/worker_pool.h"

namespace vernier::server {

// The writing half of a stream of `Response`, on top of grpc::ServerWriteReactor or ServerBidiReactor.
// Thread-safe. Lives until gRPC is done with the call; others share it by shared_ptr and may use it longer
// (then in vain).
template <typename Reactor, typename Response>
class QueuedWrites : public Reactor {
 public:
  // More than this waiting to be written ends the call: the reader is too slow.
  static constexpr int64_t kMaxQueuedBytes = int64_t{64} << 20;

  // Keeps `stream` alive until gRPC is done with it; the result is what a handler returns.
  template <typename Stream>
  static Stream* Launch(std::shared_ptr<Stream> stream) {
    Stream* const raw = stream.get();
    raw->self_ = std::move(stream);
    return raw;
  }

  // Called from a gRPC thread, each at most once at a time, never under a lock. Set before the stream is
  // launched, or under a StreamHold before anything is written. `drained`: everything written so far is out,
  // so more may come. `ended`: the last call of all.
  void OnDrained(std::function<void()> drained) { drained_ = std::move(drained); }
  void OnEnded(std::function<void()> ended) { ended_ = std::move(ended); }

  // In order. Ignored once the call has ended.
  void Write(Response response) VN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (ending_) return;
      queued_bytes_ += static_cast<int64_t>(response.ByteSizeLong());
      queue_.push_back(std::move(response));
      if (queued_bytes_ > kMaxQueuedBytes) {
        queue_.clear();
        ending_ = true;
        status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                               "the reader of this stream is too slow; call again and read faster");
      }
    }
    Proceed();
  }

  // Ends the call after what was written. The first call wins.
  void End(const absl::Status& status) VN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (ending_) return;
      ending_ = true;
      status_ = ToGrpcStatus(status);
    }
    Proceed();
  }

  // Nothing waits to be written and more may come.
  bool idle() VN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return queue_.empty() && !writing_ && !ending_;
  }
  // No more will be written: the client went away, or End was called.
  bool ended() VN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return ending_;
  }

  // Keeps the call from ending until Release, so that another operation (StartRead) may be started. False: it
  // has ended.
  bool Hold() VN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (ending_) return false;
    ++holds_;
    return true;
  }
  void Release() VN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      --holds_;
    }
    Proceed();
  }

  void OnWriteDone(bool ok) override VN_EXCLUDES(mutex_) {
    bool drained = false;
    {
      const MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) Drop();
      drained = queue_.empty() && !ending_;
    }
    Proceed();
    if (drained && drained_) drained_();
  }
  void OnCancel() override VN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      Drop();
    }
    Proceed();
  }
  void OnDone() override {
    if (ended_) ended_();
    drained_ = nullptr;
    ended_ = nullptr;
    const std::shared_ptr<void> self = std::move(self_);  // may be the last reference
  }

 private:
  void Drop() VN_REQUIRES(mutex_) {
    queue_.clear();
    if (ending_) return;
    ending_ = true;
    status_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client went away");
  }

  // Starts the next write or the end of the call, if one is due.
  void Proceed() VN_EXCLUDES(mutex_) {
    enum { kNothing, kWrite, kFinish } next = kNothing;
    {
      const MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (!queue_.empty()) {
        current_ = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= static_cast<int64_t>(current_.ByteSizeLong());
        writing_ = true;
        next = kWrite;
      } else if (ending_ && holds_ == 0) {
        finished_ = true;
        next = kFinish;
      }
    }
    // From here on this thread alone owns current_ (writing_) or status_ (finished_).
    if (next == kWrite) this->StartWrite(&current_);
    if (next == kFinish) this->Finish(status_);
  }

  std::shared_ptr<void> self_;
  std::function<void()> drained_, ended_;
  Response current_;

  Mutex mutex_;
  std::deque<Response> queue_ VN_GUARDED_BY(mutex_);
  int64_t queued_bytes_ VN_GUARDED_BY(mutex_) = 0;
  int holds_ VN_GUARDED_BY(mutex_) = 0;
  bool writing_ VN_GUARDED_BY(mutex_) = false;
  bool ending_ VN_GUARDED_BY(mutex_) = false;
  bool finished_ VN_GUARDED_BY(mutex_) = false;
  grpc::Status status_;
};

// Keeps a stream from ending while it is set up on another thread than its handler's: OnDrained and OnEnded
// may be set.
template <typename Stream>
class StreamHold {
 public:
  explicit StreamHold(Stream& stream) : stream_(stream), held_(stream.Hold()) {}
  ~StreamHold() {
    if (held_) stream_.Release();
  }
  StreamHold(const StreamHold&) = delete;
  StreamHold& operator=(const StreamHold&) = delete;
  // False: the call has ended already.
  explicit operator bool() const { return held_; }

 private:
  Stream& stream_;
  const bool held_;
};

// A call that answers with a stream.
template <typename Response>
using ServerStream = QueuedWrites<grpc::ServerWriteReactor<Response>, Response>;

// Takes the messages of a client stream, one after the other, on a thread of the pool.
template <typename Request, typename Response>
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  // An error ends the call; so does done() after it.
  virtual absl::Status Take(const Request& request) = 0;
  // The client has sent everything.
  virtual absl::Status Finish(Response& response) = 0;
  // The answer is known without the rest of the stream: Finish comes next.
  virtual bool done() const { return false; }
};

// A call that takes a stream and answers once. One message is in memory at a time, and none while the pool is
// busy.
template <typename Request, typename Response>
class PooledReads final : public grpc::ServerReadReactor<Request> {
 public:
  using Sink = StreamSink<Request, Response>;

  PooledReads(WorkerPool& pool, std::unique_ptr<Sink> sink, Response* response)
      : pool_(pool), sink_(std::move(sink)), response_(response) {
    this->StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (ok) return Handle(&PooledReads::Take);
    // A client that vanished looks like one that has sent everything, and half a file must not count as a
    // whole one. But a call that was cut off is closed in both directions, so a first write tells them apart.
    this->StartSendInitialMetadata();
  }
  void OnSendInitialMetadataDone(bool ok) override {
    if (ok) return Handle(&PooledReads::TakeEnd);
    this->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
  }
  void OnDone() override { delete this; }

 private:
  void Handle(void (PooledReads::*step)()) {
    const absl::Status posted = pool_.Post([this, step] { (this->*step)(); });
    if (!posted.ok()) this->Finish(ToGrpcStatus(posted));
  }
  void Take() {
    const absl::Status status = sink_->Take(request_);
    if (status.ok() && !sink_->done()) return this->StartRead(&request_);
    if (status.ok()) return TakeEnd();
    End(status);
  }
  void TakeEnd() { End(sink_->Finish(*response_)); }
  void End(const absl::Status& status) {
    sink_.reset();  // temporary files go before the client hears of it
    this->Finish(ToGrpcStatus(status));
  }

  WorkerPool& pool_;
  std::unique_ptr<Sink> sink_;
  Response* const response_;
  Request request_;
};

// A call with a client stream that is refused from the start.
template <typename Request>
class RefusedReads final : public grpc::ServerReadReactor<Request> {
 public:
  explicit RefusedReads(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace vernier::server
