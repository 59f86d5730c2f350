#include "tests/unit/worker_stages/stage_world.h"

#include "worker/trainer/numeric_class.h"

namespace vernier::stages {

void StageWorld::ConfigureOnce() {
  [[maybe_unused]] static const bool done = [] {
    trainer::ConfigureTorch(1);
    return true;
  }();
}

v1::TrainStage SmallStage() {
  v1::TrainStage stage;
  stage.mutable_tuning()->mutable_lora()->set_rank(4);
  stage.mutable_objective()->mutable_causal_lm();
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(1e-2);
  stage.mutable_schedule()->mutable_cosine();
  stage.mutable_schedule()->set_warmup_steps(2);
  stage.mutable_batch()->set_rows(4);
  stage.set_max_steps(8);
  stage.set_precision(v1::PRECISION_FP32);
  stage.mutable_validate()->set_every_steps(3);
  stage.mutable_checkpoint()->set_every_steps(2);
  stage.set_micro_batch_tokens(64);
  stage.set_virtual_shards(2);
  return stage;
}

}  // namespace vernier::stages
