// A text on its way to tokens: what the steps so far made of it, and where each of its bytes came from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// A step may let a text grow, but not for ever: to this many times its size and then some.
inline constexpr size_t kMaxTextGrowth = 32;
inline constexpr size_t kTextGrowthSlack = 64 << 10;

// Valid UTF-8 below 4 GiB. Movable, not copyable. Thread-compatible.
class AlignedText {
 public:
  // `source` stands at `base` of the whole text and must outlive this.
  AlignedText(absl::string_view source, size_t base)
      : source_(source), base_(base), max_bytes_(source.size() * kMaxTextGrowth + kTextGrowthSlack) {}
  AlignedText(AlignedText&&) = default;
  AlignedText& operator=(AlignedText&&) = default;

  absl::string_view text() const { return changed_ ? absl::string_view(buffer_) : source_; }
  // The byte of the whole text that byte `at` of text() came from. Where a step made characters of others,
  // the beginning of the (last) one replaced. `at` = 0 is allowed in an empty text.
  size_t Origin(size_t at) const {
    return changed_ ? (at < origin_.size() ? origin_[at] : base_) : base_ + at;
  }
  // text()[begin, end) on its own; borrows this one's bytes.
  AlignedText Slice(size_t begin, size_t end) const;

  // Makes the next form of a text out of pieces of it, left to right.
  class Editor {
   public:
    explicit Editor(AlignedText& text) : text_(text) { buffer_.reserve(text.text().size()); }
    // Appends text()[begin, end) as it is.
    void Keep(size_t begin, size_t end);
    // Appends `bytes`, all of which come from where byte `at` does, or the byte before them if that is later.
    void Insert(absl::string_view bytes, size_t at);
    void Insert(char32_t character, size_t at);
    // Of what was appended so far.
    size_t size() const { return buffer_.size(); }
    // The text now is what was appended. InvalidArgument: that grew beyond all measure.
    absl::Status Finish();

   private:
    void Extend(size_t at);

    AlignedText& text_;
    std::string buffer_;
    std::vector<uint32_t> origin_;
  };

 private:
  absl::string_view source_;
  size_t base_ = 0;
  size_t max_bytes_ = 0;
  bool changed_ = false;
  std::string buffer_;            // the text, once changed
  std::vector<uint32_t> origin_;  // of each byte of it
};

}  // namespace vernier::data
