// SmolLM2-135M as a plan sees it, and a stage that trains it.
#pragma once

#include <string>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/model.pb.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::plan {

template <typename Message>
Message Parsed(const std::string& text) {
  Message message;
  if (!google::protobuf::TextFormat::ParseFromString(text, &message)) ADD_FAILURE() << "malformed: " << text;
  return message;
}

inline v1::ModelShape SmolLm2() {
  return Parsed<v1::ModelShape>(R"(
    hidden_size: 576 num_layers: 30 num_heads: 9 num_kv_heads: 3 head_dim: 64 intermediate_size: 1536
    vocab_size: 49152 rotary: true tied_head: true layers_name: "model.layers"
    linears { name: "self_attn.q_proj" in_features: 576 out_features: 576 }
    linears { name: "self_attn.k_proj" in_features: 576 out_features: 192 }
    linears { name: "self_attn.v_proj" in_features: 576 out_features: 192 }
    linears { name: "self_attn.o_proj" in_features: 576 out_features: 576 }
    linears { name: "mlp.gate_proj" in_features: 576 out_features: 1536 }
    linears { name: "mlp.up_proj" in_features: 576 out_features: 1536 }
    linears { name: "mlp.down_proj" in_features: 1536 out_features: 576 }
    norms: "input_layernorm" norms: "post_attention_layernorm"
    matrix_parameters: 134479872 vector_parameters: 35136 stored_bytes: 538060032 stored_fp32: true)");
}

// An effective stage; `fields` are merged into it.
inline v1::TrainStage Stage(const std::string& fields = "") {
  auto stage = Parsed<v1::TrainStage>(R"(
    data { max_tokens: 8192 on_overlong: ON_OVERLONG_REFUSE }
    tuning { lora { rank: 16 targets: "all_linear" } }
    optimizer { adamw { } } batch { rows: 16 } epochs: 1 precision: PRECISION_AUTO
    checkpoint { every_steps: 50 } micro_batch_tokens: 2048 virtual_shards: 4)");
  if (!fields.empty()) {
    // Of a oneof the newest counts, of a repeated field all would.
    const auto more = Parsed<v1::TrainStage>(fields);
    if (more.has_tuning()) stage.clear_tuning();
    stage.MergeFrom(more);
  }
  return stage;
}

// `rows` rows of the same length, half of whose tokens are trained.
inline v1::DataReport RowsOf(int64_t rows, int64_t tokens) {
  v1::DataReport report;
  report.set_num_rows(rows);
  report.set_num_tokens(rows * tokens);
  report.set_num_trained_tokens(rows * tokens / 2);
  report.set_max_row_tokens(static_cast<int32_t>(tokens));
  v1::LengthBucket& bucket = *report.add_lengths();
  int64_t bound = 16;
  while (bound < tokens) bound *= 2;
  bucket.set_max_tokens(bound);
  bucket.set_num_rows(rows);
  bucket.set_num_tokens(rows * tokens);
  return report;
}

}  // namespace vernier::plan
