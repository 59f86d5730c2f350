// What autograd keeps between the forward and the backward pass of a micro-batch, counted layer by layer:
// every tensor that worker/models/common/decoder.cc, adapters/ and worker/objectives/ save for backward, once
// however many operations share it. tests/property/training/activation_bytes_test.cc compares the count with
// what LibTorch really allocates, for every family: a change there that keeps more or less breaks it.
//
// Letters   T tokens of the micro-batch, N of them labelled, L layers.
#pragma once

#include <cstdint>

#include "vernier/v1/model.pb.h"
#include "vernier/v1/tuning.pb.h"

namespace vernier::plan {

struct KeptBytes {
  int64_t layer_per_token = 0;  // by a layer
  int64_t first_layer_per_token =
      0;                           // by the first one, into which no gradient flows unless its input trains
  int64_t input_per_token = 0;     // by a checkpointed layer
  int64_t outside_per_token = 0;   // ids, positions, the last norm
  int64_t per_labelled_token = 0;  // the gradient to the head's input
  int64_t layer = 0;               // by a layer, whatever T: copies of trained weights in the compute type
  int64_t outside = 0;             // likewise by embedding and head

  // All of a micro-batch.
  int64_t Total(int64_t tokens, int64_t labelled, int64_t layers, int64_t checkpointed_layers) const;
};

KeptBytes KeptBytesOf(const v1::ModelShape& shape, const v1::Tuning& tuning, bool bf16);

// What comes on top of the kept bytes at the worst moment of a step.
struct ScratchBytes {
  int64_t loss = 0;   // logits of a chunk and their gradient, while everything is kept
  int64_t layer = 0;  // gradients within the last layer, and a checkpointed layer computed again
};
ScratchBytes ScratchBytesOf(const v1::ModelShape& shape, const v1::Tuning& tuning, bool bf16, int64_t tokens,
                            int64_t labelled);

// Numbers that an adapter trains: R * (I + O) of every adapted layer, all layers together.
int64_t LoraParameters(const v1::ModelShape& shape, const v1::Lora& lora);

// R of linear layer `linear` of layer `layer`; 0: not adapted. As CreateLora reads the options.
int64_t LoraRank(const v1::ModelShape& shape, const v1::Lora& lora, int64_t layer,
                 const v1::LinearShape& linear);

}  // namespace vernier::plan
