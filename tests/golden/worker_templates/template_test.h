// A test over published templates, by name.
#pragma once

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "tests/golden/worker_templates/goldens.h"

namespace vernier::data {

class TemplateTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto compiled = TemplateGoldens::Get().Compile(GetParam());
    if (absl::IsNotFound(compiled.status())) {
      GTEST_SKIP() << "no trl templates in the cache (tools/setup fetches them): "
                   << compiled.status().message();
    }
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    template_ = *std::move(compiled);
  }

  std::unique_ptr<const ChatTemplate> template_;
};

inline std::string TemplateName(const testing::TestParamInfo<std::string>& info) { return info.param; }

}  // namespace vernier::data
