// The count itself is compared with LibTorch in tests/property/training/activation_bytes_test.cc.
#include "worker/plan/activations.h"

#include <gtest/gtest.h>

#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

v1::Tuning Lora(const std::string& fields) { return Parsed<v1::Tuning>("lora { " + fields + " }"); }

TEST(ActivationsTest, RanksFollowTargetsAndTheMostExactName) {
  const v1::ModelShape shape = SmolLm2();
  const v1::Lora lora = Lora(R"(rank: 8 targets: "q_proj" targets: "mlp.up_proj"
                                rank_by_module { key: "up_proj" value: 4 }
                                rank_by_module { key: "layers.2.mlp.up_proj" value: 32 })")
                            .lora();
  EXPECT_EQ(LoraRank(shape, lora, 0, shape.linears(0)), 8);
  EXPECT_EQ(LoraRank(shape, lora, 0, shape.linears(1)), 0);
  EXPECT_EQ(LoraRank(shape, lora, 0, shape.linears(5)), 4);
  EXPECT_EQ(LoraRank(shape, lora, 2, shape.linears(5)), 32);
}

TEST(ActivationsTest, AnAdapterHasRTimesInAndOutOfEveryLayer) {
  EXPECT_EQ(LoraParameters(SmolLm2(), Lora("rank: 16").lora()), 4'884'480);
  // One layer told apart from the others.
  EXPECT_EQ(LoraParameters(SmolLm2(), Lora(R"(rank: 1 targets: "layers.3.self_attn.q_proj")").lora()), 1152);
}

TEST(ActivationsTest, Bf16KeepsAboutHalf) {
  const KeptBytes fp32 = KeptBytesOf(SmolLm2(), Lora("rank: 16"), /*bf16=*/false);
  const KeptBytes bf16 = KeptBytesOf(SmolLm2(), Lora("rank: 16"), /*bf16=*/true);
  EXPECT_GT(bf16.layer_per_token, fp32.layer_per_token / 2);
  EXPECT_LT(bf16.layer_per_token, 0.51 * static_cast<double>(fp32.layer_per_token));
}

TEST(ActivationsTest, CheckpointedLayersKeepTheirInputAlone) {
  const KeptBytes kept = KeptBytesOf(SmolLm2(), Lora("rank: 16"), /*bf16=*/true);
  const int64_t none = kept.Total(1000, 500, 30, 0), some = kept.Total(1000, 500, 30, 10),
                more = kept.Total(1000, 500, 30, 11), all = kept.Total(1000, 500, 30, 30);
  EXPECT_EQ(some - more, 1000 * (kept.layer_per_token - kept.input_per_token));
  EXPECT_GT(none, some);
  EXPECT_LT(all, none / 5);
  EXPECT_EQ(all, kept.Total(1000, 500, 30, 1024)) << "more layers than there are mean all";
}

TEST(ActivationsTest, ShapesOfOlderImportsTurnWholeHeads) {
  v1::ModelShape shape = SmolLm2();
  const int64_t unknown = KeptBytesOf(shape, Lora("rank: 16"), true).outside_per_token;
  shape.set_angle_numbers(64);
  EXPECT_EQ(KeptBytesOf(shape, Lora("rank: 16"), true).outside_per_token, unknown);
  shape.set_angle_numbers(32);
  EXPECT_EQ(KeptBytesOf(shape, Lora("rank: 16"), true).outside_per_token, unknown - 32 * 4);
}

TEST(ActivationsTest, TheLossNeedsOneCopyOfAChunksLogits) {
  const auto loss = [](const v1::Tuning& tuning, bool bf16) {
    return ScratchBytesOf(SmolLm2(), tuning, bf16, 1000, 1000).loss;
  };
  // In bf16 with a packed copy of the head.
  EXPECT_EQ(loss(Lora("rank: 16"), /*bf16=*/true), 256 * 49152 * 2 + 49152 * 576 * 2);
  EXPECT_EQ(loss(Lora("rank: 16"), /*bf16=*/false), 256 * 49152 * 4);
  // With the head's gradient: its sum in fp32, and in bf16 what a chunk adds to it in fp32.
  const auto full = Parsed<v1::Tuning>("full { }");
  EXPECT_EQ(loss(full, /*bf16=*/true), 256 * 49152 * 2 + int64_t{49152} * 576 * 8);
  EXPECT_EQ(loss(full, /*bf16=*/false), 256 * 49152 * 4 + int64_t{49152} * 576 * 4);
}

TEST(ActivationsTest, LayersThatAreNotAdaptedKeepLess) {
  EXPECT_LT(
      KeptBytesOf(SmolLm2(), Lora(R"(rank: 16 targets: "q_proj" targets: "v_proj")"), true).layer_per_token,
      KeptBytesOf(SmolLm2(), Lora("rank: 16"), true).layer_per_token);
}

}  // namespace
}  // namespace vernier::plan
