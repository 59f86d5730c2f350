#include "worker/data/text/sentencepiece_model.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/bounded_json.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr absl::string_view kFile = "tokenizer.model";

// One field of a message.
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;       // of a varint
  float real = 0;           // of 32 bits
  absl::string_view bytes;  // of a length-delimited one
};

// Walks the fields of a message, never past its end.
class Message {
 public:
  Message(absl::string_view bytes, absl::string_view name) : rest_(bytes), name_(name) {}

  absl::Status ForEachField(absl::FunctionRef<absl::Status(const Field&)> visit) {
    while (!rest_.empty()) {
      VN_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
      Field field;
      field.number = tag >> 3;
      switch (tag & 7) {
        case 0: {
          VN_ASSIGN_OR_RETURN(field.value, Varint());
          break;
        }
        case 1: {
          VN_RETURN_IF_ERROR(Bytes(8).status());
          break;
        }
        case 2: {
          VN_ASSIGN_OR_RETURN(const uint64_t size, Varint());
          VN_ASSIGN_OR_RETURN(field.bytes, Bytes(size));
          break;
        }
        case 5: {
          VN_ASSIGN_OR_RETURN(const absl::string_view bytes, Bytes(4));
          std::memcpy(&field.real, bytes.data(), sizeof(field.real));
          break;
        }
        default:
          return Damaged("has a field of an unknown kind");
      }
      VN_RETURN_IF_ERROR(visit(field));
    }
    return absl::OkStatus();
  }

  absl::Status Damaged(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(
        name_, ": ", what, "; it is no SentencePiece model, or cut off or damaged: copy it again"));
  }

 private:
  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return Damaged("ends inside a number");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    return Damaged("has a number that is too long");
  }

  absl::StatusOr<absl::string_view> Bytes(uint64_t count) {
    if (count > rest_.size()) return Damaged("ends inside a field");
    const absl::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }

  absl::string_view rest_;
  const absl::string_view name_;
};

absl::StatusOr<VocabularyPiece> ReadPiece(absl::string_view bytes, absl::string_view name) {
  VocabularyPiece piece;
  Message message(bytes, name);
  VN_RETURN_IF_ERROR(message.ForEachField([&](const Field& field) {
    if (field.number == 1) piece.text = std::string(field.bytes);
    if (field.number == 2) piece.score = field.real;
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) return message.Damaged("has a piece of an unknown type");
      piece.type = static_cast<PieceType>(field.value);
    }
    return absl::OkStatus();
  }));
  if (piece.text.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": a piece has ", piece.text.size(),
                                                   " bytes, more than the limit of ", kMaxTokenBytes));
  }
  return piece;
}

// The trainer's description: what kind of model this is.
absl::Status ReadTrainer(absl::string_view bytes, absl::string_view name, PieceVocabulary* vocabulary) {
  static constexpr absl::string_view kKinds[] = {"", "unigram", "bpe", "word", "char"};
  uint64_t kind = 1;
  Message message(bytes, name);
  VN_RETURN_IF_ERROR(message.ForEachField([&](const Field& field) {
    if (field.number == 3) kind = field.value;
    if (field.number == 35) vocabulary->byte_fallback = field.value != 0;
    if (field.number == 24 && field.value != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": treat_whitespace_as_suffix is not supported; save the tokenizer as tokenizer.json"));
    }
    // Negative numbers are 64 bits long; there is no such token then.
    const auto id = static_cast<int64_t>(field.value);
    if (field.number == 40) vocabulary->unknown_id = id;
    if (field.number == 41) vocabulary->bos_id = id < 0 ? std::nullopt : std::optional<int64_t>(id);
    return absl::OkStatus();
  }));
  if (kind != 1 && kind != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": model_type ", kind < std::size(kKinds) ? kKinds[kind] : absl::StrCat(kind),
                     " is not supported; supported: unigram, bpe"));
  }
  vocabulary->is_bpe = kind == 2;
  return absl::OkStatus();
}

absl::Status ReadNormalizerSpec(absl::string_view bytes, absl::string_view name,
                                PieceVocabulary* vocabulary) {
  Message message(bytes, name);
  return message.ForEachField([&](const Field& field) {
    if (field.number == 2) vocabulary->charsmap = std::string(field.bytes);
    if (field.number == 3) vocabulary->prefix = field.value != 0 ? PiecePrefix::kFirst : PiecePrefix::kNone;
    if (field.number == 4) vocabulary->removes_extra_spaces = field.value != 0;
    if (field.number == 5 && field.value == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": escape_whitespaces = false is not supported; save the tokenizer as tokenizer.json"));
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<PieceVocabulary> ParseSentencePieceModel(absl::string_view bytes, absl::string_view name) {
  if (static_cast<int64_t>(bytes.size()) > kMaxSentencePieceBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": has ", bytes.size(), " bytes, more than the limit of ", kMaxSentencePieceBytes));
  }
  PieceVocabulary vocabulary;
  vocabulary.is_bpe = false;
  vocabulary.unknown_id = 0;
  vocabulary.bos_id = 1;
  vocabulary.removes_extra_spaces = true;
  Message message(bytes, name);
  VN_RETURN_IF_ERROR(message.ForEachField([&](const Field& field) -> absl::Status {
    if (field.number == 2) return ReadTrainer(field.bytes, name, &vocabulary);
    if (field.number == 3) return ReadNormalizerSpec(field.bytes, name, &vocabulary);
    if (field.number != 1) return absl::OkStatus();
    if (vocabulary.pieces.size() == static_cast<size_t>(kMaxVocabulary)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": has more than the limit of ", kMaxVocabulary, " pieces"));
    }
    VN_ASSIGN_OR_RETURN(VocabularyPiece piece, ReadPiece(field.bytes, name));
    vocabulary.pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }));
  if (vocabulary.pieces.empty()) return message.Damaged("has no pieces");
  return vocabulary;
}

absl::StatusOr<std::string> TokenizerJsonFromSentencePiece(absl::string_view bytes,
                                                           absl::string_view tokenizer_config_json) {
  VN_ASSIGN_OR_RETURN(PieceVocabulary vocabulary, ParseSentencePieceModel(bytes, kFile));
  nlohmann::json config = nlohmann::json::object();
  if (!tokenizer_config_json.empty()) {
    storage::JsonLimits limits;
    limits.max_bytes = kMaxTokenizerConfigBytes;
    VN_ASSIGN_OR_RETURN(config, storage::ParseJson(tokenizer_config_json, "tokenizer_config.json", limits));
  }
  const JsonAt root(&config, "tokenizer_config.json");
  VN_ASSIGN_OR_RETURN(const bool legacy, root.Member("legacy").Bool(false));
  VN_ASSIGN_OR_RETURN(const bool prefix,
                      root.Member("add_prefix_space").Bool(vocabulary.prefix != PiecePrefix::kNone));
  VN_ASSIGN_OR_RETURN(const bool adds_bos, root.Member("add_bos_token").Bool(vocabulary.is_bpe));
  if (!adds_bos) vocabulary.bos_id.reset();
  // A unigram model's words are cut at spaces, so each stretch begins with one.
  vocabulary.prefix = !prefix                        ? PiecePrefix::kNone
                      : legacy || !vocabulary.is_bpe ? PiecePrefix::kAlways
                                                     : PiecePrefix::kFirst;
  return TokenizerJson(vocabulary, kFile);
}

}  // namespace vernier::data
