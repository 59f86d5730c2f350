// A fixture with a whole service, a tiny model and rows to train on, and a job whose bytes are compared.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "tests/testing/service.h"
#include "tests/testing/temp_folder.h"
#include "vernier/v1/job.pb.h"

namespace vernier {

class TrainingTest : public testing::Test {
 protected:
  static constexpr int kSteps = 160;

  // A job with everything that a checkpoint must carry: dropout, momentum, schedule, best validation. Some
  // seconds long; a checkpoint every second step.
  static v1::JobSpec Job();

  // Starts `vernier up`, imports the model as "tiny" and uploads the rows as "train" and "valid", where they
  // are not there yet. Filled in: import_roots, and data_dir where it is empty.
  void Start(Service::Options options = {});
  // SIGTERM, and it must end well.
  void Stop();
  std::string ModelFolder() const { return folder_.File("tiny"); }

  // Submit, or a failure and "".
  std::string Submit(const v1::JobSpec& spec);
  // Creates Job() and waits: DigestOf it.
  std::string Undisturbed();
  // The digests of the adapter and the row ledger of a job once it succeeded; "" and a failure when it ends otherwise.
  std::string DigestOf(const std::string& name, absl::Duration patience = absl::Minutes(6));
  // An empty job while the service does not answer.
  v1::Job Get(const std::string& name);
  int64_t StepOf(const std::string& name);  // of its first stage
  bool JobEnded(const std::string& name);
  void AwaitStep(const std::string& name, int64_t step);

  TempFolder folder_;
  std::unique_ptr<Service> service_;
};

}  // namespace vernier
