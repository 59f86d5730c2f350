#include "worker/stages/stop_texts.h"

#include <gtest/gtest.h>

namespace vernier::stages {
namespace {

TEST(StopTextsTest, WithoutStopTextsEverythingPassesAtOnce) {
  StopTexts stops({});
  EXPECT_EQ(stops.Push("abc"), "abc");
  EXPECT_EQ(stops.Finish(), "");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopTextsTest, EndsBeforeTheStopText) {
  StopTexts stops({"END"});
  EXPECT_EQ(stops.Push("one END two"), "one ");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.Push("three"), "");
  EXPECT_EQ(stops.Finish(), "");
}

TEST(StopTextsTest, WhatMayBecomeAStopTextWaits) {
  StopTexts stops({"\n\nQ:"});
  EXPECT_EQ(stops.Push("answer\n"), "answer");
  EXPECT_EQ(stops.Push("\n"), "");
  EXPECT_EQ(stops.Push("more"), "\n\nmore");
  EXPECT_EQ(stops.Push("\n\nQ"), "");
  EXPECT_EQ(stops.Push(":"), "");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopTextsTest, WhatWaitsIsShownAtTheEnd) {
  StopTexts stops({"abcd"});
  EXPECT_EQ(stops.Push("xabc"), "x");
  EXPECT_EQ(stops.Finish(), "abc");
  EXPECT_FALSE(stops.stopped());
}

TEST(StopTextsTest, TheFirstOfSeveralEndsIt) {
  StopTexts stops({"late", "a"});
  EXPECT_EQ(stops.Push("be late"), "be ");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopTextsTest, PiecesOfAnySizeGiveTheSameText) {
  const std::string text = "ab aab aaab aaaab";
  StopTexts whole({"aaab"});
  const std::string want = whole.Push(text) + whole.Finish();
  StopTexts pieces({"aaab"});
  std::string got;
  for (const char c : text) got += pieces.Push(std::string(1, c));
  got += pieces.Finish();
  EXPECT_EQ(got, want);
  EXPECT_EQ(got, "ab aab ");
}

}  // namespace
}  // namespace vernier::stages
