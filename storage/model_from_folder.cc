#include "storage/model_from_folder.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "storage/model_context.h"
#include "storage/model_family.h"
#include "storage/safetensors.h"
#include "storage/source_path.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kConfig = "config.json";
constexpr absl::string_view kTokenizer = "tokenizer.json";
constexpr absl::string_view kSentencePiece = "tokenizer.model";
constexpr absl::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr absl::string_view kTemplate = "chat_template.jinja";
constexpr absl::string_view kSingle = "model.safetensors";
constexpr absl::string_view kIndex = "model.safetensors.index.json";
// Copied when the folder has them.
constexpr absl::string_view kOptional[] = {"generation_config.json", kTokenizerConfig,
                                           "special_tokens_map.json", kTemplate};
constexpr size_t kMaxFolderEntries = 10'000;
constexpr size_t kMaxShards = 10'000;
constexpr int64_t kMaxTokenizerBytes = int64_t{256} << 20;

class FolderReader {
 public:
  FolderReader(const std::string& folder, const std::string& root, const TokenizerFromFolder& tokenizer)
      : folder_(folder), root_(root), tokenizer_(tokenizer) {}

  absl::StatusOr<ModelDraft> Read() {
    VN_RETURN_IF_ERROR(ReadConfig());
    VN_RETURN_IF_ERROR(AddFile(kConfig));
    const bool has_pieces = tokenizer_ && Exists(kSentencePiece);
    if (!Exists(kTokenizer) && !has_pieces) {
      return absl::NotFoundError(absl::StrCat(PathOf(kTokenizer), ": no such file",
                                              tokenizer_ ? ", nor is there tokenizer.model" : "",
                                              "; save the tokenizer in the `tokenizers` library's form ",
                                              "(tokenizer.save_pretrained of a fast tokenizer)"));
    }
    if (Exists(kTokenizer)) VN_RETURN_IF_ERROR(AddFile(kTokenizer));
    for (const absl::string_view name : kOptional) {
      if (Exists(name)) VN_RETURN_IF_ERROR(AddFile(name));
    }
    VN_ASSIGN_OR_RETURN(draft_.model.has_chat_template, HasChatTemplate());
    VN_RETURN_IF_ERROR(ReadWeights());
    if (tokenizer_) VN_RETURN_IF_ERROR(ReadTokenizer());
    return std::move(draft_);
  }

 private:
  std::string PathOf(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

  // Also a link to nowhere: that is an error later, not an absence.
  bool Exists(absl::string_view name) const {
    std::error_code error;
    return std::filesystem::symlink_status(PathOf(name), error).type() !=
           std::filesystem::file_type::not_found;
  }

  absl::Status AddFile(absl::string_view name) {
    VN_ASSIGN_OR_RETURN(const std::string path, ResolveFile(PathOf(name), root_));
    std::error_code error;
    const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
    if (error) return ErrnoStatus(error.value(), PathOf(name));
    draft_.files.push_back(
        {std::string(name), size, [path](ByteSink& sink) { return StreamFile(path, sink); }});
    return absl::OkStatus();
  }

  // "" when the folder has no such file.
  absl::StatusOr<std::string> ReadTokenizerFile(absl::string_view name) const {
    if (!Exists(name)) return "";
    VN_ASSIGN_OR_RETURN(const std::string path, ResolveFile(PathOf(name), root_));
    return ReadFile(path, kMaxTokenizerBytes);
  }

  // Checks the tokenizer, and writes tokenizer.json where the folder has none.
  absl::Status ReadTokenizer() {
    TokenizerFiles files;
    VN_ASSIGN_OR_RETURN(files.tokenizer_json, ReadTokenizerFile(kTokenizer));
    VN_ASSIGN_OR_RETURN(files.tokenizer_model, ReadTokenizerFile(kSentencePiece));
    VN_ASSIGN_OR_RETURN(files.tokenizer_config_json, ReadTokenizerFile(kTokenizerConfig));
    files.embedding_rows = vocab_rows_;
    absl::StatusOr<std::string> text = tokenizer_(files);
    if (!text.ok()) return Annotate(text.status(), folder_);
    if (files.tokenizer_json.empty()) {
      draft_.files.push_back(TextFile(std::string(kTokenizer), *std::move(text)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Json> ReadJson(absl::string_view name) const {
    VN_ASSIGN_OR_RETURN(const std::string path, ResolveFile(PathOf(name), root_));
    VN_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, JsonLimits{}.max_bytes));
    VN_ASSIGN_OR_RETURN(Json json, ParseJson(text, PathOf(name)));
    if (!json.is_object()) return Bad(name, "is not a JSON object");
    return json;
  }

  absl::Status Bad(absl::string_view name, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(PathOf(name), ": ", what));
  }

  absl::StatusOr<int64_t> PositiveField(const Json& config, absl::string_view field) const {
    const auto found = config.find(std::string(field));
    if (found == config.end() || !found->is_number_integer()) {
      return Bad(kConfig, absl::StrCat(field, " is missing or not an integer"));
    }
    const auto value = found->get<int64_t>();
    if (value < 1 || value >= int64_t{1} << 31) {
      return Bad(kConfig, absl::StrCat(field, " = ", value, " is outside [1, 2^31)"));
    }
    return value;
  }

  absl::Status ReadConfig() {
    if (!Exists(kConfig)) return NoModel();
    VN_ASSIGN_OR_RETURN(const Json config, ReadJson(kConfig));
    const auto type = config.find("model_type");
    if (type == config.end() || !type->is_string())
      return Bad(kConfig, "model_type is missing or not a string");
    VN_ASSIGN_OR_RETURN(family_, FindModelFamily(PathOf(kConfig), type->get_ref<const std::string&>()));
    VN_RETURN_IF_ERROR(CheckClass(config));
    const auto quantized = config.find("quantization_config");
    if (quantized != config.end() && !quantized->is_null()) {
      const Json method =
          quantized->is_object() ? quantized->value("quant_method", Json("unnamed")) : Json("unnamed");
      return Bad(
          kConfig,
          absl::StrCat("the weights are quantised (",
                       method.is_string() ? Excerpt(method.get<std::string>()) : "unnamed",
                       "), which is not supported in Hugging Face folders; import the original model"));
    }
    draft_.model.architecture = std::string(family_->name);
    VN_RETURN_IF_ERROR(CheckRopeTypes(config));
    VN_ASSIGN_OR_RETURN(draft_.model.context_length, ReadContext(config));
    VN_ASSIGN_OR_RETURN(draft_.model.vocab_size, PositiveField(config, "vocab_size"));
    const auto tied = config.find("tie_word_embeddings");
    tied_ = tied != config.end() && tied->is_boolean() ? tied->get<bool>() : family_->tied_by_default;
    return absl::OkStatus();
  }

  // The names of rotary scalings; what else may be wrong with them is said when the model is loaded.
  absl::Status CheckRopeTypes(const Json& config) const {
    if (family_->rope_types.empty()) return absl::OkStatus();
    for (const char* const field : {"rope_scaling", "rope_parameters"}) {
      const auto rope = config.find(field);
      if (rope == config.end() || !rope->is_object()) continue;
      VN_RETURN_IF_ERROR(CheckRopeType(field, *rope));
      // One for each kind of layer.
      for (const auto& [kind, value] : rope->items()) {
        if (!value.is_object()) continue;
        VN_RETURN_IF_ERROR(CheckRopeType(absl::StrCat(field, ".", Excerpt(kind)), value));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckRopeType(absl::string_view field, const Json& rope) const {
    const auto type = rope.contains("rope_type") ? rope.find("rope_type") : rope.find("type");
    if (type == rope.end() || !type->is_string()) return absl::OkStatus();
    const std::string& name = type->get_ref<const std::string&>();
    if (absl::c_linear_search(family_->rope_types, name)) return absl::OkStatus();
    return Bad(kConfig,
               absl::StrCat(field, ": type \"", Excerpt(name), "\" is not supported for ", family_->name,
                            "; supported: ", absl::StrJoin(family_->rope_types, ", ")));
  }

  // Lenient, as above.
  absl::StatusOr<int64_t> ReadContext(const Json& config) const {
    VN_ASSIGN_OR_RETURN(const int64_t positions, PositiveField(config, family_->context_field));
    for (const char* const field : {"rope_scaling", "rope_parameters"}) {
      const auto rope = config.find(field);
      if (rope == config.end() || !rope->is_object()) continue;
      const auto type = rope->contains("rope_type") ? rope->find("rope_type") : rope->find("type");
      const auto factor = rope->find("factor");
      // Beside the object it counts before the one within.
      constexpr char kOriginal[] = "original_max_position_embeddings";
      const auto beside = config.find(kOriginal);
      const auto original = beside != config.end() ? beside : rope->find(kOriginal);
      if (type == rope->end() || !type->is_string() || factor == rope->end() || !factor->is_number()) break;
      const bool has_original =
          (beside != config.end() || original != rope->end()) && original->is_number_integer();
      return ScaledContext(type->get_ref<const std::string&>(), factor->get<double>(),
                           has_original ? original->get<int64_t>() : positions, positions);
    }
    return positions;
  }

  // A model_type has several classes; only the causal language model has a head for what comes next.
  absl::Status CheckClass(const Json& config) const {
    const auto classes = config.find("architectures");
    if (classes == config.end() || classes->is_null()) return absl::OkStatus();
    if (!classes->is_array() || classes->empty()) return Bad(kConfig, "architectures is not a list of names");
    for (const Json& name : *classes) {
      if (name.is_string() && name.get_ref<const std::string&>() == family_->causal_class)
        return absl::OkStatus();
    }
    const Json& first = classes->front();
    return Bad(kConfig, absl::StrCat("class \"", first.is_string() ? Excerpt(first.get<std::string>()) : "?",
                                     "\" of architecture ", family_->name,
                                     " is not supported; supported: ", family_->causal_class));
  }

  // The folder has no config.json: says what it has instead.
  absl::Status NoModel() const {
    if (Exists("adapter_config.json")) {
      return Bad(kConfig,
                 "no such file: the folder holds an adapter, not a model; import the base model it names");
    }
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> gguf, FirstWithSuffix({".gguf"}));
    if (gguf.has_value()) {
      return Bad(kConfig, absl::StrCat("no such file; to import the GGUF file, name it: ", PathOf(*gguf)));
    }
    return absl::NotFoundError(
        absl::StrCat(PathOf(kConfig), ": no such file; a Hugging Face folder or a GGUF file is expected"));
  }

  // The first name in the folder, in order, that ends so.
  absl::StatusOr<std::optional<std::string>> FirstWithSuffix(
      const std::vector<absl::string_view>& suffixes) const {
    std::error_code error;
    std::filesystem::directory_iterator entries(folder_, error);
    std::optional<std::string> first;
    size_t num_entries = 0;
    for (; !error && entries != std::filesystem::directory_iterator() && num_entries < kMaxFolderEntries;
         entries.increment(error), ++num_entries) {
      const std::string name = entries->path().filename().string();
      for (const absl::string_view suffix : suffixes) {
        if (absl::EndsWith(name, suffix) && (!first.has_value() || name < *first)) first = name;
      }
    }
    if (error) return ErrnoStatus(error.value(), folder_);
    return first;
  }

  absl::StatusOr<bool> HasChatTemplate() const {
    if (Exists(kTemplate)) return true;
    if (!Exists(kTokenizerConfig)) return false;
    VN_ASSIGN_OR_RETURN(const Json config, ReadJson(kTokenizerConfig));
    const auto found = config.find("chat_template");
    return found != config.end() && !found->is_null();
  }

  absl::Status ReadWeights() {
    if (Exists(kSingle)) {
      VN_RETURN_IF_ERROR(ReadShard(kSingle, nullptr));
    } else if (Exists(kIndex)) {
      VN_RETURN_IF_ERROR(ReadShards());
    } else {
      return NoWeights();
    }
    if (vocab_rows_ == 0) {
      return Bad(weights_name_, absl::StrCat("has no token embedding (a tensor ", family_->embedding, ")"));
    }
    if (vocab_rows_ != draft_.model.vocab_size) {
      return Bad(kConfig, absl::StrCat("vocab_size = ", draft_.model.vocab_size,
                                       ", but the token embedding has ", vocab_rows_, " rows"));
    }
    if (!tied_ && !has_head_) {
      return Bad(weights_name_, absl::StrCat("has no ", family_->head,
                                             ", and config.json does not tie it to the embedding; "
                                             "set tie_word_embeddings to true if the embedding is the head"));
    }
    return absl::OkStatus();
  }

  absl::Status NoWeights() const {
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> pickle,
                        FirstWithSuffix({".bin", ".pt", ".pth", ".ckpt", ".pkl"}));
    if (pickle.has_value()) {
      return Bad(*pickle,
                 absl::StrCat("pickle files can run code when they are read, so they are refused; save the ",
                              "model again with save_pretrained(..., safe_serialization=True)"));
    }
    return absl::NotFoundError(absl::StrCat(PathOf(kSingle), ": no such file, and there is no ", kIndex));
  }

  absl::Status ReadShards() {
    weights_name_ = kIndex;
    VN_ASSIGN_OR_RETURN(const Json index, ReadJson(kIndex));
    const auto map = index.find("weight_map");
    if (map == index.end() || !map->is_object() || map->empty()) {
      return Bad(kIndex, "weight_map is missing, empty or not an object");
    }
    std::map<std::string, std::set<std::string>> shards;  // file -> its tensors
    for (const auto& [tensor, file] : map->items()) {
      if (!file.is_string()) {
        return Bad(kIndex, absl::StrCat("weight_map: the file of \"", Excerpt(tensor), "\" is not a string"));
      }
      const std::string& name = file.get_ref<const std::string&>();
      if (!CheckKey(name).ok() || absl::StrContains(name, '/') || !absl::EndsWith(name, ".safetensors")) {
        return Bad(kIndex, absl::StrCat("weight_map: \"", Excerpt(name),
                                        "\" is not the name of a .safetensors file in the same folder"));
      }
      shards[name].insert(tensor);
    }
    if (shards.size() > kMaxShards) {
      return Bad(kIndex,
                 absl::StrCat("names ", shards.size(), " files, more than the limit of ", kMaxShards));
    }
    VN_RETURN_IF_ERROR(AddFile(kIndex));
    for (const auto& [name, tensors] : shards) {
      if (!Exists(name)) {
        return absl::NotFoundError(absl::StrCat(PathOf(name), ": no such file, but ", kIndex, " names it (",
                                                shards.size(), " shards in all); download the folder again"));
      }
      VN_RETURN_IF_ERROR(ReadShard(name, &tensors));
    }
    return absl::OkStatus();
  }

  // `expected`: the names that the index gives to this file; null: there is no index.
  absl::Status ReadShard(absl::string_view name, const std::set<std::string>* expected) {
    VN_ASSIGN_OR_RETURN(const std::string path, ResolveFile(PathOf(name), root_));
    VN_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
    size_t num_expected = 0;
    for (const TensorView& tensor : file.tensors()) {
      if (expected != nullptr) {
        if (!expected->contains(tensor.name)) {
          return Bad(name, absl::StrCat("has the tensor \"", Excerpt(tensor.name), "\", which ", kIndex,
                                        " does not place in this file"));
        }
        ++num_expected;
      }
      VN_RETURN_IF_ERROR(CountTensor(name, tensor));
    }
    if (expected != nullptr && num_expected < expected->size()) {
      for (const std::string& tensor : *expected) {
        if (file.Find(tensor).ok()) continue;
        return Bad(name,
                   absl::StrCat("has no tensor \"", Excerpt(tensor), "\", but ", kIndex, " places it here"));
      }
    }
    return AddFile(name);
  }

  absl::Status CountTensor(absl::string_view file, const TensorView& tensor) {
    // Masks and rotary tables that old checkpoints carry along; nobody reads them.
    if (absl::EndsWith(tensor.name, ".attn.bias") || absl::EndsWith(tensor.name, ".attn.masked_bias") ||
        absl::EndsWith(tensor.name, ".attention.bias") ||
        absl::EndsWith(tensor.name, ".attention.masked_bias") ||
        absl::EndsWith(tensor.name, ".rotary_emb.inv_freq")) {
      return absl::OkStatus();
    }
    if (tensor.dtype != Dtype::kF64 && tensor.dtype != Dtype::kF32 && tensor.dtype != Dtype::kF16 &&
        tensor.dtype != Dtype::kBF16) {
      return Bad(file, absl::StrCat("tensor \"", Excerpt(tensor.name), "\" has the type ",
                                    DtypeName(tensor.dtype), "; weights must be F64, F32, F16 or BF16"));
    }
    const bool is_embedding = tensor.name == family_->embedding ||
                              absl::EndsWith(tensor.name, absl::StrCat(".", family_->embedding));
    if (is_embedding && !tensor.shape.empty()) vocab_rows_ = tensor.shape[0];
    const bool is_head = tensor.name == family_->head || tensor.name == "lm_head.weight";
    has_head_ = has_head_ || is_head;
    // A tied head is the embedding once more.
    if (tied_ && is_head) return absl::OkStatus();
    draft_.model.num_parameters += tensor.NumElements();
    return absl::OkStatus();
  }

  const std::string& folder_;
  const std::string& root_;
  const TokenizerFromFolder& tokenizer_;
  ModelDraft draft_;
  const ModelFamily* family_ = nullptr;
  bool tied_ = false;
  bool has_head_ = false;
  absl::string_view weights_name_ = kSingle;  // what messages about the weights as a whole name
  int64_t vocab_rows_ = 0;
};

}  // namespace

absl::StatusOr<ModelDraft> DraftFromFolder(const std::string& folder, const std::string& root,
                                           const TokenizerFromFolder& tokenizer) {
  return FolderReader(folder, root, tokenizer).Read();
}

}  // namespace vernier::storage
