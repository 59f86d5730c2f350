// A base model that goes away under the jobs that need it: through the API (refused), and behind the
// service's back (a sentence, and importing it again mends it).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <string>

#include "tests/testing/training_fixture.h"

namespace vernier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ModelsTest : public TrainingTest {
 protected:
  absl::Status DeleteModel() {
    v1::DeleteModelRequest request;
    request.set_name("tiny");
    return service_->client().Call(&v1::ModelService::Stub::DeleteModel, request).status();
  }
  void ExpectRefused(const std::string& job) {
    const absl::Status refused = DeleteModel();
    std::cout << "delete: " << refused << std::endl;
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("model \"tiny\" is used by " + job), HasSubstr("wait for it or cancel it")));
  }
  void Pause(const std::string& name) {
    v1::PauseJobRequest request;
    request.set_name(name);
    ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::PauseJob, request).ok());
    AwaitState(name, v1::JOB_STATE_PAUSED);
  }
  void Resume(const std::string& name) {
    v1::ResumeJobRequest request;
    request.set_name(name);
    ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::ResumeJob, request).ok());
  }
  void AwaitState(const std::string& name, v1::JobState state) {
    const absl::Status reached =
        AwaitCondition(v1::JobState_Name(state), [&] { return Get(name).state() == state; });
    ASSERT_TRUE(reached.ok()) << reached << Get(name).DebugString() << service_->Logs();
  }
  std::string Objects() const { return folder_.File("data/objects/tenants/default/"); }
  void ExpectFailsNamingTheModel(const std::string& job, const std::string& what) {
    const auto failed = service_->AwaitEnd(job);
    ASSERT_TRUE(failed.ok()) << failed.status() << service_->Logs();
    std::cout << "failed: " << failed->state_reason() << std::endl;
    EXPECT_EQ(failed->state(), v1::JOB_STATE_FAILED);
    EXPECT_THAT(failed->error().message(),
                AllOf(HasSubstr("model \"tiny\": "), HasSubstr(what), HasSubstr("import the model again")));
    EXPECT_EQ(failed->error().code(), "FAILED_PRECONDITION");
  }
  void ExpectGenerateNamesTheModel() {
    v1::GenerateRequest request;
    request.set_model("tiny");
    request.add_prompts("hello");
    request.mutable_decoding()->set_max_new_tokens(4);
    const absl::Status status = service_->client().Generate(request, [](const v1::GenerateResponse&) {});
    std::cout << "generate: " << status << std::endl;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("model \"tiny\": "), HasSubstr("import the model again")));
  }
  void ExpectFilesNameTheModel() {
    const absl::Status status = service_->client().ModelFile("tiny", "tokenizer.json").status();
    std::cout << "tokenize: " << status << std::endl;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("model \"tiny\": "), HasSubstr("import the model again")));
  }
};

TEST_F(ModelsTest, DeletingTheModelOfAJobThatHasNotEndedIsRefused) {
  Start();
  const std::string want = Undisturbed();
  const std::string runs = Submit(Job());
  AwaitStep(runs, 10);
  ExpectRefused(runs);
  Pause(runs);
  ExpectRefused(runs);
  Resume(runs);
  AwaitState(runs, v1::JOB_STATE_RUNNING);
  const std::string queued = Submit(Job());
  AwaitState(queued, v1::JOB_STATE_QUEUED);
  EXPECT_EQ(DigestOf(runs), want);
  EXPECT_EQ(DigestOf(queued), want);
  EXPECT_TRUE(DeleteModel().ok());
  const absl::Status refused = service_->Submit(Job()).status();
  std::cout << "submit: " << refused << std::endl;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("tiny"));
  Stop();
  Start();  // imports it again
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

TEST_F(ModelsTest, DeletingTheModelOfAJobThatOnlyWaitsIsRefused) {
  Start();
  const std::string first = Submit(Job());
  Pause(first);
  ExpectRefused(first);
  Resume(first);
  EXPECT_NE(DigestOf(first), "");
  Stop();
}

TEST_F(ModelsTest, FilesRemovedBehindTheServicesBackAreNamedAndImportingAgainMendsIt) {
  Start();
  const std::string want = Undisturbed();
  const std::string running = Submit(Job());
  AwaitStep(running, 10);
  std::filesystem::remove_all(Objects() + "models");
  EXPECT_EQ(DigestOf(running), want) << "it has its model in memory";

  ExpectFailsNamingTheModel(Submit(Job()), "tokenizer.json: no such object");  // with the preparation

  // The whole model, and one file of it, gone when the trainer comes.
  for (const char* const file : {"", "model.safetensors"}) {
    ASSERT_TRUE(service_->client().ImportModel(ModelFolder(), "tiny", nullptr).ok());
    const std::string paused = Submit(Job());
    AwaitStep(paused, 10);
    Pause(paused);
    for (const auto& model : std::filesystem::directory_iterator(Objects() + "models")) {
      std::filesystem::remove_all(model.path() / file);
    }
    Resume(paused);
    ExpectFailsNamingTheModel(paused, *file == 0
                                          ? "manifest.json: no such object"
                                          : "model.safetensors: is in the manifest but does not exist");
    ExpectGenerateNamesTheModel();
    if (*file == 0) ExpectFilesNameTheModel();
    // It goes on from its checkpoint, and ends as if nothing had been.
    ASSERT_TRUE(service_->client().ImportModel(ModelFolder(), "tiny", nullptr).ok());
    Resume(paused);
    EXPECT_EQ(DigestOf(paused), want);
    EXPECT_GT(Get(paused).stages(0).attempts(), 1);
  }

  ASSERT_TRUE(service_->client().ImportModel(ModelFolder(), "tiny", nullptr).ok());
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

}  // namespace
}  // namespace vernier
