// OpenSource: recognises a file, decompresses it and picks its source.
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/sources/inflating_reader.h"
#include "worker/data/sources/source.h"

namespace vernier::data {
namespace {

// The source of a recognised file, which says what the file is and counts its own bytes.
class OpenedSource final : public Source {
 public:
  OpenedSource(std::unique_ptr<Source> inner, const Recognition& recognition,
               std::shared_ptr<std::atomic<int64_t>> consumed)
      : inner_(std::move(inner)),
        format_(recognition.ToString()),
        note_(absl::StrCat("the file is ", format_, ": ", recognition.why)),
        consumed_(std::move(consumed)) {}

  absl::StatusOr<bool> Next(Record* record) override { return inner_->Next(record); }
  int64_t offset() const override { return consumed_ == nullptr ? inner_->offset() : consumed_->load(); }
  std::vector<std::string> Notes() const override {
    std::vector<std::string> notes = {note_};
    for (std::string& note : inner_->Notes()) notes.push_back(std::move(note));
    return notes;
  }
  absl::string_view unit() const override { return inner_->unit(); }
  std::string format() const override { return format_; }
  std::vector<std::string> unused_columns() const override { return inner_->unused_columns(); }

 private:
  const std::unique_ptr<Source> inner_;
  const std::string format_, note_;
  const std::shared_ptr<std::atomic<int64_t>> consumed_;  // null: not compressed
};

absl::StatusOr<std::string> ReadHead(const ReadAtFn& read, bool* whole) {
  std::string head;
  *whole = false;
  while (head.size() < kHeadBytes) {
    VN_ASSIGN_OR_RETURN(const std::string bytes, read(static_cast<int64_t>(head.size()),
                                                      static_cast<int64_t>(kHeadBytes - head.size())));
    if (bytes.empty()) {
      *whole = true;
      break;
    }
    head += bytes;
  }
  return head;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> OpenSource(ReadAtFn read, int64_t size_bytes,
                                                   const RowOptions& options) {
  bool whole = false;
  VN_ASSIGN_OR_RETURN(const std::string head, ReadHead(read, &whole));
  SourceInput input;
  VN_ASSIGN_OR_RETURN(input.recognition, Recognise(head, whole, options));
  input.options = options;
  input.size_bytes = size_bytes;
  input.read = std::move(read);
  std::shared_ptr<std::atomic<int64_t>> consumed;
  if (input.recognition.compression != Compression::kNone) {
    consumed = std::make_shared<std::atomic<int64_t>>(0);
    input.read = InflatingReader(std::move(input.read), input.recognition.compression, consumed);
    if (input.recognition.file == FileFormat::kParquet) {
      VN_ASSIGN_OR_RETURN(input.read, SpooledReader(input.read, &input.size_bytes));
    }
  }
  const Recognition recognition = input.recognition;
  VN_ASSIGN_OR_RETURN(std::unique_ptr<Source> source,
                      CreateSource(FileFormatName(recognition.file), std::move(input)));
  return std::make_unique<OpenedSource>(std::move(source), recognition, std::move(consumed));
}

}  // namespace vernier::data
