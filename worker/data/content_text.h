// The content of a message, which is a string or, for templates of models for images, an array of parts.
#pragma once

#include <string>
#include <utility>

#include "worker/data/text/chat_template.h"

namespace vernier::data {

// The text of a message whose content is text, or one part of it; else null. Lives as long as `message`.
inline const std::string* ContentText(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end()) return nullptr;
  if (content->is_string()) return &content->get_ref<const std::string&>();
  if (!content->is_array() || content->size() != 1 || !(*content)[0].is_object()) return nullptr;
  const Json& part = (*content)[0];
  const auto text = part.find("text");
  return text != part.end() && text->is_string() ? &text->get_ref<const std::string&>() : nullptr;
}

// `text` as content, in parts if that of `message` is.
inline Json ContentLike(const Json& message, std::string text) {
  const auto content = message.find("content");
  if (content == message.end() || !content->is_array()) return text;
  return Json::array({{{"type", "text"}, {"text", std::move(text)}}});
}

}  // namespace vernier::data
