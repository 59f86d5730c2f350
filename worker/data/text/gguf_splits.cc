#include "worker/data/text/gguf_splits.h"

#include <string>
#include <utility>

namespace vernier::data {
namespace {

using First = GgufSplit::First;

constexpr absl::string_view kLlama3[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kQwen2[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kQwen35[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kTekken[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kGpt4o[] = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kDeepSeekV3[] = {
    R"(\p{N}{1,3})", R"([一-龥぀-ゟ゠-ヿ]+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kThreeDigits[] = {"[0-9][0-9][0-9]"};
constexpr absl::string_view kTinyAya[] = {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o[0]};
constexpr absl::string_view kDeepSeekLlm[] = {
    R"([\r\n])",
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)",
    R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
    R"(\s+$)",
    R"([一-龥ࠀ-一가-퟿]+)",
    R"(\p{N})"};
constexpr absl::string_view kDeepSeekCoder[] = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
                                                R"([一-龥ࠀ-一가-퟿]+)", R"(\p{N})"};
constexpr absl::string_view kBloom[] = {R"( ?[^(\s|.,!?…。，、।۔،)]+)"};
constexpr absl::string_view kViking[] = {kBloom[0], R"(\p{N})"};
constexpr absl::string_view kSuperBpe[] = {R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"};
constexpr absl::string_view kBailing[] = {
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"};
constexpr absl::string_view kSeedCoder[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kExaoneMoe[] = {
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)"};
constexpr absl::string_view kUfakzeka[] = {
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};
constexpr absl::string_view kMiniCpm5[] = {
    R"(\p{N}{1,3})",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"};

constexpr GgufSplit kSplits[] = {
    {.name = "gpt-2", .gpt2 = true},
    {.name = "gpt2", .gpt2 = true},
    {.name = "phi-2", .gpt2 = true},
    {.name = "jais", .gpt2 = true},
    {.name = "trillion", .gpt2 = true},
    {.name = "granite-docling", .gpt2 = true},
    {.name = "exaone4", .gpt2 = true},
    {.name = "gigachat", .gpt2 = true},
    {.name = "a.x-4.0", .gpt2 = true},
    {.name = "mellum", .gpt2 = true},
    {.name = "jina-es", .gpt2 = true},
    {.name = "jina-de", .gpt2 = true},
    {.name = "jina-v2-es", .gpt2 = true},
    {.name = "jina-v2-de", .gpt2 = true},
    {.name = "jina-v1-en", .gpt2 = true},
    {.name = "jina-v2-code", .gpt2 = true},
    {.name = "mpt", .gpt2 = true, .nfc = true},
    {.name = "olmo", .gpt2 = true, .nfc = true},
    {.name = "modern-bert", .gpt2 = true, .nfc = true},
    {.name = "smollm", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "starcoder", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "refact", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "codeshell", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "exaone", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "minerva-7b", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "mellum2", .first = First::kSingleDigits, .gpt2 = true},
    {.name = "command-r", .first = First::kSingleDigits, .gpt2 = true, .nfc = true},
    {.name = "falcon", .patterns = kThreeDigits, .first = First::kFalcon},
    {.name = "llama-bpe", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "llama3", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "llama-v3", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "falcon3", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "falcon-h1", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "pixtral", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "midm-2.0", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "lfm2", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "jina-v5-nano", .patterns = kLlama3, .ignore_merges = true, .adds_bos = true},
    {.name = "dbrx", .patterns = kLlama3},
    {.name = "smaug-bpe", .patterns = kLlama3},
    {.name = "chatglm-bpe", .patterns = kLlama3},
    {.name = "glm4", .patterns = kLlama3},
    {.name = "qwen2", .patterns = kQwen2, .nfc = true},
    {.name = "deepseek-r1-qwen", .patterns = kQwen2},
    {.name = "stablelm2", .patterns = kQwen2},
    {.name = "hunyuan", .patterns = kQwen2},
    {.name = "solar-open", .patterns = kQwen2},
    {.name = "kormo", .patterns = kQwen2},
    {.name = "f2llmv2", .patterns = kQwen2},
    {.name = "megrez", .patterns = kQwen2},
    {.name = "grok-2", .patterns = kQwen2},
    {.name = "qwen35", .patterns = kQwen35, .nfc = true},
    {.name = "tekken", .patterns = kTekken, .ignore_merges = true, .adds_bos = true},
    {.name = "gpt-4o", .patterns = kGpt4o, .ignore_merges = true},
    {.name = "llama4", .patterns = kGpt4o, .ignore_merges = true},
    {.name = "kanana2", .patterns = kGpt4o},
    {.name = "talkie", .patterns = kGpt4o},
    {.name = "minimax-m2", .patterns = kGpt4o},
    {.name = "tiny_aya", .patterns = kTinyAya},
    {.name = "cohere2moe", .patterns = kTinyAya},
    {.name = "deepseek-llm", .patterns = kDeepSeekLlm},
    {.name = "deepseek-coder", .patterns = kDeepSeekCoder},
    {.name = "deepseek-v3", .patterns = kDeepSeekV3},
    {.name = "hunyuan-dense", .patterns = kDeepSeekV3},
    {.name = "joyai-llm", .patterns = kDeepSeekV3},
    {.name = "hy_v4", .patterns = kDeepSeekV3},
    {.name = "bloom", .patterns = kBloom},
    {.name = "poro-chat", .patterns = kBloom},
    {.name = "gpt3-finnish", .patterns = kBloom},
    {.name = "viking", .patterns = kViking},
    {.name = "superbpe", .patterns = kSuperBpe},
    {.name = "bailingmoe", .patterns = kBailing},
    {.name = "bailingmoe2", .patterns = kBailing},
    {.name = "llada-moe", .patterns = kBailing},
    {.name = "seed-coder", .patterns = kSeedCoder},
    {.name = "exaone-moe", .patterns = kExaoneMoe},
    {.name = "ufakzeka", .patterns = kUfakzeka},
    {.name = "minicpm5", .patterns = kMiniCpm5, .ignore_merges = true},
};

}  // namespace

absl::Span<const GgufSplit> GgufSplits() { return kSplits; }

OrderedJson ByteLevelJson(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

OrderedJson SplitJson(const GgufSplit& split) {
  OrderedJson steps = OrderedJson::array();
  switch (split.first) {
    case GgufSplit::First::kNothing:
      break;
    case GgufSplit::First::kSingleDigits:
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
      break;
    case GgufSplit::First::kFalcon:
      steps.push_back({{"type", "Punctuation"}, {"behavior", "Contiguous"}});
      steps.push_back(ByteLevelJson(/*use_regex=*/true));
      steps.push_back({{"type", "Digits"}, {"individual_digits", false}});
      break;
  }
  for (const absl::string_view pattern : split.patterns) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", std::string(pattern)}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  if (split.first != GgufSplit::First::kFalcon) steps.push_back(ByteLevelJson(/*use_regex=*/split.gpt2));
  return StepsJson(std::move(steps), "pretokenizers");
}

}  // namespace vernier::data
