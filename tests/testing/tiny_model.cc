#include "tests/testing/tiny_model.h"

#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "storage/folder_store.h"
#include "storage/layout.h"
#include "storage/model_import.h"
#include "storage/safetensors.h"
#include "worker/data/prepared_file.h"
#include "worker/data/prepared_manifest.h"
#include "worker/data/text/byte_level.h"

namespace vernier::tiny {
namespace {

using Json = nlohmann::json;

constexpr int64_t kWidth = 32;
constexpr int64_t kKvWidth = 16;
constexpr int64_t kInner = 64;
constexpr int kLayers = 2;
constexpr char kTemplate[] =
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor "
    "%}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}";

Json Config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", kVocabulary},
          {"hidden_size", kWidth},
          {"intermediate_size", kInner},
          {"num_hidden_layers", kLayers},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"max_position_embeddings", kContext},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", true},
          {"torch_dtype", "float32"},
          {"eos_token_id", kEnd}};
}

Json Tokenizer() {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[data::SymbolsOfBytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  const auto special = [](int id, const char* content) {
    return Json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {special(kEnd, "<|end|>"), special(257, "<|start|>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", std::move(vocabulary)},
            {"merges", Json::array()}}}};
}

// Uniform in +-bound, a pure function of (seed, tensor).
std::vector<float> Uniform(int64_t size, double bound, uint64_t seed, uint64_t tensor) {
  const PhiloxKey key = PhiloxKeyOf(DeriveSeed(seed, tensor));
  std::vector<float> values(size);
  for (int64_t i = 0; i < size; ++i) {
    const PhiloxCounter bits = Philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, key);
    values[i] = static_cast<float>(bound * (2.0 * UnitFloat(bits[0]) - 1.0));
  }
  return values;
}

class Weights {
 public:
  explicit Weights(uint64_t seed) : seed_(seed) {}
  void AddMatrix(std::string name, int64_t rows, int64_t columns, double bound) {
    values_.push_back(Uniform(rows * columns, bound, seed_, values_.size()));
    specs_.push_back({.name = std::move(name), .shape = {rows, columns}});
  }
  void AddLinear(std::string name, int64_t out, int64_t in) {
    AddMatrix(std::move(name), out, in, std::sqrt(3.0 / static_cast<double>(in)));
  }
  void AddOnes(std::string name, int64_t size) {
    values_.emplace_back(size, 1.0f);
    specs_.push_back({.name = std::move(name), .shape = {size}});
  }
  std::vector<storage::TensorView> Views() const {
    std::vector<storage::TensorView> views;
    for (size_t i = 0; i < specs_.size(); ++i) {
      storage::TensorView view;
      static_cast<storage::TensorSpec&>(view) = specs_[i];
      view.bytes = {reinterpret_cast<const char*>(values_[i].data()), values_[i].size() * sizeof(float)};
      views.push_back(std::move(view));
    }
    return views;
  }

 private:
  const uint64_t seed_;
  std::vector<storage::TensorSpec> specs_;
  std::vector<std::vector<float>> values_;
};

Weights MakeWeights(uint64_t seed) {
  Weights weights(seed);
  weights.AddMatrix("model.embed_tokens.weight", kVocabulary, kWidth, 0.5);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string at = absl::StrCat("model.layers.", layer, ".");
    weights.AddOnes(at + "input_layernorm.weight", kWidth);
    weights.AddLinear(at + "self_attn.q_proj.weight", kWidth, kWidth);
    weights.AddLinear(at + "self_attn.k_proj.weight", kKvWidth, kWidth);
    weights.AddLinear(at + "self_attn.v_proj.weight", kKvWidth, kWidth);
    weights.AddLinear(at + "self_attn.o_proj.weight", kWidth, kWidth);
    weights.AddOnes(at + "post_attention_layernorm.weight", kWidth);
    weights.AddLinear(at + "mlp.gate_proj.weight", kInner, kWidth);
    weights.AddLinear(at + "mlp.up_proj.weight", kInner, kWidth);
    weights.AddLinear(at + "mlp.down_proj.weight", kWidth, kInner);
  }
  weights.AddOnes("model.norm.weight", kWidth);
  return weights;
}

data::PreparedSplit SplitOf(const std::vector<Row>& rows) {
  data::PreparedSplit split;
  for (const Row& row : rows) {
    const auto add = [&](absl::string_view text, float weight) {
      for (const char c : text) {
        split.ids.push_back(static_cast<unsigned char>(c));
        split.weights.push_back(weight);
      }
    };
    add(row.prompt, 0.0f);
    add(row.answer, row.weight);
    split.ids.push_back(kEnd);
    split.weights.push_back(row.weight);
    split.row_offsets.push_back(static_cast<int64_t>(split.ids.size()));
    split.lines.push_back(static_cast<int64_t>(split.lines.size()) + 1);
    split.prompt_lengths.push_back(static_cast<int64_t>(row.prompt.size()));
  }
  return split;
}

}  // namespace

absl::Status WriteModelFolder(const std::string& folder, uint64_t seed) {
  VN_RETURN_IF_ERROR(MakeDirs(folder));
  VN_RETURN_IF_ERROR(WriteFileAtomic(folder + "/config.json", Config().dump(1)));
  VN_RETURN_IF_ERROR(WriteFileAtomic(folder + "/tokenizer.json", Tokenizer().dump(1)));
  const Json tokenizer_config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                 {"eos_token", "<|end|>"},
                                 {"model_max_length", kContext},
                                 {"chat_template", kTemplate}};
  VN_RETURN_IF_ERROR(WriteFileAtomic(folder + "/tokenizer_config.json", tokenizer_config.dump(1)));
  const Weights weights = MakeWeights(seed);
  VN_ASSIGN_OR_RETURN(const auto store, storage::FolderStore::Open({.root = folder}));
  VN_RETURN_IF_ERROR(storage::WriteSafetensors(*store, "model.safetensors", storage::WriteMode::kReplace,
                                               weights.Views(), {{"format", "pt"}})
                         .status());
  std::error_code ignored;  // the store's own folder for unfinished writes
  std::filesystem::remove_all(folder + "/.tmp", ignored);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImportModel(storage::ObjectStore& store, const std::string& tenant,
                                        uint64_t seed) {
  std::string folder = (std::filesystem::temp_directory_path() / "vernier-tiny-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, folder);
  const absl::Status written = WriteModelFolder(folder, seed);
  const absl::StatusOr<storage::ImportedModel> model = written.ok()
                                                           ? storage::ImportModel(folder, store, tenant, {})
                                                           : absl::StatusOr<storage::ImportedModel>(written);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  VN_RETURN_IF_ERROR(model.status());
  return storage::ModelFolder(tenant, model->digest);
}

std::vector<Row> MakeRows(int count, int first) {
  constexpr const char* kDigits[] = {"zero", "one", "two",   "three", "four",
                                     "five", "six", "seven", "eight", "nine"};
  std::vector<Row> rows;
  for (int number = first; number < first + count; ++number) {
    const std::string digits = absl::StrCat(number);
    Row row{.prompt = absl::StrCat(digits, " is "), .answer = ""};
    for (const char digit : digits)
      absl::StrAppend(&row.answer, row.answer.empty() ? "" : " ", kDigits[digit - '0']);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string RowsAsJsonl(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    const Json json = {
        {"messages",
         {{{"role", "user"}, {"content", row.prompt}}, {{"role", "assistant"}, {"content", row.answer}}}}};
    absl::StrAppend(&text, json.dump(), "\n");
  }
  return text;
}

absl::Status WritePrepared(storage::ObjectStore& store, const std::string& prefix,
                           const std::vector<Row>& train, const std::vector<Row>& validation) {
  v1::DataReport report;
  report.set_num_rows(static_cast<int64_t>(train.size()));
  report.set_num_validation_rows(static_cast<int64_t>(validation.size()));
  VN_ASSIGN_OR_RETURN(const std::string report_json, data::ReportToJson(report));
  const std::map<std::string, std::string> files = {
      {data::kTrainFile, data::EncodePreparedFile(SplitOf(train))},
      {data::kValidationFile, data::EncodePreparedFile(SplitOf(validation))},
      {data::kReportFile, report_json}};
  data::PreparedManifest manifest;
  std::string all;
  for (const auto& [name, bytes] : files) {
    VN_RETURN_IF_ERROR(store.Put(absl::StrCat(prefix, "/", name), bytes));
    manifest.files[name] = {static_cast<int64_t>(bytes.size()), Sha256Hex(bytes)};
    all += bytes;
  }
  manifest.facts = {.digest = Sha256Hex(all),
                    .tokenizer_digest = Sha256Hex("tiny"),
                    .template_digest = Sha256Hex(kTemplate),
                    .format = "prompt_completion",
                    .eos_id = kEnd};
  return store.Put(absl::StrCat(prefix, "/", data::kManifestFile), data::ManifestToJson(manifest));
}

}  // namespace vernier::tiny
