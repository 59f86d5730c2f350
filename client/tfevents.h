// TensorBoard's event files: scalars that `tensorboard --logdir` draws. A file is a sequence of TFRecords
// (length, masked CRC-32C of it, data, masked CRC-32C of that), each one `tensorflow.Event` message.
// Source: tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "vernier/v1/job.pb.h"

namespace vernier::client {

// CRC-32C (Castagnoli).
uint32_t Crc32c(absl::string_view bytes);

// `data` framed as one TFRecord.
std::string TfRecord(absl::string_view data);

struct Scalar {
  std::string tag;
  double value = 0.0;
};
// One tensorflow.Event with these scalars, as bytes; no scalars: the version record that a file begins with.
std::string TfEvent(double wall_time_seconds, int64_t step, const std::vector<Scalar>& scalars);

// What TensorBoard calls a metric: "loss/train" and "loss/valid" share a section.
std::string TensorBoardTag(absl::string_view metric);

// All points, in order, as the bytes of one event file; "" without points.
std::string EventFile(const std::vector<v1::MetricPoint>& points);

// Writes one event file for each stage that has points: DIR/<job>/<stage>/events.out.tfevents.<time>.vernier.
// The same job gives the same names, so that a second export replaces the first. Returns the paths.
absl::StatusOr<std::vector<std::string>> WriteTensorBoard(const std::vector<v1::MetricPoint>& points,
                                                          absl::string_view run, const std::string& folder);

}  // namespace vernier::client
