// A codec of bytes and a store in memory.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/mutex.h"
#include "worker/data/codec.h"
#include "worker/data/store_io.h"

namespace vernier::data {

// One token a byte (id = byte); conversations render as "<role>content|". Turns: content and the bar.
class ByteCodec final : public Codec {
 public:
  static constexpr int32_t kEos = 256;
  static constexpr int32_t kBos = 257;

  absl::StatusOr<RenderedConversation> Render(const Row& row) const override {
    RenderedConversation out;
    if (row.messages[0].role != "system") {
      out.implicit_system_prompt = "be kind";
      out.text = "<system>be kind|";
    }
    for (size_t i = 0; i < row.messages.size(); ++i) {
      const Message& message = row.messages[i];
      if (message.content == "REFUSE") return absl::InvalidArgumentError("the template refuses this row");
      absl::StrAppend(&out.text, "<", message.role, ">");
      const size_t begin = out.text.size();
      absl::StrAppend(&out.text, message.content, "|");
      if (message.role == "assistant") out.turns.push_back({begin, out.text.size(), i});
    }
    return out;
  }
  absl::StatusOr<std::string> RenderPrompt(const Json& messages) const override {
    std::string text;
    for (const Json& message : messages) {
      absl::StrAppend(&text, "<", message["role"].get<std::string>(), ">",
                      message["content"].get<std::string>(), "|");
    }
    return text + "<assistant>";
  }
  absl::StatusOr<TokenizedText> Tokenize(absl::string_view text) const override {
    if (num_tokenized != nullptr) ++*num_tokenized;
    TokenizedText out;
    for (size_t i = 0; i < text.size(); ++i) {
      out.ids.push_back(static_cast<unsigned char>(text[i]));
      out.begins.push_back(i);
    }
    return out;
  }
  std::optional<int32_t> bos_id() const override { return bos; }
  std::optional<int32_t> eos_id() const override { return kEos; }
  int64_t vocab_size() const override { return 258; }

  std::optional<int32_t> bos;
  std::atomic<int64_t>* num_tokenized = nullptr;  // counts calls, when given
};

class MemoryBlobs final : public Blobs {
 public:
  absl::StatusOr<int64_t> Size(const std::string& key) override {
    MutexLock lock(mutex_);
    const auto it = objects.find(key);
    if (it == objects.end()) return absl::NotFoundError(absl::StrCat(key, ": no such object"));
    return static_cast<int64_t>(it->second.size());
  }
  absl::StatusOr<std::string> ReadAt(const std::string& key, int64_t offset, int64_t max_bytes) override {
    MutexLock lock(mutex_);
    const auto it = objects.find(key);
    if (it == objects.end()) return absl::NotFoundError(absl::StrCat(key, ": no such object"));
    if (offset >= static_cast<int64_t>(it->second.size())) return std::string();
    return it->second.substr(static_cast<size_t>(offset), static_cast<size_t>(max_bytes));
  }
  absl::Status Put(const std::string& key, absl::string_view bytes) override {
    MutexLock lock(mutex_);
    if (!fail_put.empty() && absl::EndsWith(key, fail_put)) return absl::ResourceExhaustedError("disk full");
    ++num_puts;
    objects[key] = std::string(bytes);
    return absl::OkStatus();
  }
  absl::Status PutOnce(const std::string& key, absl::string_view bytes) override {
    MutexLock lock(mutex_);
    const auto [it, inserted] = objects.try_emplace(key, bytes);
    if (!inserted && it->second != bytes) return absl::AlreadyExistsError(absl::StrCat(key, ": other bytes"));
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(const std::string& key) override {
    return std::make_unique<Writer>(*this, key);
  }
  absl::Status Delete(const std::string& key) override {
    MutexLock lock(mutex_);
    objects.erase(key);
    return absl::OkStatus();
  }
  std::string LocalPath(const std::string&) override { return ""; }

  // Tests touch these between calls only.
  std::map<std::string, std::string> objects;
  std::string fail_put;  // keys that end so cannot be written
  int num_puts = 0;

 private:
  class Writer final : public storage::ObjectWriter {
   public:
    Writer(MemoryBlobs& blobs, std::string key) : blobs_(blobs), key_(std::move(key)) {}
    absl::Status Append(absl::string_view bytes) override {
      absl::StrAppend(&bytes_, bytes);
      return absl::OkStatus();
    }
    absl::StatusOr<storage::ByteDigest> Finish() override {
      const absl::Status put = blobs_.Put(key_, bytes_);
      if (!put.ok()) return put;
      return storage::ByteDigest{static_cast<int64_t>(bytes_.size()), Sha256Hex(bytes_)};
    }

   private:
    MemoryBlobs& blobs_;
    const std::string key_;
    std::string bytes_;
  };

  Mutex mutex_;
};

}  // namespace vernier::data
