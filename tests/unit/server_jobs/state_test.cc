#include "server/jobs/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::server {
namespace {

using testing::HasSubstr;

JobRecord Record(const std::string& id, uint64_t order, const std::string& name = "",
                 v1::JobState state = v1::JOB_STATE_QUEUED) {
  JobRecord record;
  record.set_id(id);
  record.set_tenant("default");
  record.set_order(order);
  record.mutable_job()->set_name("jobs/" + id);
  record.mutable_job()->mutable_spec()->set_name(name);
  record.mutable_job()->set_state(state);
  return record;
}

class StateTest : public testing::Test {
 protected:
  std::string IdOf(const std::string& name, const std::string& tenant = "default") {
    const auto record = state_.Resolve(tenant, name);
    return record.ok() ? (*record)->id() : std::string(record.status().message());
  }
  State state_{{.jobs = {Record("abcd1111", 1, "sft"), Record("abcd2222", 2), Record("ffff0000", 3, "sft")}}};
};

TEST_F(StateTest, JobsAreFoundByNameIdSpecNameAndPrefix) {
  EXPECT_EQ(IdOf("jobs/abcd1111"), "abcd1111");
  EXPECT_EQ(IdOf("abcd2222"), "abcd2222");
  EXPECT_EQ(IdOf("sft"), "ffff0000") << "the newest with the name";
  EXPECT_EQ(IdOf("ffff"), "ffff0000");
  EXPECT_EQ(IdOf("jobs/abcd1"), "abcd1111");
}

TEST_F(StateTest, APrefixOfSeveralIsAnError) {
  EXPECT_THAT(IdOf("abcd"), HasSubstr("is the start of several ids"));
}

TEST_F(StateTest, ShortPrefixesAndOtherTenantsFindNothing) {
  EXPECT_THAT(IdOf("fff"), HasSubstr("is not known"));
  EXPECT_THAT(IdOf(""), HasSubstr("is not known"));
  EXPECT_THAT(IdOf("jobs/ffff0000", "other"), HasSubstr("is not known"));
  EXPECT_THAT(IdOf("ffff", "other"), HasSubstr("is not known"));
}

TEST_F(StateTest, CountsFollowChanges) {
  EXPECT_EQ(state_.CountLiveJobs("default"), 3);
  state_.Put(Record("abcd2222", 2, "", v1::JOB_STATE_FAILED));
  EXPECT_EQ(state_.CountJobs("default"), 3);
  EXPECT_EQ(state_.CountLiveJobs("default"), 2);
  state_.Erase("abcd1111");
  EXPECT_EQ(state_.CountJobs("default"), 2);
  EXPECT_EQ(state_.CountLiveJobs("default"), 1);
  EXPECT_EQ(state_.CountJobs("other"), 0);
}

TEST(OwnedTableTest, FindsByNameDigestAndPrefix) {
  OwnedTable<v1::Dataset> table("dataset");
  v1::Dataset dataset;
  dataset.set_name("rows");
  dataset.set_digest("0123456789abcdef");
  table.Put("default", dataset);
  for (const char* text : {"rows", "0123456789abcdef", "01234567"}) {
    EXPECT_TRUE(table.Resolve("default", text).ok()) << text;
  }
  EXPECT_TRUE(absl::IsNotFound(table.Resolve("default", "0123").status())) << "too short to be a digest";
  EXPECT_TRUE(absl::IsNotFound(table.Resolve("other", "rows").status()));
  EXPECT_THAT(std::string(table.Resolve("default", "row").status().message()),
              HasSubstr("did you mean \"rows\"?"));
  dataset.set_name("more");
  dataset.set_digest("01234567ffffffff");
  table.Put("default", dataset);
  EXPECT_TRUE(absl::IsInvalidArgument(table.Resolve("default", "01234567").status()));
}

}  // namespace
}  // namespace vernier::server
