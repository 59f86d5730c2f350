#include "client/tfevents.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <array>
#include <bit>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier::client {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// Field numbers of tensorflow.Event, Summary and Summary.Value.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1, kValueSimpleValue = 2;

// The reflected polynomial of CRC-32C.
constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

// A CRC beside the data it is of, so that a CRC of both stays strong.
uint32_t Masked(uint32_t crc) { return std::rotr(crc, 15) + 0xA282EAD8u; }

template <typename T>
std::string LittleEndian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFF);
  return bytes;
}

// A message put together field by field.
class Fields {
 public:
  Fields& Double(int field, double value) {
    Tag(field, WireFormatLite::WIRETYPE_FIXED64);
    bytes_ += LittleEndian(std::bit_cast<uint64_t>(value));
    return *this;
  }
  Fields& Float(int field, float value) {
    Tag(field, WireFormatLite::WIRETYPE_FIXED32);
    bytes_ += LittleEndian(std::bit_cast<uint32_t>(value));
    return *this;
  }
  Fields& Int64(int field, int64_t value) {
    Tag(field, WireFormatLite::WIRETYPE_VARINT);
    Varint(static_cast<uint64_t>(value));
    return *this;
  }
  Fields& Bytes(int field, absl::string_view value) {
    Tag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    Varint(value.size());
    absl::StrAppend(&bytes_, value);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Tag(int field, WireFormatLite::WireType type) { Varint(WireFormatLite::MakeTag(field, type)); }
  void Varint(uint64_t value) {
    uint8_t buffer[10];
    const uint8_t* const end = CodedOutputStream::WriteVarint64ToArray(value, buffer);
    bytes_.append(reinterpret_cast<const char*>(buffer), end - buffer);
  }

  std::string bytes_;
};

double SecondsOf(const v1::MetricPoint& point) {
  return static_cast<double>(point.time().seconds()) + 1e-9 * point.time().nanos();
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF];
  return ~crc;
}

std::string TfRecord(absl::string_view data) {
  const std::string length = LittleEndian(static_cast<uint64_t>(data.size()));
  return absl::StrCat(length, LittleEndian(Masked(Crc32c(length))), data, LittleEndian(Masked(Crc32c(data))));
}

std::string TfEvent(double wall_time_seconds, int64_t step, const std::vector<Scalar>& scalars) {
  Fields event;
  event.Double(kEventWallTime, wall_time_seconds);
  if (scalars.empty()) return event.Bytes(kEventFileVersion, "brain.Event:2").bytes();
  event.Int64(kEventStep, step);
  Fields summary;
  for (const Scalar& scalar : scalars) {
    summary.Bytes(kSummaryValue, Fields()
                                     .Bytes(kValueTag, scalar.tag)
                                     .Float(kValueSimpleValue, static_cast<float>(scalar.value))
                                     .bytes());
  }
  return event.Bytes(kEventSummary, summary.bytes()).bytes();
}

std::string TensorBoardTag(absl::string_view metric) {
  if (metric == "train_loss") return "loss/train";
  if (metric == "valid_loss") return "loss/valid";
  if (absl::ConsumePrefix(&metric, "valid_")) return absl::StrCat("valid/", metric);
  return absl::StrCat("train/", metric);
}

std::string EventFile(const std::vector<v1::MetricPoint>& points) {
  if (points.empty()) return "";
  std::string file = TfRecord(TfEvent(SecondsOf(points.front()), 0, {}));
  for (const v1::MetricPoint& point : points) {
    std::vector<Scalar> scalars;
    const std::map<std::string, double> sorted(point.values().begin(), point.values().end());
    for (const auto& [name, value] : sorted) scalars.push_back({TensorBoardTag(name), value});
    if (!scalars.empty()) file += TfRecord(TfEvent(SecondsOf(point), point.step(), scalars));
  }
  return file;
}

absl::StatusOr<std::vector<std::string>> WriteTensorBoard(const std::vector<v1::MetricPoint>& points,
                                                          absl::string_view run, const std::string& folder) {
  std::map<std::string, std::vector<v1::MetricPoint>> stages;
  for (const v1::MetricPoint& point : points) stages[point.stage()].push_back(point);
  std::vector<std::string> paths;
  for (const auto& [stage, of_stage] : stages) {
    const std::string run_folder = absl::StrCat(folder, "/", run, "/", stage);
    VN_RETURN_IF_ERROR(MakeDirs(run_folder));
    paths.push_back(
        absl::StrCat(run_folder, "/events.out.tfevents.", of_stage.front().time().seconds(), ".vernier"));
    VN_RETURN_IF_ERROR(WriteFileAtomic(paths.back(), EventFile(of_stage)));
  }
  return paths;
}

}  // namespace vernier::client
