// Every job file that the repository ships is read as `vernier submit` reads it and validated as the service
// does; the rows it names are there and good.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/job_file.h"
#include "common/file.h"
#include "tests/unit/server_validate/fake_catalog.h"
#include "worker/data/check.h"

namespace vernier {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kRoot = VERNIER_SOURCE_DIR;

std::vector<std::string> JobFiles(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(kRoot / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(folder + "/" + entry.path().filename().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<server::Validated> Submit(const v1::JobSpec& spec, const server::FakeCatalog& catalog) {
  return server::ValidateSpec(spec, catalog, int64_t{4} << 20, server::kSubmitTime);
}

class RecipeTest : public testing::TestWithParam<std::string> {};

TEST_P(RecipeTest, RunsAsItIs) {
  const fs::path path = kRoot / GetParam();
  auto spec = client::ReadJobFile(path.string(), {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  server::FakeCatalog catalog;
  for (const v1::Data* data : client::DataOf(*spec)) {
    const std::string rows = (path.parent_path() / data->source()).string();
    auto input = data::CheckInputOf(rows);
    ASSERT_TRUE(input.ok()) << input.status();
    data::CheckRequest request;
    request.rows = *std::move(input);
    request.options.max_tokens = INT32_MAX;
    const auto report = data::CheckData(request, nullptr);
    ASSERT_TRUE(report.ok()) << rows << ": " << report.status();
    EXPECT_EQ(report->num_bad_rows(), 0) << report->ShortDebugString();
    EXPECT_EQ(report->num_duplicate_rows(), 0) << data->source();
    catalog.AddDataset(data->source(), report->row_format());
  }
  const auto job = Submit(*spec, catalog);
  EXPECT_TRUE(job.ok()) << job.status();
}

TEST_P(RecipeTest, IsNamedAfterItsFileAndSaysHowToRunIt) {
  const fs::path path = kRoot / GetParam();
  const std::string stem = path.stem().string();
  EXPECT_TRUE(std::all_of(stem.begin(), stem.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  })) << stem;
  const auto text = ReadFile(path.string(), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr(absl::StrCat("\nname: ", stem, "\n")));
  EXPECT_THAT(*text, HasSubstr(absl::StrCat("#   vernier submit ", GetParam(), " --watch\n")));
}

TEST_P(RecipeTest, HasItsRowInTheDocs) {
  const auto methods = ReadFile((kRoot / "docs/methods.md").string(), 1 << 20);
  ASSERT_TRUE(methods.ok()) << methods.status();
  EXPECT_THAT(*methods, HasSubstr(absl::StrCat("](../", GetParam(), ")")));
}

INSTANTIATE_TEST_SUITE_P(Folder, RecipeTest, testing::ValuesIn(JobFiles("recipes")), [](const auto& info) {
  std::string name = fs::path(info.param).stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// Its rows are made by ./quickstart.
TEST(ExampleTest, TheQuickstartsJobIsValid) {
  const auto spec = client::ReadJobFile((kRoot / "examples/quickstart.yaml").string(), {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  server::FakeCatalog catalog;
  catalog.AddDataset("train.jsonl", "messages");
  catalog.AddDataset("valid.jsonl", "messages");
  const auto job = Submit(*spec, catalog);
  EXPECT_TRUE(job.ok()) << job.status();
}

}  // namespace
}  // namespace vernier
