#include "worker/data/text/token_decoder.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/text.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {

// One step at work on one text.
class DecodeChain::Stage {
 public:
  using Next = absl::FunctionRef<void(std::string)>;
  virtual ~Stage() = default;
  // Passes on what is ready.
  virtual void Push(std::string token, Next next) = 0;
  // Passes on the rest and begins anew.
  virtual void Finish(Next /*next*/) {}
};

namespace {

constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";

class ByteLevelStage final : public DecodeChain::Stage {
 public:
  void Push(std::string token, Next next) override {
    std::optional<std::string> bytes = BytesOfSymbols(token);
    next(bytes ? *std::move(bytes) : std::move(token));
  }
};

class ReplaceStage final : public DecodeChain::Stage {
 public:
  explicit ReplaceStage(ReplaceDecoder step) : step_(std::move(step)) {}
  void Push(std::string token, Next next) override {
    next(absl::StrReplaceAll(token, {{step_.pattern, step_.content}}));
  }

 private:
  const ReplaceDecoder step_;
};

class ByteFallbackStage final : public DecodeChain::Stage {
 public:
  void Push(std::string token, Next next) override {
    if (const std::optional<char> byte = ByteOf(token)) {
      bytes_.push_back(*byte);
      return;
    }
    Finish(next);
    next(std::move(token));
  }
  void Finish(Next next) override {
    if (bytes_.empty()) return;
    if (FirstInvalidUtf8(bytes_) == absl::string_view::npos) {
      next(bytes_);
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) next(std::string(kReplacementCharacter));
    }
    bytes_.clear();
  }

 private:
  static std::optional<char> ByteOf(absl::string_view token) {
    if (token.size() != 6 || !absl::StartsWith(token, "<0x") || token[5] != '>') return std::nullopt;
    uint32_t byte = 0;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(token[3])) ||
        !absl::SimpleHexAtoi(token.substr(3, 2), &byte)) {
      return std::nullopt;
    }
    return static_cast<char>(byte);
  }

  std::string bytes_;  // of the run so far
};

// Tokens as they are, or joined at the end when the steps that follow have to see the whole.
class FuseStage final : public DecodeChain::Stage {
 public:
  explicit FuseStage(bool holds) : holds_(holds) {}
  void Push(std::string token, Next next) override {
    if (holds_) {
      all_ += token;
    } else {
      next(std::move(token));
    }
  }
  void Finish(Next next) override {
    if (holds_) next(std::exchange(all_, ""));
  }

 private:
  const bool holds_;
  std::string all_;
};

class StripStage final : public DecodeChain::Stage {
 public:
  explicit StripStage(StripDecoder step) : step_(std::move(step)) {}
  void Push(std::string token, Next next) override {
    absl::string_view rest = token;
    for (size_t i = 0; i < step_.start && absl::ConsumePrefix(&rest, step_.content); ++i) {
    }
    for (size_t i = 0; i < step_.stop && absl::ConsumeSuffix(&rest, step_.content); ++i) {
    }
    next(std::string(rest));
  }

 private:
  const StripDecoder step_;
};

// StripStage for a text that comes in parts.
class StripWholeStage final : public DecodeChain::Stage {
 public:
  explicit StripWholeStage(StripDecoder step) : step_(std::move(step)), left_(step_.start) {}
  void Push(std::string token, Next next) override {
    absl::string_view rest = token;
    while (left_ > 0 && absl::ConsumePrefix(&rest, step_.content)) --left_;
    if (!rest.empty()) left_ = 0;
    waiting_.append(rest.data(), rest.size());
    // The end may yet be the end of the text.
    size_t held = 0;
    absl::string_view kept = waiting_;
    while (held < step_.stop && absl::ConsumeSuffix(&kept, step_.content)) ++held;
    std::string ready(kept);
    waiting_.erase(0, ready.size());
    if (!ready.empty()) next(std::move(ready));
  }
  void Finish(Next /*next*/) override {
    waiting_.clear();
    left_ = step_.start;
  }

 private:
  const StripDecoder step_;
  size_t left_;          // to take off the front
  std::string waiting_;  // what may be taken off the end
};

class MetaspaceStage final : public DecodeChain::Stage {
 public:
  explicit MetaspaceStage(MetaspaceDecoder step) : step_(std::move(step)) {}
  void Push(std::string token, Next next) override {
    const bool drops = std::exchange(is_first_, false) && step_.drops_first;
    next(absl::StrReplaceAll(token, {{step_.replacement, drops ? "" : " "}}));
  }
  void Finish(Next /*next*/) override { is_first_ = true; }

 private:
  const MetaspaceDecoder step_;
  bool is_first_ = true;
};

class WordPieceStage final : public DecodeChain::Stage {
 public:
  explicit WordPieceStage(WordPieceDecoder step) : step_(std::move(step)) {}
  void Push(std::string token, Next next) override {
    if (!std::exchange(is_first_, false)) {
      if (absl::StartsWith(token, step_.prefix)) {
        token.erase(0, step_.prefix.size());
      } else {
        token.insert(0, " ");
      }
    }
    if (step_.cleanup) {
      // One after the other, as the library does.
      for (const auto& [from, to] : kCleanups) token = absl::StrReplaceAll(token, {{from, to}});
    }
    next(std::move(token));
  }
  void Finish(Next /*next*/) override { is_first_ = true; }

 private:
  static constexpr std::pair<absl::string_view, absl::string_view> kCleanups[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

  const WordPieceDecoder step_;
  bool is_first_ = true;
};

class JoinStage final : public DecodeChain::Stage {
 public:
  void Push(std::string token, Next next) override {
    next(std::exchange(is_first_, false) ? std::move(token) : " " + token);
  }
  void Finish(Next /*next*/) override { is_first_ = true; }

 private:
  bool is_first_ = true;
};

using StagePtr = std::unique_ptr<DecodeChain::Stage>;

StagePtr NewStage(const ByteLevelDecoder& /*step*/, bool /*sees_parts*/) {
  return std::make_unique<ByteLevelStage>();
}
StagePtr NewStage(const ReplaceDecoder& step, bool /*sees_parts*/) {
  return std::make_unique<ReplaceStage>(step);
}
StagePtr NewStage(const ByteFallbackDecoder& /*step*/, bool /*sees_parts*/) {
  return std::make_unique<ByteFallbackStage>();
}
StagePtr NewStage(const FuseDecoder& /*step*/, bool sees_parts) {
  return std::make_unique<FuseStage>(!sees_parts);
}
StagePtr NewStage(const StripDecoder& step, bool sees_parts) {
  if (sees_parts) return std::make_unique<StripWholeStage>(step);
  return std::make_unique<StripStage>(step);
}
StagePtr NewStage(const MetaspaceDecoder& step, bool /*sees_parts*/) {
  return std::make_unique<MetaspaceStage>(step);
}
StagePtr NewStage(const WordPieceDecoder& step, bool /*sees_parts*/) {
  return std::make_unique<WordPieceStage>(step);
}
StagePtr NewStage(const JoinDecoder& /*step*/, bool /*sees_parts*/) { return std::make_unique<JoinStage>(); }

}  // namespace

DecodeChain::DecodeChain(std::vector<std::unique_ptr<Stage>> stages) : stages_(std::move(stages)) {}
DecodeChain::~DecodeChain() = default;

void DecodeChain::PushTo(size_t stage, std::string token, std::string* text) {
  if (stage == stages_.size()) {
    *text += token;
    return;
  }
  stages_[stage]->Push(std::move(token), [&](std::string out) { PushTo(stage + 1, std::move(out), text); });
}

void DecodeChain::Push(absl::string_view token, std::string* text) { PushTo(0, std::string(token), text); }

void DecodeChain::Finish(std::string* text) {
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    stages_[stage]->Finish([&](std::string out) { PushTo(stage + 1, std::move(out), text); });
  }
}

std::unique_ptr<DecodeChain> TokenDecoder::NewChain() const {
  // What follows a Fuse sees the whole text; of the steps only Strip can do with parts of it.
  const auto fuse = std::find_if(steps_.begin(), steps_.end(),
                                 [](const DecoderStep& s) { return std::holds_alternative<FuseDecoder>(s); });
  const bool strips_parts = fuse != steps_.end() && steps_.end() - fuse <= 2 &&
                            (fuse + 1 == steps_.end() || std::holds_alternative<StripDecoder>(*(fuse + 1)));
  std::vector<std::unique_ptr<DecodeChain::Stage>> stages;
  for (auto step = steps_.begin(); step != steps_.end(); ++step) {
    const bool sees_parts = strips_parts && step >= fuse;
    stages.push_back(std::visit([&](const auto& one) { return NewStage(one, sees_parts); }, *step));
  }
  return std::make_unique<DecodeChain>(std::move(stages));
}

}  // namespace vernier::data
