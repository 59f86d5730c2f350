#include "worker/data/text/aligned_text.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {

AlignedText AlignedText::Slice(size_t begin, size_t end) const {
  AlignedText slice(text().substr(begin, end - begin), Origin(begin));
  slice.max_bytes_ = max_bytes_;
  if (!changed_) return slice;
  slice.changed_ = true;
  slice.buffer_.assign(buffer_, begin, end - begin);
  slice.origin_.assign(origin_.begin() + static_cast<std::ptrdiff_t>(begin),
                       origin_.begin() + static_cast<std::ptrdiff_t>(end));
  return slice;
}

void AlignedText::Editor::Keep(size_t begin, size_t end) {
  if (buffer_.size() > text_.max_bytes_) return;
  const size_t first = origin_.size();
  absl::StrAppend(&buffer_, text_.text().substr(begin, end - begin));
  if (text_.changed_) {
    origin_.insert(origin_.end(), text_.origin_.begin() + static_cast<std::ptrdiff_t>(begin),
                   text_.origin_.begin() + static_cast<std::ptrdiff_t>(end));
  } else {
    origin_.resize(first + end - begin);
    std::iota(origin_.begin() + static_cast<std::ptrdiff_t>(first), origin_.end(),
              static_cast<uint32_t>(text_.base_ + begin));
  }
}

void AlignedText::Editor::Insert(absl::string_view bytes, size_t at) {
  if (buffer_.size() > text_.max_bytes_) return;
  absl::StrAppend(&buffer_, bytes);
  Extend(at);
}

void AlignedText::Editor::Insert(char32_t character, size_t at) {
  if (buffer_.size() > text_.max_bytes_) return;
  AppendCharacter(character, &buffer_);
  Extend(at);
}

void AlignedText::Editor::Extend(size_t at) {
  const auto origin = static_cast<uint32_t>(text_.Origin(at));
  origin_.resize(buffer_.size(), origin_.empty() ? origin : std::max(origin, origin_.back()));
}

absl::Status AlignedText::Editor::Finish() {
  if (buffer_.size() > text_.max_bytes_) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer's normalizer makes a text of ",
                                                   text_.text().size(), " bytes longer than ",
                                                   text_.max_bytes_, "; no sound tokenizer does"));
  }
  text_.buffer_ = std::move(buffer_);
  text_.origin_ = std::move(origin_);
  text_.changed_ = true;
  return absl::OkStatus();
}

}  // namespace vernier::data
