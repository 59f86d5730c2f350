#include "worker/stages/answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/text/decode_stream.h"
#include "worker/stages/stop_texts.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

constexpr int kMaxStops = 16;

}  // namespace

absl::StatusOr<AnswerOptions> ReadDecoding(const v1::Decoding& decoding, uint64_t default_seed) {
  const auto outside = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(absl::StrCat("decoding.", field, " = ", value, " is outside ", range));
  };
  AnswerOptions options;
  models::GenerateOptions& generate = options.generate;
  if (decoding.has_max_new_tokens()) generate.max_new_tokens = decoding.max_new_tokens();
  if (generate.max_new_tokens < 1 || generate.max_new_tokens > 65536) {
    return outside("max_new_tokens", static_cast<double>(generate.max_new_tokens), "[1, 65536]");
  }
  generate.temperature = decoding.temperature();
  if (!(generate.temperature >= 0 && generate.temperature <= 10)) {
    return outside("temperature", generate.temperature, "[0, 10]");
  }
  if (decoding.has_top_p()) generate.top_p = decoding.top_p();
  if (!(generate.top_p > 0 && generate.top_p <= 1)) return outside("top_p", generate.top_p, "(0, 1]");
  generate.top_k = decoding.top_k();
  if (generate.top_k < 0) return outside("top_k", static_cast<double>(generate.top_k), "[0, 2147483647]");
  generate.seed = decoding.has_seed() ? decoding.seed() : default_seed;
  if (decoding.stop_size() > kMaxStops) {
    return absl::InvalidArgumentError(absl::StrCat("decoding.stop has ", decoding.stop_size(),
                                                   " texts, at most ", kMaxStops, " are allowed"));
  }
  for (const std::string& stop : decoding.stop()) {
    if (stop.empty())
      return absl::InvalidArgumentError("decoding.stop: an empty text would end every answer; remove it");
    options.stops.push_back(stop);
  }
  return options;
}

std::vector<int64_t> StopIds(const models::CausalLm& model, const data::Tokenizer& tokenizer) {
  std::vector<int64_t> ids = model.config().eos_token_ids;
  if (const auto eos = tokenizer.eos_id();
      eos.has_value() && std::find(ids.begin(), ids.end(), *eos) == ids.end()) {
    ids.push_back(*eos);
  }
  return ids;
}

absl::StatusOr<Answer> GenerateAnswer(const models::CausalLm& model, const models::Overlay& overlay,
                                      const data::Tokenizer& tokenizer, absl::Span<const int32_t> prompt,
                                      const AnswerOptions& options, const OnPiece& on_piece) {
  Answer answer;
  models::GenerateOptions generate = options.generate;
  generate.stop_ids = StopIds(model, tokenizer);
  const int64_t room = model.config().max_positions - static_cast<int64_t>(prompt.size());
  generate.max_new_tokens = std::min(generate.max_new_tokens, room);
  if (room <= 0) return answer;

  data::DecodeStream decoded(tokenizer, /*skip_special=*/true);
  StopTexts stop_texts(options.stops);
  bool wanted = true;
  const auto show = [&](const std::string& piece) {
    answer.text += piece;
    wanted = on_piece(piece) && wanted;
  };
  const std::vector<int64_t> ids(prompt.begin(), prompt.end());
  VN_ASSIGN_OR_RETURN(const models::GeneratedTokens generated, trainer::TorchCall("generating", [&] {
                        return models::Generate(model, overlay, ids, generate, [&](int64_t id) {
                          show(stop_texts.Push(decoded.Push(static_cast<int32_t>(id))));
                          return wanted && !stop_texts.stopped();
                        });
                      }));
  show(stop_texts.Push(decoded.Finish()));
  show(stop_texts.Finish());
  answer.num_tokens = static_cast<int64_t>(generated.ids.size());
  answer.stopped = generated.stopped || stop_texts.stopped();
  return answer;
}

}  // namespace vernier::stages
