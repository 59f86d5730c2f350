#include <set>
#include <string>

#include "common/digest.h"
#include "common/file.h"
#include "common/philox.h"
#include "common/text.h"
#include "gtest/gtest.h"

namespace vernier {
namespace {

TEST(PhiloxTest, EqualsThePublishedVectors) {
  // Known-answer tests of the Random123 distribution (kat_vectors), philox4x32 with 10 rounds.
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(ExcerptTest, EscapesWhatATerminalOrAProtoStringDoesNotTake) {
  EXPECT_EQ(Excerpt("it's \"\xC3\xA9\" \xF0\x9F\x99\x82"), "it's \"\xC3\xA9\" \xF0\x9F\x99\x82");
  EXPECT_EQ(Excerpt("a\n\x1b[31m\\"), "a\\n\\x1b[31m\\\\");
  EXPECT_EQ(Excerpt("\xFF\xFE{\xC3"), "\\xff\\xfe{\\xc3");
  EXPECT_EQ(Excerpt("abcdef", 3), "abc ...");
  EXPECT_EQ(Excerpt("ab\xC3\xA9", 3), "ab ...") << "a sequence is not cut in two";
}

TEST(KeyedPermutationTest, VisitsEverythingOnceForManySizes) {
  for (uint64_t size : {1, 2, 3, 7, 16, 100, 1000}) {
    const KeyedPermutation permutation(size, 42);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(permutation(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(KeyedPermutationTest, KeysGiveOtherOrders) {
  const KeyedPermutation a(1000, 1);
  const KeyedPermutation b(1000, 2);
  int equal = 0;
  for (uint64_t i = 0; i < 1000; ++i) equal += a(i) == b(i);
  EXPECT_LT(equal, 20);
}

TEST(DigestTest, Sha256OfAbc) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TextTest, NearestNameFindsTyposAndPartsButNotStrangers) {
  const std::vector<std::string> names = {"learning_rate", "rank", "alpha"};
  EXPECT_EQ(NearestName("lerning_rate", names), "learning_rate");
  EXPECT_EQ(NearestName("rate", names), "learning_rate");
  EXPECT_EQ(NearestName("zzzzzz", names), "");
  // Nobody typed that; looking for the nearest would take minutes.
  EXPECT_EQ(NearestName(std::string(4 << 20, 'x'), std::vector<std::string>(1000, std::string(4000, 'y'))),
            "");
}

TEST(TextTest, CountsHaveOneOfOneAndManyOfAnythingElse) {
  EXPECT_EQ(Counted(0, "row"), "0 rows");
  EXPECT_EQ(Counted(1, "row"), "1 row");
  EXPECT_EQ(Counted(2, "validation row"), "2 validation rows");
  EXPECT_EQ(Noun(1, "token"), "token");
}

TEST(TextTest, FirstInvalidUtf8) {
  EXPECT_EQ(FirstInvalidUtf8("h\xc3\xa9llo"), std::string::npos);
  EXPECT_EQ(FirstInvalidUtf8("ab\xff"), 2u);
  EXPECT_EQ(FirstInvalidUtf8("\xed\xa0\x80"), 0u);   // a surrogate
  EXPECT_EQ(FirstInvalidUtf8("\xc0\x80"), 0u);       // overlong
  EXPECT_EQ(FirstInvalidUtf8("a\xf0\x9f\x98"), 1u);  // cut
}

TEST(FileTest, AtomicWriteReplacesAndMapReads) {
  const std::string path = testing::TempDir() + "/file_test_" + RandomHex(4);
  ASSERT_TRUE(WriteFileAtomic(path, "one", 0600).ok());
  ASSERT_TRUE(WriteFileAtomic(path, "two", 0600).ok());
  EXPECT_EQ(ReadFile(path).value(), "two");
  EXPECT_EQ(ReadFile(path, 2).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MappedFile::Open(path)->bytes(), "two");
  EXPECT_EQ(ReadFile(path + ".none").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace vernier
