#include "common/metrics_http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace vernier {
namespace {

TEST(MetricsHttpTest, ATakenPortIsOneSentence) {
  const auto metrics = std::make_shared<prometheus::Registry>();
  const auto first = MetricsHttp::Start("localhost:0", metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = MetricsHttp::Start((*first)->endpoint(), metrics).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), testing::HasSubstr("cannot listen there"));
}

// Left alone, its HTTP server looks only every two seconds whether it should stop.
TEST(MetricsHttpTest, StopsAtOnce) {
  for (const char* const listen : {"127.0.0.1:0", "127.0.0.2:0", "0.0.0.0:0"}) {
    auto http = MetricsHttp::Start(listen, std::make_shared<prometheus::Registry>());
    ASSERT_TRUE(http.ok()) << http.status();
    const absl::Time start = absl::Now();
    http->reset();
    EXPECT_LT(absl::Now() - start, absl::Seconds(1)) << listen;
  }
}

}  // namespace
}  // namespace vernier
