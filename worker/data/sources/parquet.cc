// This is one file because it is the only one that includes Arrow: its file adapter, the JSON of its values,
// the source.
#include "worker/data/sources/parquet.h"

#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <arrow/util/float16.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/formats/json_text.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

constexpr int kMaxLeafColumns = 4096;
// Rows decoded at once: at most so many, and fewer where the footer says that rows are large.
constexpr int64_t kMaxBatchRows = 256;
constexpr int64_t kBatchBytes = int64_t{32} << 20;
constexpr int64_t kStreamBytes = 256 << 10;  // of a column chunk held at once
constexpr int32_t kMaxThriftString = 8 << 20;
// Of schema elements, of columns in a row group and of row groups. Arrow itself refuses schemas deeper than
// 100.
constexpr int32_t kMaxThriftList = 8192;
constexpr int64_t kMagicBytes = 4, kTailBytes = 8;

// What Arrow says, in one line and of bounded length.
absl::Status FromArrow(absl::string_view what, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("Parquet: ", what, ": ", Excerpt(message, 200)));
}

absl::Status FromArrow(absl::string_view what, const arrow::Status& status) {
  if (status.IsOutOfMemory()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Parquet: ", what, ": it takes more than ", HumanBytes(kMaxArrowBytes),
        " of memory; write it with smaller pages and row groups, or the file lies about its sizes"));
  }
  return FromArrow(what, status.message());
}

// Runs `body`, which calls Arrow, and turns what it throws into a status.
template <typename Body>
absl::Status Guarded(absl::string_view what, const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return FromArrow(what, arrow::Status::OutOfMemory("bad_alloc"));
  } catch (const std::exception& e) {
    return FromArrow(what, e.what());
  } catch (...) {
    return FromArrow(what, "an exception that is none of the library's");
  }
}

// A ReadAtFn as Arrow wants files. Thread-compatible, as its only user is.
class ArrowFile final : public arrow::io::RandomAccessFile {
 public:
  ArrowFile(ReadAtFn read, int64_t size, arrow::MemoryPool* pool)
      : read_(std::move(read)), size_(size), pool_(pool) {}

  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Seek(int64_t position) override {
    if (position < 0 || position > size_) return arrow::Status::IOError("a place outside the file");
    position_ = position;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> GetSize() override { return size_; }
  const absl::Status& error() const { return error_; }

  arrow::Result<int64_t> ReadAt(int64_t position, int64_t nbytes, void* out) override {
    if (position < 0 || nbytes < 0 || position > size_)
      return arrow::Status::IOError("a place outside the file");
    nbytes = std::min(nbytes, size_ - position);
    int64_t done = 0;
    while (done < nbytes) {
      absl::StatusOr<std::string> bytes = read_(position + done, nbytes - done);
      if (!bytes.ok()) {
        error_ = bytes.status();
        return arrow::Status::IOError("the file cannot be read");
      }
      if (bytes->empty()) break;
      std::memcpy(static_cast<char*>(out) + done, bytes->data(), bytes->size());
      done += static_cast<int64_t>(bytes->size());
    }
    return done;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t nbytes) override {
    if (position < 0 || nbytes < 0 || position > size_)
      return arrow::Status::IOError("a place outside the file");
    ARROW_ASSIGN_OR_RAISE(auto buffer,
                          arrow::AllocateResizableBuffer(std::min(nbytes, size_ - position), pool_));
    ARROW_ASSIGN_OR_RAISE(const int64_t done, ReadAt(position, buffer->size(), buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(done));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }
  arrow::Result<int64_t> Read(int64_t nbytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t done, ReadAt(position_, nbytes, out));
    position_ += done;
    return done;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t nbytes) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, nbytes));
    position_ += buffer->size();
    return buffer;
  }

 private:
  const ReadAtFn read_;
  const int64_t size_;
  arrow::MemoryPool* const pool_;
  int64_t position_ = 0;
  bool closed_ = false;
  absl::Status error_;
};

// Writes values of Arrow arrays as JSON. After the first value that has no JSON, `problem` says why.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(*out) {}
  const std::string& problem() const { return problem_; }

  void Value(const arrow::Array& array, int64_t i) {
    if (!problem_.empty()) return;
    if (static_cast<int64_t>(out_.size()) > kMaxRowBytes)
      return Fail(absl::StrCat("the row is larger than the limit of ", HumanBytes(kMaxRowBytes),
                               "; shorten or split it"));
    if (array.IsNull(i)) {
      out_ += "null";
      return;
    }
    using arrow::Type;
    switch (array.type_id()) {
      case Type::BOOL:
        out_ += As<arrow::BooleanArray>(array).Value(i) ? "true" : "false";
        return;
      case Type::INT8:
        return Number(As<arrow::Int8Array>(array).Value(i));
      case Type::INT16:
        return Number(As<arrow::Int16Array>(array).Value(i));
      case Type::INT32:
        return Number(As<arrow::Int32Array>(array).Value(i));
      case Type::INT64:
        return Number(As<arrow::Int64Array>(array).Value(i));
      case Type::UINT8:
        return Number(As<arrow::UInt8Array>(array).Value(i));
      case Type::UINT16:
        return Number(As<arrow::UInt16Array>(array).Value(i));
      case Type::UINT32:
        return Number(As<arrow::UInt32Array>(array).Value(i));
      case Type::UINT64:
        return Number(As<arrow::UInt64Array>(array).Value(i));
      case Type::HALF_FLOAT:
        return Real(arrow::util::Float16::FromBits(As<arrow::HalfFloatArray>(array).Value(i)).ToFloat());
      case Type::FLOAT:
        return Real(As<arrow::FloatArray>(array).Value(i));
      case Type::DOUBLE:
        return Real(As<arrow::DoubleArray>(array).Value(i));
      case Type::STRING:
      case Type::BINARY:
        return Text(As<arrow::BinaryArray>(array).GetView(i));
      case Type::LARGE_STRING:
      case Type::LARGE_BINARY:
        return Text(As<arrow::LargeBinaryArray>(array).GetView(i));
      case Type::STRING_VIEW:
      case Type::BINARY_VIEW:
        return Text(As<arrow::BinaryViewArray>(array).GetView(i));
      case Type::LIST:
        return List(As<arrow::ListArray>(array), i);
      case Type::LARGE_LIST:
        return List(As<arrow::LargeListArray>(array), i);
      case Type::FIXED_SIZE_LIST:
        return List(As<arrow::FixedSizeListArray>(array), i);
      case Type::MAP:
        return Map(As<arrow::MapArray>(array), i);
      case Type::STRUCT:
        return Struct(As<arrow::StructArray>(array), i);
      case Type::DICTIONARY: {
        const auto& dictionary = As<arrow::DictionaryArray>(array);
        return Value(*dictionary.dictionary(), dictionary.GetValueIndex(i));
      }
      case Type::EXTENSION:
        return Value(*As<arrow::ExtensionArray>(array).storage(), i);
      case Type::DATE32:
      case Type::DATE64:
      case Type::TIMESTAMP:
      case Type::TIME32:
      case Type::TIME64:
      case Type::DECIMAL32:
      case Type::DECIMAL64:
      case Type::DECIMAL128:
      case Type::DECIMAL256: {
        const auto scalar = array.GetScalar(i);
        if (!scalar.ok()) return Fail("a value cannot be read");
        return Text((*scalar)->ToString());
      }
      default:
        return Fail(
            absl::StrCat("values of type ", Excerpt(array.type()->ToString(), 60), " cannot be trained on"));
    }
  }

  void Key(absl::string_view name, bool first) {
    if (!first) out_.push_back(',');
    Text(name);
    out_.push_back(':');
  }

 private:
  void Struct(const arrow::StructArray& array, int64_t i) {
    const arrow::StructType& type = *array.struct_type();
    // A message says with null that it has no content.
    const bool is_message = type.GetFieldIndex("role") >= 0;
    out_.push_back('{');
    bool first = true;
    for (int f = 0; f < type.num_fields() && problem_.empty(); ++f) {
      const std::string& name = type.field(f)->name();
      const std::shared_ptr<arrow::Array> values = array.field(f);
      if (values->IsNull(i) && !(is_message && name == "content")) continue;
      Key(name, first);
      Value(*values, i);
      first = false;
    }
    out_.push_back('}');
  }

  template <typename Array>
  static const Array& As(const arrow::Array& array) {
    return static_cast<const Array&>(array);
  }

  void Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  template <typename Integer>
  void Number(Integer value) {
    absl::StrAppend(&out_, value);
  }

  template <typename Floating>
  void Real(Floating value) {
    if (!std::isfinite(value)) return Fail("a number is infinite or NaN, which JSON does not have");
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    const absl::string_view text(digits, static_cast<size_t>(end - digits));
    out_.append(text.data(), text.size());
    // Stays a floating-point number when it is read again.
    if (text.find_first_of(".e") == absl::string_view::npos) out_ += ".0";
  }

  void Text(absl::string_view text) {
    if (FirstInvalidUtf8(text) != absl::string_view::npos) return Fail("a text is not UTF-8");
    AppendJsonString(text, &out_);
  }
  void Text(std::string_view text) { Text(absl::string_view(text.data(), text.size())); }
  void Text(const std::string& text) { Text(absl::string_view(text)); }

  template <typename ListArray>
  void List(const ListArray& array, int64_t i) {
    out_.push_back('[');
    const int64_t begin = array.value_offset(i), length = array.value_length(i);
    for (int64_t k = 0; k < length && problem_.empty(); ++k) {
      if (k > 0) out_.push_back(',');
      Value(*array.values(), begin + k);
    }
    out_.push_back(']');
  }

  void Map(const arrow::MapArray& array, int64_t i) {
    out_.push_back('{');
    const int64_t begin = array.value_offset(i), length = array.value_length(i);
    for (int64_t k = 0; k < length && problem_.empty(); ++k) {
      std::string key;
      JsonWriter(&key).Value(*array.keys(), begin + k);
      if (key.empty() || key.front() != '"') return Fail("the keys of a map are no strings");
      if (k > 0) out_.push_back(',');
      out_ += key;
      out_.push_back(':');
      Value(*array.items(), begin + k);
    }
    out_.push_back('}');
  }

  std::string& out_;
  std::string problem_;
};

int NestingOf(const arrow::DataType& type) {
  int deepest = 0;
  for (const auto& field : type.fields()) deepest = std::max(deepest, NestingOf(*field->type()));
  return deepest + 1;
}

class ParquetSource final : public Source {
 public:
  explicit ParquetSource(SourceInput input)
      : size_(input.size_bytes),
        options_(std::move(input.options)),
        proxy_(arrow::system_memory_pool()),
        pool_(&proxy_, kMaxArrowBytes),
        read_(std::move(input.read)),
        file_(std::make_shared<ArrowFile>(read_, size_, &pool_)) {}

  absl::Status Open() {
    VN_RETURN_IF_ERROR(CheckEnds());
    const absl::Status opened = Guarded("the footer", [&]() -> absl::Status {
      parquet::ReaderProperties properties(&pool_);
      properties.enable_buffered_stream();
      properties.set_buffer_size(kStreamBytes);
      properties.set_thrift_string_size_limit(kMaxThriftString);
      properties.set_thrift_container_size_limit(kMaxThriftList);
      // The columns are judged before Arrow converts their types.
      std::unique_ptr<parquet::ParquetFileReader> raw = parquet::ParquetFileReader::Open(file_, properties);
      const std::shared_ptr<parquet::FileMetaData> metadata = raw->metadata();
      std::vector<int> leaves;
      VN_RETURN_IF_ERROR(ChooseColumns(*metadata, &leaves));
      parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
      arrow_properties.set_batch_size(BatchRows(*metadata));
      arrow_properties.set_pre_buffer(false);
      auto reader = parquet::arrow::FileReader::Make(&pool_, std::move(raw), arrow_properties);
      if (!reader.ok()) return FromArrow("the footer", reader.status());
      reader_ = *std::move(reader);
      std::vector<int> groups(static_cast<size_t>(metadata->num_row_groups()));
      for (size_t g = 0; g < groups.size(); ++g) groups[g] = static_cast<int>(g);
      auto batches = reader_->GetRecordBatchReader(groups, leaves);
      if (!batches.ok()) return FromArrow("the columns", batches.status());
      batches_ = *std::move(batches);
      for (const auto& field : batches_->schema()->fields()) {
        if (NestingOf(*field->type()) < kMaxJsonDepth) continue;
        return absl::InvalidArgumentError(absl::StrCat("Parquet: the column \"", Excerpt(field->name(), 40),
                                                       "\" is nested deeper than ", kMaxJsonDepth,
                                                       " levels"));
      }
      return absl::OkStatus();
    });
    // What kept the file from being read, rather than what Arrow makes of it.
    return file_->error().ok() ? opened : file_->error();
  }

  absl::StatusOr<bool> Next(Record* record) override {
    while (batch_ == nullptr || batch_row_ == batch_->num_rows()) {
      VN_RETURN_IF_ERROR(NextBatch());
      if (batch_ == nullptr) {
        if (row_ != num_rows_) {
          return absl::InvalidArgumentError(
              absl::StrCat("Parquet: the footer promises ", num_rows_, " rows, and ", row_, " are there"));
        }
        return false;
      }
    }
    *record = Record();
    record->line = ++row_;
    VN_RETURN_IF_ERROR(Guarded(absl::StrCat("row ", row_), [&] {
      record->problem = WriteRow();
      return absl::OkStatus();
    }));
    ++batch_row_;
    if (!record->problem.empty()) return true;
    record->bytes = json_;
    num_out_ += static_cast<int64_t>(json_.size());
    if (num_out_ > kFreeInflatedBytes && num_out_ / kMaxInflateRatio > size_) {
      return absl::InvalidArgumentError(absl::StrCat("Parquet: its rows take more than ", kMaxInflateRatio,
                                                     " times its size (", HumanBytes(num_out_),
                                                     " so far): refused as a bomb"));
    }
    return true;
  }

  int64_t offset() const override {
    return num_rows_ == 0 ? size_
                          : static_cast<int64_t>(static_cast<double>(size_) * static_cast<double>(row_) /
                                                 static_cast<double>(num_rows_));
  }
  std::vector<std::string> Notes() const override { return {}; }
  absl::string_view unit() const override { return "row"; }
  std::vector<std::string> unused_columns() const override { return unused_; }

 private:
  // The magic at both ends and the footer's length, before Arrow sees the file.
  absl::Status CheckEnds() {
    if (size_ < kMagicBytes + kTailBytes) return absl::InvalidArgumentError("Parquet: the file is cut off");
    VN_ASSIGN_OR_RETURN(const std::string tail, read_(size_ - kTailBytes, kTailBytes));
    if (static_cast<int64_t>(tail.size()) != kTailBytes || tail.substr(kMagicBytes) != "PAR1") {
      return absl::InvalidArgumentError("Parquet: the file does not end with \"PAR1\": it is cut off");
    }
    uint32_t length = 0;
    for (int i = 3; i >= 0; --i)
      length = length << 8 | static_cast<unsigned char>(tail[static_cast<size_t>(i)]);
    if (length > size_ - kMagicBytes - kTailBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("Parquet: the footer's length of ", length, " bytes is more than the file has"));
    }
    if (length > kMaxFooterBytes) {
      return absl::InvalidArgumentError(absl::StrCat("Parquet: the footer has ", HumanBytes(length),
                                                     "; the limit is ", HumanBytes(kMaxFooterBytes),
                                                     ": write fewer columns or larger row groups"));
    }
    return absl::OkStatus();
  }

  absl::Status ChooseColumns(const parquet::FileMetaData& metadata, std::vector<int>* leaves) {
    const parquet::SchemaDescriptor& schema = *metadata.schema();
    num_rows_ = metadata.num_rows();
    if (num_rows_ < 0) return absl::InvalidArgumentError("Parquet: the footer promises fewer than no rows");
    if (schema.num_columns() > kMaxLeafColumns || schema.group_node()->field_count() > kMaxJsonKeys) {
      return absl::InvalidArgumentError(
          absl::StrCat("Parquet: the file has ", schema.group_node()->field_count(), " columns (",
                       schema.num_columns(), " with those inside structs); the limit is ", kMaxJsonKeys, " (",
                       kMaxLeafColumns, "): write only those of the rows"));
    }
    std::vector<std::string> names;
    for (int f = 0; f < schema.group_node()->field_count(); ++f)
      names.push_back(schema.group_node()->field(f)->name());
    if (names.empty()) return absl::InvalidArgumentError("Parquet: the file has no columns");
    VN_ASSIGN_OR_RETURN(unused_, JudgeHeader(names, options_));
    for (int i = 0; i < schema.num_columns(); ++i) {
      const std::string& root = schema.GetColumnRoot(i)->name();
      if (std::find(unused_.begin(), unused_.end(), root) == unused_.end()) leaves->push_back(i);
    }
    return absl::OkStatus();
  }

  static int64_t BatchRows(const parquet::FileMetaData& metadata) {
    int64_t bytes = 0;
    for (int g = 0; g < metadata.num_row_groups(); ++g) {
      bytes += std::clamp<int64_t>(metadata.RowGroup(g)->total_byte_size(), 0, int64_t{1} << 40);
    }
    const int64_t row_bytes = std::max<int64_t>(1, bytes / std::max<int64_t>(1, metadata.num_rows()));
    return std::clamp<int64_t>(kBatchBytes / row_bytes, 1, kMaxBatchRows);
  }

  absl::Status NextBatch() {
    batch_ = nullptr;
    batch_row_ = 0;
    return Guarded(absl::StrCat("the rows after ", row_), [&]() -> absl::Status {
      do {
        const arrow::Status read = batches_->ReadNext(&batch_);
        if (!file_->error().ok()) return file_->error();
        if (!read.ok()) return FromArrow(absl::StrCat("the rows after ", row_), read);
        if (batch_ == nullptr) return absl::OkStatus();
        const arrow::Status valid = batch_->ValidateFull();
        if (!valid.ok()) return FromArrow(absl::StrCat("the rows after ", row_), valid);
      } while (batch_->num_rows() == 0);
      return absl::OkStatus();
    });
  }

  // Fills json_; returns the problem, if there is one.
  std::string WriteRow() {
    json_ = "{";
    JsonWriter writer(&json_);
    bool first = true;
    for (int c = 0; c < batch_->num_columns(); ++c) {
      const arrow::Array& column = *batch_->column(c);
      if (column.IsNull(batch_row_)) continue;
      writer.Key(batch_->column_name(c), first);
      writer.Value(column, batch_row_);
      first = false;
      if (!writer.problem().empty()) {
        return absl::StrCat("column \"", Excerpt(batch_->column_name(c), 40), "\": ", writer.problem());
      }
    }
    json_.push_back('}');
    return "";
  }

  const int64_t size_;
  const RowOptions options_;
  arrow::ProxyMemoryPool proxy_;  // counts this source's bytes only
  arrow::CappedMemoryPool pool_;  // outlives what Arrow made of it
  const ReadAtFn read_;
  const std::shared_ptr<ArrowFile> file_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t batch_row_ = 0, row_ = 0, num_rows_ = 0, num_out_ = 0;
  std::vector<std::string> unused_;
  std::string json_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateParquetSource(SourceInput input) {
  auto source = std::make_unique<ParquetSource>(std::move(input));
  VN_RETURN_IF_ERROR(source->Open());
  return source;
}

}  // namespace vernier::data
