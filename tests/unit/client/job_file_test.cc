#include "client/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/file.h"

namespace vernier::client {
namespace {

using testing::HasSubstr;

std::string WriteJob(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  EXPECT_TRUE(WriteFileAtomic(path, text).ok());
  return path;
}

TEST(ReadJobFileTest, AssignmentsChangeWhatTheFileSays) {
  const std::string path =
      WriteJob("job.yaml", "model: smollm2\ndata: train.jsonl\ntrain: {tuning: {lora: {rank: 4}}}\n");
  const auto spec = ReadJobFile(path, {"train.tuning.lora.rank=32", "labels.team=a"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->model().base(), "smollm2");
  EXPECT_EQ(spec->train().tuning().lora().rank(), 32);
  EXPECT_EQ(spec->labels().at("team"), "a");
}

TEST(ReadJobFileTest, UnknownFieldsNameFileLineAndNearest) {
  const std::string path =
      WriteJob("typo.yaml", "model: smollm2\ndata: train.jsonl\ntrain:\n  tuninng: {lora: {}}\n");
  const auto spec = ReadJobFile(path, {});
  ASSERT_FALSE(spec.ok());
  EXPECT_THAT(std::string(spec.status().message()),
              testing::AllOf(HasSubstr("typo.yaml"), HasSubstr("line 4"), HasSubstr("tuning")));
}

TEST(ReadJobFileTest, MissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadJobFile("/nonexistent/job.yaml", {}).status()));
}

TEST(DataOfTest, FindsEveryPlaceThatNamesRows) {
  const std::string path = WriteJob("stages.yaml",
                                    "data: a.jsonl\n"
                                    "stages:\n"
                                    "  - {id: one, train: {data: b.jsonl}}\n"
                                    "  - {id: two, evaluate: {data: c.jsonl}}\n"
                                    "  - {id: three, evaluate: {model: {stage: one}}}\n");
  auto spec = ReadJobFile(path, {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  std::vector<std::string> sources;
  for (const v1::Data* data : DataOf(*spec)) sources.push_back(data->source());
  EXPECT_THAT(sources, testing::ElementsAre("a.jsonl", "b.jsonl", "c.jsonl"));
}

// A client that cannot reach anything: resolving must not need it when nothing is uploaded.
TEST(UploadLocalFilesTest, NamesStayAndMissingFilesAreNamed) {
  Client client(Endpoint{"127.0.0.1:1", "token"});
  v1::JobSpec spec;
  spec.mutable_data()->set_source("a-dataset-of-the-service");
  spec.mutable_data()->mutable_validation()->set_from("5%");
  EXPECT_TRUE(UploadLocalFiles(client, "job.yaml", spec, [](const std::string&) {}).ok());
  EXPECT_EQ(spec.data().source(), "a-dataset-of-the-service");
  spec.mutable_data()->set_source("./no-such-file.jsonl");
  const absl::Status missing = UploadLocalFiles(client, "job.yaml", spec, [](const std::string&) {});
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr("./no-such-file.jsonl"));
}

TEST(FindEndpointTest, WithoutAServiceItSaysHowToStartOne) {
  ::unsetenv("VERNIER_ADDR");
  const auto endpoint = FindEndpoint("/nonexistent");
  ASSERT_TRUE(absl::IsUnavailable(endpoint.status()));
  EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr("vernier up"));
}

}  // namespace
}  // namespace vernier::client
